"""A browser without a screen: it keeps cookies, fills in forms, and follows where it is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

import attrs

from services.in_process import InProcessServer
from services.wire_client import Response

ORIGIN = "http://127.0.0.1:8000"


class Parsed(HTMLParser):
    """What is in a page: its text, its links, its forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self._link: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.tags.append((tag, values))
        if tag == "a":
            self._link = values.get("href")
        elif tag == "form":
            self.forms.append(Form(values.get("method", "get"), values.get("action", "")))
        elif tag in ("input", "textarea", "select") and self.forms and "name" in values:
            self.forms[-1].fields[values["name"]] = values.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._link is not None and data.strip():
            self.links.setdefault(data.strip(), self._link)

    @property
    def text(self) -> str:
        """What can be read, with single blanks."""
        return " ".join(" ".join(self.words).split())


@attrs.define
class Form:
    """A form, with what is filled in already."""

    method: str
    action: str
    fields: dict[str, str] = attrs.field(factory=dict)


class Browser:
    """Somebody's browser, without JavaScript."""

    def __init__(self, server: InProcessServer) -> None:
        self.server = server
        self.cookies: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.url = f"{ORIGIN}/"

    def get(self, path: str, *, accept: str = "text/html,*/*;q=0.8") -> Response:
        """The answer to an address, which may be relative to the page that is open."""
        return self._send("GET", path, accept=accept)

    def page(self, path: str) -> Parsed:
        """The page at an address."""
        answer = self.get(path)
        assert answer.status == 200, answer.body.decode()
        return Parsed(answer.body.decode())

    def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Response:
        """The answer to a form."""
        sent = {"content-type": "application/x-www-form-urlencoded", "origin": ORIGIN}
        body = urlencode(fields).encode()
        return self._send("POST", path, body, {**sent, **(headers or {})})

    def submit(self, form: Form, **fields: str) -> Response:
        """The answer to a form that is filled in and sent."""
        return self.post(form.action or self.url, {**form.fields, **fields})

    def form(self, path: str, action: str) -> Form:
        """The form of a page whose action ends so."""
        (form,) = (
            form
            for form in self.page(path).forms
            if form.method == "post" and urljoin(self.url, form.action).endswith(action)
        )
        return form

    def _send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        accept: str = "text/html,*/*;q=0.8",
    ) -> Response:
        self.url = urljoin(self.url, path)
        parts = urlsplit(self.url)
        sent = {"accept": accept, "host": parts.netloc, **self.headers, **(headers or {})}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        answer = self.server.send(
            method,
            target.encode(),
            body,
            [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        )
        if found := re.match(r"([^=]+)=([^;]*)", answer.headers.get("set-cookie", "")):
            self.cookies[found.group(1)] = found.group(2)
        return answer
