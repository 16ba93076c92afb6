"""Refusals and failures as pages: the same status and sentence as the API answers with.

Strategy: what is refused before any page is asked for is refused often, and by those who mean harm.
So this page is put together from a text, and needs neither templates nor the registry.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from http import HTTPStatus
from importlib import resources
from string import Template

from litestar.types import HTTPScope

from registry_server.http.paths import API_PREFIXES
from registry_server.http.responses import Response
from registry_server.pages import answers, links, requests, statics

_TITLES = {
    HTTPStatus.BAD_REQUEST: "That cannot be done",
    HTTPStatus.UNAUTHORIZED: "Who are you?",
    HTTPStatus.FORBIDDEN: "Not allowed",
    HTTPStatus.NOT_FOUND: "Not found",
    HTTPStatus.METHOD_NOT_ALLOWED: "Not possible here",
    HTTPStatus.CONFLICT: "Somebody was faster",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Too much",
    HTTPStatus.TOO_MANY_REQUESTS: "Too busy just now",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store does not answer",
}

_ADVICE = {
    HTTPStatus.UNAUTHORIZED: "Open the page again, and give your name and password.",
    HTTPStatus.NOT_FOUND: "It may have been renamed or deleted, or the address has a slip in it.",
    HTTPStatus.CONFLICT: "Nothing was changed. Go back, look again, and decide anew.",
    HTTPStatus.TOO_MANY_REQUESTS: "Nothing was changed. Try again in a moment.",
    HTTPStatus.SERVICE_UNAVAILABLE: "It works again by itself when the store is back. If you sent "
    "a form, look whether it was carried out before you send it again.",
}

_MESSAGE_MAX_LENGTH = 600
"""Characters of the sentence that are shown; some repeat what was sent."""


def readable(scope: HTTPScope, failure: Response) -> Response:
    """Return a failure as the client reads it: a page for browsers, as it is for all others."""
    accept = next((value for name, value in scope["headers"] if name == b"accept"), None)
    if scope["path"].startswith(API_PREFIXES) or not requests.wants_html(accept):
        return failure
    return page(requests.raw_path(scope), failure)


def page(path: str, failure: Response) -> Response:
    """Return the page of a failure, for a browser that asked for that path, as it was sent."""
    message = _message(failure.body)
    body = _template().substitute(
        root=links.root_of(path),
        style=statics.address("style.css"),
        icon=statics.ICON,
        status=failure.status,
        title=escape(title(failure.status)),
        message=escape(message),
        advice=escape(_ADVICE.get(HTTPStatus(failure.status), "")),
    )
    kept = tuple(pair for pair in failure.headers if pair[0] != b"content-type")
    return answers.html(body, status=failure.status, headers=kept)


def title(status: int) -> str:
    """Return what a status means, in a few words."""
    return _TITLES.get(HTTPStatus(status), "Something went wrong")


def sentence(failure: Response) -> str:
    """Return what a failure says."""
    return _message(failure.body)


def _message(body: bytes) -> str:
    try:
        message = str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return ""
    return message if len(message) <= _MESSAGE_MAX_LENGTH else message[:_MESSAGE_MAX_LENGTH] + "…"


@cache
def _template() -> Template:
    file = resources.files("registry_server.pages").joinpath("templates/failure.html")
    return Template(file.read_text(encoding="utf-8"))
