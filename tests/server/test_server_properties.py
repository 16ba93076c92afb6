"""Whatever a client sends: never a 5xx, always JSON (design 2, the wire).

On the reference store and on both databases, which refuse what Python takes for a text or a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core import Registry
from registry_core.backends import open_artifacts, open_store
from registry_core.validation import (
    ALIAS_MAX_LENGTH,
    DESCRIPTION_MAX_LENGTH,
    NAME_MAX_LENGTH,
    RUN_ID_MAX_LENGTH,
    SOURCE_MAX_LENGTH,
    TAG_KEY_MAX_LENGTH,
    TAG_VALUE_MAX_LENGTH,
)
from registry_core.wire.prefixes import API
from registry_server.http.operations import Operation
from registry_server.http.own import ALL_OPERATIONS
from server.odd_requests import (
    NASTY,
    assert_orderly,
    bodies,
    headers,
    methods,
    odd_texts,
    path_bytes,
    queries,
    quoted,
    tags,
    texts,
    values,
)
from services.examples import examples
from services.in_process import InProcessServer
from services.stores import store_url

EXAMPLES = {"memory": 200, "sqlite": 80, "postgresql": 40}
"""Requests of each test, by store: a database on the other end of a socket takes its time."""

IN_THE_GATE = {"memory": 25, "sqlite": 6, "postgresql": 3}

pytestmark = pytest.mark.hypothesis

CHANGING = ("POST", "PUT", "PATCH", "DELETE")
JSON = [(b"content-type", b"application/json")]


@pytest.fixture(scope="module", params=EXAMPLES)
def kind(request: pytest.FixtureRequest) -> str:
    """The store behind the server."""
    return request.param


@pytest.fixture(scope="module")
def filled(
    kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessServer]:
    """A server with something to find, to change and to destroy."""
    root = tmp_path_factory.mktemp("artifacts")
    with store_url(kind, request) as url:
        registry = Registry(
            open_store(url), artifacts=open_artifacts(str(root)), local_sources=False
        )
        with InProcessServer(registry) as server:
            yield server


def tried(kind: str, **given_by: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], None]:
    """Runs the decorated function at once, with as many examples as the store has time for."""

    def run(check: Callable[..., None]) -> None:
        settings(max_examples=examples(EXAMPLES[kind], gate=IN_THE_GATE[kind]))(
            given(**given_by)(check)
        )()

    return run


def refill(server: InProcessServer) -> None:
    server.empty()
    registry = server.registry
    registry.create_registered_model("m", tags={"a": "1"})
    registry.create_model_version("m", source="s3://b/p", run_id="r")
    registry.set_registered_model_alias("m", "champ", "1")


def test_anything_at_all_gets_an_orderly_answer(filled, kind):
    """Methods, paths, queries, bodies and headers that nobody means."""
    refill(filled)

    @tried(kind, method=methods, path=path_bytes, query=queries, body=bodies, sent=headers)
    def check(method, path, query, body, sent):
        target = path + b"?" + query if query else path
        answer = filled.send(method, target, body, sent)
        assert_orderly(answer, method, may_lack=b"/mlflow-artifacts/" in path)
        if answer.status == 200 and method in CHANGING:
            refill(filled)


VALID = {
    "name": "m",
    "new_name": "n",
    "version": "1",
    "key": "k",
    "value": "v",
    "alias": "champ",
    "stage": "Staging",
    "source": "s3://b/p",
}


def target_of(operation: Operation[Any, Any], request: dict[str, Any]) -> bytes:
    """The path of a request; the fields that are in it leave the request."""
    return re.sub(
        r"\{(\w+)\}",
        lambda field: quote(str(request.pop(field[1])), safe="", errors="surrogatepass"),
        operation.documented_path,
    ).encode()


def test_one_odd_field_gets_an_orderly_answer(filled, kind):
    """Requests that are right but for one field get further than noise does."""
    with_fields = [each for each in ALL_OPERATIONS if attrs.fields(each.request)]

    @tried(kind, operation=st.sampled_from(with_fields), data=st.data(), in_query=st.booleans())
    def check(operation, data, in_query):
        refill(filled)
        names = [field.name for field in attrs.fields(operation.request)]
        request = {name: VALID[name] for name in names if name in VALID}
        odd = data.draw(st.sampled_from(names))
        request[odd] = data.draw(
            tags | values if odd == "tags" else odd_texts.get(odd, texts) | texts | values
        )
        target = target_of(operation, request)
        if in_query and operation.has_query:
            pairs = [(key, str(value)) for key, value in request.items()]
            query = urlencode(pairs, errors="surrogatepass").encode()
            answer = filled.send(operation.method, target + b"?" + query)
        else:
            body = json.dumps(request).encode()
            answer = filled.send(operation.method, target, body, JSON)
        assert_orderly(answer, operation.method)
        if answer.status == 200:
            assert isinstance(answer.json, dict)


@pytest.mark.parametrize("field", odd_texts)
def test_almost_right_searches_get_an_orderly_answer(filled, kind, field):
    """What a parser lets through, a database has to take."""
    refill(filled)

    @tried(
        kind, path=st.sampled_from(["registered-models", "model-versions"]), text=odd_texts[field]
    )
    def check(path, text):
        answer = filled.call("GET", f"/{path}/search", {field: text})
        assert_orderly(answer, "GET")


@pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text[:24]))
def test_nasty_text_in_every_field_gets_an_orderly_answer(filled, text):
    """Every operation, every field, this text."""
    refill(filled)
    for operation in ALL_OPERATIONS:
        names = [field.name for field in attrs.fields(operation.request)]
        for odd in names:
            request = {name: VALID[name] for name in names if name in VALID}
            request[odd] = [{"key": text, "value": text}] if odd == "tags" else text
            target = target_of(operation, request)
            answer = filled.send(operation.method, target, json.dumps(request).encode(), JSON)
            assert_orderly(answer, operation.method)
            if answer.status == 200 and operation.method in CHANGING:
                refill(filled)


VALID_WEBHOOK = {
    "name": "w",
    "url": "https://8.8.8.8/x",
    "events": [{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
    "status": "DISABLED",
}
WEBHOOK_FIELDS = [*VALID_WEBHOOK, "description", "secret", "max_results", "page_token"]


def test_odd_webhooks_get_an_orderly_answer(filled, kind):
    """One odd field in what is otherwise a webhook, and odd ids. None of them is ever called."""

    @tried(
        kind,
        method=st.sampled_from(["POST", "GET", "PATCH", "DELETE"]),
        odd=st.sampled_from(WEBHOOK_FIELDS),
        value=texts | values | st.lists(values, max_size=2),
        odd_id=st.none() | texts.map(lambda text: text[:300]),
    )
    def check(method, odd, value, odd_id):
        filled.empty()
        created = filled.call("POST", "/webhooks", VALID_WEBHOOK).json["webhook"]
        path = "/webhooks"
        if method in ("PATCH", "DELETE") or odd_id is not None:
            path += "/" + (created["webhook_id"] if odd_id is None else quoted(odd_id))
        request = {odd: value} if method == "PATCH" else {**VALID_WEBHOOK, odd: value}
        target = f"{API}{path}".encode()
        body = json.dumps(request).encode()
        assert_orderly(filled.send(method, target, body, JSON), method)


def test_longest_texts_are_taken(filled):
    """All limits at once, at four bytes a character: no index and no row is too small for them."""
    random = Random(0)
    letters = [chr(code) for code in range(0x20000, 0x2A000)]

    def long(length: int) -> str:
        # Of many letters, so that a database cannot compress it.
        return "".join(random.choices(letters, k=length))

    def done(path: str, **fields: object) -> None:
        answer = filled.call("POST", path, fields)
        assert answer.status == 200, answer

    filled.empty()
    name, new_name, alias = long(NAME_MAX_LENGTH), long(NAME_MAX_LENGTH), long(ALIAS_MAX_LENGTH)
    tag = {"key": long(TAG_KEY_MAX_LENGTH), "value": long(TAG_VALUE_MAX_LENGTH)}
    version = {"name": name, "version": "1"}
    description = long(DESCRIPTION_MAX_LENGTH)
    done("/registered-models/create", name=name, description=description, tags=[tag])
    done(
        "/model-versions/create",
        name=name,
        source="s3://b/" + long(SOURCE_MAX_LENGTH - 7),
        run_id=long(RUN_ID_MAX_LENGTH),
        run_link=long(SOURCE_MAX_LENGTH),
        model_id=long(RUN_ID_MAX_LENGTH),
        description=description,
        tags=[tag],
    )
    done("/registered-models/alias", **version, alias=alias)
    done("/registered-models/set-tag", name=name, **tag)
    done("/model-versions/set-tag", **version, **tag)
    done("/model-versions/transition-stage", **version, stage="Staging")
    done("/registered-models/rename", name=name, new_name=new_name)
