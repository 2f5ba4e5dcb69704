"""Who may come in: requests for this host by name, with the token in their address."""

import secrets
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets in what has the right Host and token; everything beyond sees addresses without the token.

    The Host is looked at because a page of someone else, whose name was made to lead to this machine (DNS
    rebinding), would be a browser's friend; the token, because any program and page may ask 127.0.0.1.

    Args:
        app: what is behind.
        token: the first part of each path.
        hosts: names that a browser may call us by, without a port.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str]) -> None:
        self.app, self.token, self.hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal:
            await refusal(scope, receive, send_guarded)
            return
        await self.app({**scope, "root_path": f"/{self.token}"}, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        if host_name(Headers(scope=scope).get("host", "")) not in self.hosts:
            return PlainTextResponse("This is not the name of this server.", 403)
        first, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not secrets.compare_digest(first.encode(), self.token.encode()):
            return PlainTextResponse("The address lacks its token: use the one that imgtool serve told.", 403)
        return None if slash else RedirectResponse(f"/{self.token}/")


def host_name(host: str) -> str:
    """A Host header without its port.

    Example:
        >>> host_name("LocalHost:80"), host_name("[::1]:80")
        ('localhost', '[::1]')
    """
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()
