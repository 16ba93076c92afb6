"""Whatever a client sends: never a 5xx, always JSON (design 2, the wire)."""

from __future__ import annotations

import json
from urllib.parse import quote_from_bytes, urlencode

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry_core.wire import CODES, camel_case
from registry_server.app import API, paths
from registry_server.operations import REGISTRY_OPERATIONS
from services.in_process import InProcessServer

NASTY = [
    "",
    " ",
    "m",
    "1",
    "x" * 300,
    "\x00",
    "a\x00b",
    "\ud800",
    "a\udfffb",
    "\uffff",
    "😀",
    "é",
    "İ",
    "\u2028",
    "..",
    "../../etc/passwd",
    "..%2f..%2f",
    "%00",
    "a/b",
    "C:\\x",
    "'; DROP TABLE registered_models; --",
    "' OR '1'='1",
    '" OR ""="',
    "${jndi:ldap://x}",
    "{{7*7}}",
    "name = 'm'",
    "name LIKE '%_\\'",
    "name = '" + "x" * 65_536 + "'",
    "name IN (" + ",".join(["'a'"] * 5_000) + ")",
    "AND " * 5_000,
    "(" * 20_000,
    "tags.`" + "`.`" * 1_000,
    "name ILIKE '" + "%a" * 10_000 + "'",
    "name = 'm' AND",
    "version_number = " + "9" * 5_000,
    "name IS NULL",
    "order by",
    "name ASC, name DESC",
    "Production",
    "latest",
    "v1",
    "-1",
    "9" * 400,
    "1e400",
    "s3://b/p",
    "s3://[",
    "models:/m/1",
    "models:/m@champ",
    "models:/\x00/1",
    "models:/" + "m/" * 2_000,
    "file://host/x",
    "runs:/",
    "W10=",
    "eyJvZmZzZXQiOiAyfQ==",
    "WzEsIngiLFsxXV0=",
    "=" * 1_000,
]

texts = st.sampled_from(NASTY) | st.text(max_size=20)
numbers = st.integers() | st.floats() | st.sampled_from([2**31, 2**63, 2**64, 10**400, -1, 0])
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
tags = st.lists(st.fixed_dictionaries({}, optional={"key": scalars, "value": scalars}), max_size=3)

FIELDS = sorted({field.name for op in REGISTRY_OPERATIONS for field in attrs.fields(op.request)})
fields = st.dictionaries(
    st.sampled_from(FIELDS) | st.sampled_from([camel_case(name) for name in FIELDS]),
    values | tags,
    max_size=5,
)


def broken(body):
    """The JSON, cut off somewhere, or with bytes that are not UTF-8."""
    return st.integers(0, len(body)).map(lambda at: body[:at]) | st.just(body + b"\xff")


bodies = st.one_of(
    fields.map(lambda found: json.dumps(found).encode()),
    fields.map(lambda found: json.dumps(json.dumps(found)).encode()),
    fields.map(lambda found: json.dumps(found).encode()).flatmap(broken),
    values.map(lambda found: json.dumps(found).encode()),
    st.binary(max_size=60),
    st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b'{"name":"' + b"x" * 300_000 + b'"}']),
)
queries = st.one_of(
    st.just(b""),
    st.lists(st.tuples(st.sampled_from(FIELDS), texts | st.integers().map(str)), max_size=5).map(
        lambda found: urlencode(found, errors="surrogatepass").encode()
    ),
    st.binary(max_size=60).map(lambda found: quote_from_bytes(found, safe="=&?;+").encode()),
    st.binary(max_size=60).map(lambda found: found.replace(b"?", b"")),
)
ALL_PATHS = [path for operation in REGISTRY_OPERATIONS for path in paths(operation)]
ALL_PATHS += [f"{API}/webhooks", f"{API}/webhooks/x", f"{API}/webhooks/x/test"]
ALL_PATHS += ["/health", "/ready", "/version", "/openapi.json", "/metrics", "/", API]
path_bytes = st.sampled_from(ALL_PATHS).map(str.encode) | st.tuples(
    st.sampled_from(ALL_PATHS).map(str.encode),
    st.binary(max_size=12).map(lambda tail: quote_from_bytes(tail, safe="/").encode()),
).map(b"".join)
methods = st.sampled_from(["GET", "POST", "PATCH", "DELETE"]) | st.sampled_from(
    ["PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PURGE"]
)
header_values = st.binary(max_size=20).filter(lambda value: not set(value) & {0, 10, 13})
headers = st.lists(
    st.one_of(
        st.just((b"content-type", b"application/json")),
        st.tuples(
            st.sampled_from(
                [b"content-type", b"host", b"origin", b"authorization", b"x-mlflow-workspace"]
            ),
            header_values,
        ),
    ),
    max_size=3,
)

QUICK = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def assert_orderly(answer, method):
    """The answer is a success, or an error as clients can read it."""
    assert answer.status < 500, answer
    if method == "HEAD" or answer.status == 204:
        assert answer.body == b""
    elif answer.status != 200:
        assert answer.status >= 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["error_code"] in CODES
        assert answer.json["message"]
    assert answer.body.isascii()


@given(method=methods, path=path_bytes, query=queries, body=bodies, given_headers=headers)
@QUICK
def test_anything_at_all_gets_an_orderly_answer(
    server, method, path, query, body, *, given_headers
):
    """Methods, paths, queries, bodies and headers that nobody means."""
    target = path + b"?" + query if query else path
    assert_orderly(server.send(method, target, body, given_headers), method)


@pytest.fixture(scope="module")
def filled():
    """A server with something to find, to change and to destroy."""
    with InProcessServer() as server:
        yield server


def refill(server):
    server.empty()
    registry = server.registry
    registry.create_registered_model("m", tags={"a": "1"})
    registry.create_model_version("m", source="s3://b/p", run_id="r")
    registry.set_registered_model_alias("m", "champ", "1")


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


@given(
    operation=st.sampled_from(REGISTRY_OPERATIONS),
    data=st.data(),
    in_query=st.booleans(),
)
@QUICK
def test_one_odd_field_gets_an_orderly_answer(filled, operation, data, in_query):
    """Requests that are right but for one field get further than noise does."""
    refill(filled)
    names = [field.name for field in attrs.fields(operation.request)]
    request = {name: VALID[name] for name in names if name in VALID}
    odd = data.draw(st.sampled_from(names))
    request[odd] = data.draw(tags | values if odd == "tags" else texts | values)
    target = (API + operation.path).encode()
    if in_query and operation.is_read:
        pairs = [(key, str(value)) for key, value in request.items()]
        query = urlencode(pairs, errors="surrogatepass").encode()
        answer = filled.send(operation.method, target + b"?" + query)
    else:
        body = json.dumps(request).encode()
        answer = filled.send(
            operation.method, target, body, [(b"content-type", b"application/json")]
        )
    assert_orderly(answer, operation.method)
    if answer.status == 200:
        assert isinstance(answer.json, dict)


@pytest.mark.parametrize("text", NASTY, ids=lambda text: repr(text[:24]))
def test_nasty_text_in_every_field_gets_an_orderly_answer(filled, text):
    """Every operation, every field, this text."""
    for operation in REGISTRY_OPERATIONS:
        names = [field.name for field in attrs.fields(operation.request)]
        for odd in names:
            refill(filled)
            request = {name: VALID[name] for name in names if name in VALID}
            request[odd] = [{"key": text, "value": text}] if odd == "tags" else text
            answer = filled.call(operation.method, operation.path, request)
            assert_orderly(answer, operation.method)
