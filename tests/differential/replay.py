"""Replays a sequence on a server, and brings what it answered into a form that can be compared.

Strategy: two servers never agree on times, so a timestamp is replaced by the number of the step
during which it was taken: both servers and the replay read one clock. Steps are kept a few
milliseconds apart, so that the number is certain, and two steps never tie where MLflow's slower
server would not. Page tokens are opaque: only whether there is one is compared, and the pages that
they lead to. Lists that MLflow sends in no defined order are sorted.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from http.client import RemoteDisconnected
from typing import Any
from urllib.parse import quote, urlencode

import attrs

from differential.routes import RM, SEARCHES
from differential.steps import MARK, Sequence, Step, marked
from services.wire_client import Response, WireClient

GAP_SECONDS = 0.003
"""Seconds between two steps: timestamps have milliseconds."""

MAX_PAGES = 40
"""Pages after which a walk is given up; no generated search has as many."""

TIMESTAMPS = ("creation_timestamp", "last_updated_timestamp")
UNORDERED = {"tags": "key", "aliases": "alias", "latest_versions": "version"}
LATEST = "/get-latest-versions"

_SET = re.compile(r"\{('[^']*'(?:, '[^']*')*)\}")


@attrs.frozen(kw_only=True)
class Outcome:
    """What a server answered to one step, comparable with another server's."""

    status: int
    body: Any = None
    """The JSON body; of a walk, the list of its pages; of anything else, what kind of text it is."""

    @property
    def ok(self) -> bool:
        """Whether the step succeeded."""
        return self.status == 200

    @property
    def code(self) -> str:
        """The error code, or a word for an answer that has none."""
        if self.ok:
            return "OK"
        if isinstance(self.body, Mapping):
            return str(self.body.get("error_code"))
        return str(self.body)

    @property
    def message(self) -> str:
        """The error message."""
        return str(self.body.get("message")) if isinstance(self.body, Mapping) else ""


def replay(sequence: Sequence, client: WireClient, mark: str) -> list[Outcome]:
    """The outcome of each step, with `mark` in place of `MARK`."""
    spans: list[tuple[int, int]] = []
    answers = []
    for step in sequence:
        time.sleep(GAP_SECONDS)
        start = time.time_ns() // 1_000_000
        answers.append(list(_pages(marked(step, mark), client)))
        spans.append((start, time.time_ns() // 1_000_000))
    return [
        _outcome(step, pages, spans, mark) for step, pages in zip(sequence, answers, strict=True)
    ]


def names_in(sequence: Sequence) -> dict[str, None]:
    """Every name that the sequence might leave behind, in order."""
    return {
        value: None
        for step in sequence
        if step.path.startswith((f"{RM}/create", f"{RM}/rename"))
        for field in ("name", "new_name")
        if isinstance(value := step.fields.get(field), str) and value
    }


def _pages(step: Step, client: WireClient) -> Iterator[Response]:
    answer = _send(step, client)
    yield answer
    for _ in range(MAX_PAGES if step.walk else 0):
        body = answer.json
        token = body.get("next_page_token") if isinstance(body, dict) else None
        if answer.status != 200 or not token:
            return
        answer = _send(attrs.evolve(step, fields={**step.fields, "page_token": token}), client)
        yield answer


def _send(step: Step, client: WireClient) -> Response:
    headers = dict(step.headers)
    if step.content_type is not None:
        headers["Content-Type"] = step.content_type
    try:
        if step.method == "GET" and not step.as_body and step.raw is None:
            target = quote(step.path) + ("?" + _query(step.fields) if step.fields else "")
            return client.send("GET", target, None, step.headers)
        body = json.dumps(step.fields) if step.raw is None else step.raw
        return client.send(step.method, quote(step.path), body.encode(), headers)
    except (OSError, RemoteDisconnected) as error:
        # Some requests make a server hang up; that is an outcome too.
        return Response(0, {}, repr(type(error)).encode())


def _query(fields: Mapping[str, Any]) -> str:
    pairs = [
        (key, item)
        for key, value in fields.items()
        for item in (value if isinstance(value, list) else [value])
    ]
    return urlencode(
        [(key, item if isinstance(item, str) else json.dumps(item)) for key, item in pairs],
        errors="surrogatepass",
    )


def _outcome(step: Step, pages: list[Response], spans: list[tuple[int, int]], mark: str) -> Outcome:
    last = pages[-1]
    if last.status != 200 or not (step.walk or step.shared):
        body = _normal(_body(last), spans, mark)
        if step.path.endswith(LATEST) and isinstance(body, dict) and "model_versions" in body:
            body["model_versions"].sort(key=lambda version: str(version.get("version")))
        return Outcome(status=last.status, body=body)
    found = [_normal(page.json.get(SEARCHES.get(step.path, ""), []), spans, mark) for page in pages]
    if step.shared:
        items = [item for page in found for item in page]
        found = [[item for item in items if MARK in str(item.get("name"))]]
    return Outcome(status=200, body=found)


def _body(answer: Response) -> Any:
    parsed = answer.json
    if parsed is not None:
        return parsed
    if b"<html" in answer.body.lower():
        return "html"
    return f"text: {answer.body.decode(errors='replace')}" if answer.body else "empty"


def _normal(value: Any, spans: list[tuple[int, int]], mark: str) -> Any:
    if isinstance(value, list):
        return [_normal(item, spans, mark) for item in value]
    if isinstance(value, str):
        return _SET.sub(_sorted_set, value.replace(mark, MARK))
    if not isinstance(value, Mapping):
        return value
    found = {key: _normal(item, spans, mark) for key, item in value.items()}
    for key in TIMESTAMPS:
        if key in found:
            found[key] = _step_of(found[key], spans)
    for key, by in UNORDERED.items():
        if isinstance(found.get(key), list) and all(isinstance(i, Mapping) for i in found[key]):
            found[key] = sorted(found[key], key=lambda item: str(item.get(by)))
    if "next_page_token" in found:
        found["next_page_token"] = "a token"
    return found


def _sorted_set(match: re.Match[str]) -> str:
    return "{" + ", ".join(sorted(match.group(1).split(", "))) + "}"


def _step_of(timestamp: Any, spans: list[tuple[int, int]]) -> str:
    for number, (start, end) in enumerate(spans):
        if isinstance(timestamp, int) and start <= timestamp <= end:
            return f"during step {number}"
    return f"at no step: {timestamp!r}"
