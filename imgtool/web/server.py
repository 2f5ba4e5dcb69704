"""Listening on a port until a signal comes."""

import socket
from typing import Any

import uvicorn

from imgtool.errors import ImgtoolError
from imgtool.files import system_reason

GOODBYE_SECONDS = 2  # for answers that are under way when the server ends
CONNECTIONS = 200


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free.

    Raises:
        ImgtoolError: the port is taken, or the host is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = system_reason(error)
        raise ImgtoolError(f"cannot listen on {host}, port {port}: {reason}", hint="--port 0") from error


def serve(app: Any, listening: socket.socket) -> None:
    """Answer until a signal comes, which is raised again when all is put away."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])
