"""The pages below a path of a real nginx, which the server knows nothing of."""

from __future__ import annotations

import http.client
from urllib.parse import quote, urlencode, urljoin, urlsplit

import pytest

from registry_core import open_registry
from services.nginx import nginx
from services.pages_browser import Parsed
from services.registry_server import RegistryServer

PREFIX = "/team/registry/"
NAME = "churn? 50 % ü #1"


class Visitor:
    """Somebody who follows links by what a URL means, over a real connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.cookies: dict[str, str] = {}

    def ask(self, target: str, fields: dict[str, str] | None = None) -> tuple[int, str, str]:
        """The status, the page, and where it leads, of an address relative to the page before."""
        self.url = urljoin(self.url, target)
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        headers = {"Accept": "text/html"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        body = None
        if fields is not None:
            body = urlencode(fields)
            headers |= {
                "Content-Type": "application/x-www-form-urlencoded",
                "Origin": f"http://{parts.netloc}",
            }
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        for cookie in answer.headers.get_all("set-cookie") or ():
            key, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[key] = value
        connection.close()
        return answer.status, text, answer.headers.get("location", "")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    directory = tmp_path_factory.mktemp("behind")
    store, root = f"sqlite:///{directory}/registry.db", f"file://{directory}/root"
    folder = directory / "files"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {a: {}}")
    with open_registry(store, artifacts=root) as registry:
        registry.create_registered_model(NAME, tags={"team": "risk"})
        for _ in range(2):
            registry.push_model_version(NAME, folder)
        registry.set_registered_model_alias(NAME, "champion", 1)
        registry.create_registered_model("gone")
        registry.delete_registered_model("gone")
    with (
        RegistryServer(store, arguments=("--artifacts", root)) as server,
        nginx(server.url, prefix=PREFIX) as url,
    ):
        yield url


def test_all_links_hold_below_a_path(address):
    """Pages, files of versions, style sheets and the API: nothing leads out of the path."""
    visitor = Visitor(address)
    seen: set[str] = set()
    todo = [address]
    while todo:
        target = todo.pop()
        if target in seen:
            continue
        seen.add(target)
        status, text, location = visitor.ask(target)
        assert status in (200, 303), (status, target)
        if status == 303:
            todo.append(urljoin(target, location))
        if not text.startswith("<!doctype html>"):
            continue
        for tag, attributes in Parsed(text).tags:
            link = attributes.get("src" if tag == "script" else "href", "")
            if tag == "form" or not link or link.startswith(("data:", "#")):
                continue
            followed = urljoin(target, link).partition("#")[0]
            assert followed.startswith(address), (target, link)
            todo.append(followed)
    assert any(target.endswith("/MLmodel") for target in seen)
    assert any(target.endswith("/openapi.json") for target in seen)
    assert len(seen) > 25


def test_a_form_is_taken_and_leads_back_below_the_path(address):
    visitor = Visitor(address)
    _, text, _ = visitor.ask(f"models/{quote(NAME, safe='')}/aliases/champion")
    form = next(form for form in Parsed(text).forms if form.action.endswith("/champion"))
    status, _, location = visitor.ask(form.action, {**form.fields, "version": "2"})
    assert status == 303
    status, text, _ = visitor.ask(location)
    assert (status, visitor.url) == (200, f"{address}models/{quote(NAME, safe='')}")
    assert "champion now points at version 2" in Parsed(text).text
