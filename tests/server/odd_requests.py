"""Requests that nobody means: what property tests throw at a server, and what it may answer."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from random import Random
from urllib.parse import quote_from_bytes, urlencode

import attrs
from hypothesis import strategies as st

from artifacts.path_tricks import HARMLESS, TRICKS
from differential import filters
from registry_core.search import paging
from registry_core.wire import CODES, camel_case
from registry_core.wire.prefixes import API
from registry_core.wire.uploads import UPLOADS_PATH
from registry_server.artifacts import PREFIXES
from registry_server.http.middleware import SERVER_INFO
from registry_server.http.own import ALL_OPERATIONS
from services.in_process import memory_registry
from services.wire_client import Response

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
    f"version_number > {2**63}",
    "name = 'a\x00b'",
    "name LIKE '\ud800%'",
    "run_id IN ('\udfff', '\x00')",
    "tags.`\x00` = 'v'",
    "tags.`\ud800` ILIKE '%\U0010ffff'",
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

_REFERENCES = ("name", "run_id", "source_path", "version_number", "tags.k", "tags.`{}`", "{}")
_OPERATORS = ("=", "!=", "<", ">=", "LIKE", "ILIKE", "IN", "NOT IN")
_LITERALS = ("'{}'", '"{}"', "('{}')", "('a', '{}')", "{}", "'%{}_'", "'\\{}%'")
filter_texts = st.one_of(
    st.builds(
        lambda reference, operator, literal, text: (
            f"{reference.format(text)} {operator} {literal.format(text)}"
        ),
        st.sampled_from(_REFERENCES),
        st.sampled_from(_OPERATORS),
        st.sampled_from(_LITERALS),
        texts | numbers.map(str),
    ),
    st.builds(
        lambda seed, path: filters.filter_text(Random(seed), path),
        st.integers(0, 2**32),
        st.sampled_from(["/registered-models/search", "/model-versions/search"]),
    ),
)
"""Filters that are almost right, and some that are."""


@functools.cache
def _true_tokens() -> Sequence[list[object]]:
    with memory_registry() as registry:
        for name in ("a", "b"):
            registry.create_registered_model(name)
            registry.create_model_version(name, source="s3://b/p")
        pages = (
            registry.search_registered_models(max_results=1),
            registry.search_model_versions(max_results=1),
        )
    return [paging.decode(page.next_page_token) for page in pages]


def _forged(which: int, key: list[object]) -> str:
    version, digest, true_key = _true_tokens()[which]
    return paging.encode([version, digest, [*key, *true_key[len(key) :]]])


page_tokens = st.builds(_forged, st.integers(0, 1), st.lists(scalars, min_size=1, max_size=3))
"""Tokens of the default searches, with places in them where no row is."""

places = st.tuples(scalars, scalars, scalars).map(lambda place: paging.encode([*place]))
"""Tokens of histories, with places in them where no event is."""

odd_texts = {"filter": filter_texts, "page_token": page_tokens | places}
"""By field: texts that get further into what reads it."""

FIELDS = sorted({field.name for op in ALL_OPERATIONS for field in attrs.fields(op.request)})
fields = st.dictionaries(
    st.sampled_from(FIELDS) | st.sampled_from([camel_case(name) for name in FIELDS]),
    values | tags,
    max_size=5,
)


class _Large(bytes):
    """A body too long to be told in the report of a failure."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes: {self[:10]!r}...>"


def broken(body):
    """The JSON, cut off somewhere, or with bytes that are not UTF-8."""
    return st.integers(0, len(body)).map(lambda at: body[:at]) | st.just(body + b"\xff")


bodies = st.one_of(
    fields.map(lambda found: json.dumps(found).encode()),
    fields.map(lambda found: json.dumps(json.dumps(found)).encode()),
    fields.map(lambda found: json.dumps(found).encode()).flatmap(broken),
    values.map(lambda found: json.dumps(found).encode()),
    st.binary(max_size=60),
    st.sampled_from(
        [
            _Large(b"[" * 100_000),
            _Large(b'{"a":' * 100_000),
            _Large(b'{"name":"' + b"x" * 300_000 + b'"}'),
        ]
    ),
)
queries = st.one_of(
    st.just(b""),
    st.lists(st.tuples(st.sampled_from(FIELDS), texts | st.integers().map(str)), max_size=5).map(
        lambda found: urlencode(found, errors="surrogatepass").encode()
    ),
    st.binary(max_size=60).map(lambda found: quote_from_bytes(found, safe="=&?;+").encode()),
    st.binary(max_size=60).map(lambda found: found.replace(b"?", b"")),
)
ALL_PATHS = [path for operation in ALL_OPERATIONS for path in operation.paths]
ALL_PATHS += [f"{API}/webhooks", f"{API}/webhooks/x", f"{API}/webhooks/x/test"]
ALL_PATHS += ["/health", "/ready", "/version", "/openapi.json", "/metrics", "/", API]
ALL_PATHS += sorted(SERVER_INFO)
ARTIFACT_PATHS = [
    prefix + below
    for prefix in PREFIXES
    for below in (
        "",
        "/artifacts",
        "/artifacts/m/one/MLmodel",
        "/presigned/m/one/MLmodel",
        "/mpu",
        "/mpu/create/m/one",
        "/mpu/complete/m/one",
        "/mpu/abort/m/one",
    )
]
ALL_PATHS += [*ARTIFACT_PATHS, f"{UPLOADS_PATH}/m/{'0' * 64}"]
quoted_bytes = st.binary(max_size=12).map(lambda tail: quote_from_bytes(tail, safe="/").encode())
path_bytes = st.sampled_from(ALL_PATHS).map(str.encode) | st.tuples(
    st.sampled_from(ALL_PATHS).map(str.encode), quoted_bytes
).map(b"".join)

ARTIFACTS = ("m", "m/one", "m/one/MLmodel", "m/one/deep/weights.bin", "free", "free/a.txt")
"""Folders and files that an artifact root of these tests has; nothing below `m` may be changed."""

_segments = st.one_of(
    st.sampled_from(ARTIFACTS).map(str.encode),
    st.sampled_from([*HARMLESS, *(trick for kind in TRICKS.values() for trick in kind)]),
    texts.map(lambda text: quoted(text[:400]).encode()),
    quoted_bytes,
)
artifact_names = st.lists(_segments, min_size=1, max_size=3).map(b"/".join)
"""Paths below an artifact route, as they stand in a request line."""

artifact_targets = st.builds(
    lambda prefix, route, name: f"{prefix}/{route}".encode() + name,
    st.sampled_from(PREFIXES),
    st.sampled_from(
        ["artifacts/", "presigned/", "mpu/create/", "mpu/complete/", "mpu/abort/", "mpu/", ""]
    ),
    st.just(b"") | artifact_names,
) | st.builds(
    lambda prefix, name: f"{prefix}/artifacts?path=".encode() + name,
    st.sampled_from(PREFIXES),
    artifact_names,
)
"""Artifact routes, with paths and queries that no client means."""

_part = st.fixed_dictionaries(
    {}, optional={"part_number": st.just(1) | scalars, "etag": st.just('"e"') | scalars}
)
_uploads = st.fixed_dictionaries(
    {},
    optional={
        "path": texts | st.just("big.bin") | values,
        "num_parts": st.integers(-1, 3) | scalars,
        "upload_id": texts | st.just("u") | values,
        "parts": st.lists(_part, max_size=3) | values,
    },
)
artifact_bodies = (
    _uploads.map(lambda found: json.dumps(found).encode())
    | bodies
    | st.just(_Large(b"\x00\xff" * 40_000))
)
"""Files, and what the multipart routes might take for a request."""

artifact_headers = st.lists(
    st.one_of(
        st.builds(
            lambda first, last: (b"range", f"bytes={first}-{last}".encode()),
            st.sampled_from(["", "0", "5", "999999", "9" * 40]),
            st.sampled_from(["", "0", "5", "999999", "9" * 40]),
        ),
        st.tuples(
            st.sampled_from([b"range", b"if-range", b"content-length", b"content-type"]),
            st.binary(max_size=20).filter(lambda value: not set(value) & {0, 10, 13}),
        ),
    ),
    max_size=2,
)
"""Ranges and lengths, mostly wrong."""
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


def quoted(text: str) -> str:
    """The text as one segment of a path, also where it is no text."""
    return quote_from_bytes(text.encode(errors="surrogatepass"), safe="")


def assert_orderly(answer: Response, method: str, *, may_lack: bool = False) -> None:
    """The answer is a success, or an error as clients can read it; a 501 only if it may be.

    That is what a directory of artifacts answers where a bucket has URLs of its own; clients take
    another way, and do not repeat it.
    """
    assert answer.status < 500 or (may_lack and answer.status == 501), answer
    if method == "HEAD" or answer.status == 204:
        assert answer.body == b""
    elif answer.status >= 300:
        assert answer.status >= 400
        assert answer.headers["content-type"] == "application/json"
        assert answer.json["error_code"] in CODES
        assert answer.json["message"]
    if answer.headers.get("content-type") == "application/json":
        assert answer.body.isascii()
