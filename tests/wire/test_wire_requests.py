"""Requests as MLflow's JSON and query strings become request classes, or errors of its wording."""

from __future__ import annotations

import contextlib
import json
import sys
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core import wire
from registry_core.errors import InvalidArgumentError
from registry_core.validation import TAG_VALUE_MAX_LENGTH, TAGS_MAX_COUNT
from registry_core.wire import requests
from registry_core.wire.payloads import MOST_ELEMENTS
from registry_core.wire.requests import (
    CreateModelVersion,
    CreateRegisteredModel,
    GetLatestVersions,
    GetModelVersion,
    GetModelVersionDownloadUri,
    RenameRegisteredModel,
    SearchModelVersions,
    SearchRegisteredModels,
    TransitionModelVersionStage,
    UpdateModelVersion,
)
from services.examples import examples
from services.in_process import missing, wrong_type

ALL_REQUESTS = [
    value
    for value in vars(requests).values()
    if isinstance(value, type)
    and value.__module__ == requests.__name__
    and value.__name__ != "AtMost"
]


def decode_body(cls, body):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.decode_request(cls, wire.fields_of_body(raw))


def decode_query(cls, query):
    return wire.decode_request(cls, wire.fields_of_query(cls, query))


def refusal(cls, body):
    with pytest.raises(InvalidArgumentError) as caught:
        decode_body(cls, body)
    return str(caught.value)


# Bodies (contract 1.2, 4)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"\xff{}", b'{"name":}', b"{'name': 1}", b'"null"'],
    ids=repr,
)
def test_body_that_is_no_json_counts_as_empty(body):
    """The answer then names the first missing field, as MLflow's does."""
    assert refusal(CreateRegisteredModel, body) == missing("name")


@pytest.mark.parametrize("body", [b"[]", b"1", b"true", b'"abc"', b'"[]"', b'""', b"1.5"], ids=repr)
def test_body_that_is_json_but_no_object_is_refused(body):
    """A list or a number is no request."""
    assert refusal(CreateRegisteredModel, body).startswith("The request body must be a JSON object")


def test_body_encoded_twice_is_accepted():
    """Very old clients send their JSON as a JSON text."""
    assert decode_body(CreateRegisteredModel, b'"{\\"name\\": \\"m\\"}"').name == "m"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_body_in_a_unicode_encoding_is_accepted(encoding):
    """JSON says by itself how it is encoded."""
    assert decode_body(CreateRegisteredModel, '{"name":"é"}'.encode(encoding)).name == "é"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_body_nested_too_deeply_is_refused(opening, closing):
    """Depth costs the parser's stack; it must not cost the process."""
    deep = opening * 10_000 + b"1" + closing * 10_000
    for field in (b'"name":', b'"name":"m","tags":', b'"name":"m","tags":[{"key":'):
        end = b"}]}" if b"[" in field else b"}"
        with pytest.raises(InvalidArgumentError):
            decode_body(CreateRegisteredModel, b"{" + field + deep + end)
    # From Python 3.14 on, the parser takes it, and no request has such a field.
    if sys.version_info < (3, 14):
        body = b'{"name":"m","x":' + deep + b"}"
        assert "nested too deeply" in refusal(CreateRegisteredModel, body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"name":"m","tags":[' + b",".join([b"{}"] * MOST_ELEMENTS) + b"]}",
        b'{"name":"m",' + b",".join(b'"%d":0' % n for n in range(MOST_ELEMENTS)) + b"}",
        json.dumps(json.dumps({"x": [1] * (MOST_ELEMENTS + 1)})).encode(),
        json.dumps({"x": [""] * (MOST_ELEMENTS + 1)}).encode("utf-16"),
    ],
    ids=["items", "members", "twice", "utf-16"],
)
def test_body_of_too_many_elements_is_refused_before_they_are_objects(body, monkeypatch):
    """As objects they would take up to a hundred times the memory."""
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    message = f"The request body may have {MOST_ELEMENTS} elements, but this one has more."
    assert refusal(CreateRegisteredModel, body) == message
    assert all(isinstance(loads(text), str) for text in parsed)


def test_body_of_all_the_tags_that_a_model_may_have_is_accepted():
    """Whatever is in their texts: commas and braces there are no elements."""
    tags = [{"key": f"k{n}", "value": '{"a": [1, 2]},\\" ' * 50} for n in range(TAGS_MAX_COUNT)]
    assert len(decode_body(CreateRegisteredModel, {"name": "m", "tags": tags}).tags) == len(tags)


def test_query_of_too_many_fields_is_refused():
    """They would be objects before anybody looks at them."""
    with pytest.raises(InvalidArgumentError, match="A query may have 1000 fields"):
        decode_query(SearchRegisteredModels, b"order_by=name&" * 1_000)
    assert decode_query(SearchRegisteredModels, b"order_by=name&" * 999).order_by == ("name",) * 999


def test_unknown_keys_and_odd_numbers_in_them_are_ignored():
    """Clients of other releases send fields that this one does not know."""
    body = b'{"name":"m","new_field":NaN,"other":1e999,"big":' + b"9" * 4000 + b"}"
    assert decode_body(CreateRegisteredModel, body) == CreateRegisteredModel(name="m")


def test_key_given_twice_counts_last():
    """As every JSON parser of Python reads it."""
    assert decode_body(CreateRegisteredModel, b'{"name":"a","name":"b"}').name == "b"


def test_null_is_absent():
    """Explicit null and a missing key are one thing."""
    body = {"name": "m", "tags": None, "description": None, "deployment_job_id": None}
    assert decode_body(CreateRegisteredModel, body) == CreateRegisteredModel(name="m")
    body = {"filter": None, "max_results": None, "order_by": None, "page_token": None}
    assert decode_body(SearchRegisteredModels, body) == SearchRegisteredModels()
    body = {"name": "m", "version": "1", "stage": "None", "archive_existing_versions": None}
    assert not decode_body(TransitionModelVersionStage, body).archive_existing_versions


def test_searches_have_pages_of_their_own_size():
    """What a client gets that does not ask: 100 models, or all versions up to the limit."""
    assert decode_body(SearchRegisteredModels, {}).max_results == 100
    assert decode_body(SearchModelVersions, {}).max_results == 200_000


# Spellings


def test_camel_case_is_read_where_a_field_may_be_absent():
    """Protobuf's JSON allows it, so some clients write it."""
    assert decode_body(SearchRegisteredModels, {"maxResults": 7}).max_results == 7
    assert decode_body(CreateModelVersion, {"name": "m", "source": "s", "runId": "r"}).run_id == "r"


def test_camel_case_is_not_read_for_required_fields():
    """MLflow looks for those by their own name only."""
    assert refusal(RenameRegisteredModel, {"name": "a", "newName": "b"}) == missing("new_name")


@pytest.mark.parametrize("values", [("b", "b"), (None, "b"), ("b", None)])
def test_both_spellings_at_once_are_refused(values):
    """Two spellings could say two things."""
    body = {"name": "a", "new_name": values[0], "newName": values[1]}
    assert refusal(RenameRegisteredModel, body) == (
        "Request specifies both 'new_name' and 'newName'; provide only one of them."
    )


# Types


@pytest.mark.parametrize("value", [1, True, 1.5, [], ["m"], {}, {"a": 1}], ids=repr)
def test_text_field_takes_only_texts(value):
    """A version `2` instead of "2" is an error, not a guess."""
    assert refusal(CreateRegisteredModel, {"name": value}) == wrong_type("name", value)
    body = {"name": "m", "description": value}
    assert refusal(CreateRegisteredModel, body) == wrong_type("description", value)


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), ("3", 3), ("+3", 3), ("03", 3), (2.0, 2), (1e2, 100), ("-1", -1)]
)
def test_integer_field_takes_numbers_and_numerals(value, number):
    """int64 travels as a text in protobuf's JSON."""
    assert decode_body(SearchRegisteredModels, {"max_results": value}).max_results == number


@pytest.mark.parametrize(
    "value",
    ["abc", "", "1.5", "0x3", " 3 ", "1e2", "٣", "3\n", 2.5, True, [], {}, "9" * 30, 10**30],
    ids=repr,
)
def test_integer_field_refuses_the_rest(value):
    """Nothing is rounded, trimmed or taken for another type."""
    body = {"max_results": value}
    assert refusal(SearchRegisteredModels, body) == wrong_type("max_results", value)


@pytest.mark.parametrize("cls", [SearchRegisteredModels, SearchModelVersions])
def test_max_results_has_a_limit_for_each_search(cls):
    """One page too large is refused with the text of a wrong type."""
    limit = 1_000 if cls is SearchRegisteredModels else 200_000
    assert decode_body(cls, {"max_results": limit}).max_results == limit
    assert refusal(cls, {"max_results": limit + 1}) == wrong_type("max_results", limit + 1)


@pytest.mark.parametrize("value", ["true", 1, 0, "", []], ids=repr)
def test_boolean_field_takes_only_booleans(value):
    """Neither 1 nor "true" is true."""
    body = {"name": "m", "version": "1", "stage": "None", "archive_existing_versions": value}
    assert refusal(TransitionModelVersionStage, body) == wrong_type(
        "archive_existing_versions", value
    )


@pytest.mark.parametrize("value", ["None", {}, 1, [1], ["None", None]], ids=repr)
def test_list_field_takes_only_lists_of_texts(value):
    """A lone text is not a list of one."""
    assert refusal(GetLatestVersions, {"name": "m", "stages": value}) == wrong_type("stages", value)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ([], {}),
        ([{"key": "a", "value": "1"}, {"key": "b", "value": ""}], {"a": "1", "b": ""}),
        ([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}], {"a": "2"}),
        ([{"key": "a"}, {"key": "b", "value": None}], {"a": "", "b": ""}),
        ([{"key": "a", "value": "1", "more": 2}], {"a": "1"}),
        ([{"value": "v"}], {"": "v"}),
    ],
)
def test_tags_become_a_mapping(tags, expected):
    """Duplicates collapse, the last wins; a missing value is empty."""
    assert decode_body(CreateRegisteredModel, {"name": "m", "tags": tags}).tags == expected


def test_an_overridden_tag_that_is_too_long_is_refused_all_the_same():
    """MLflow checks every one of them; whoever checks them later sees it."""
    long = "x" * (TAG_VALUE_MAX_LENGTH + 1)
    tags = [{"key": "a", "value": long}, {"key": "a", "value": "1"}, {"key": "b", "value": "2"}]
    decoded = decode_body(CreateRegisteredModel, {"name": "m", "tags": tags}).tags
    assert decoded == {"a": long, "b": "2"}


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({}, wrong_type("tags", {})),
        ("a", wrong_type("tags", "a")),
        ([1], wrong_type("tags", [1])),
        ([None], wrong_type("tags", [None])),
        ([{"key": 1, "value": "v"}], wrong_type("key", 1)),
        ([{"key": "k", "value": 1}], wrong_type("value", 1)),
    ],
)
def test_tags_of_wrong_types_are_refused(tags, message):
    """A number is not stored as an empty text."""
    assert refusal(CreateRegisteredModel, {"name": "m", "tags": tags}) == message


def test_faults_are_told_in_the_order_of_the_fields():
    """Not in the order of the keys: the same request gets the same answer."""
    for body in ({"tags": 1, "name": 2}, {"name": 2, "tags": 1}):
        assert refusal(CreateRegisteredModel, body) == wrong_type("name", 2)
    assert refusal(CreateRegisteredModel, {"tags": 1}) == missing("name")


@pytest.mark.parametrize("value", [None, ""])
def test_required_field_absent_null_or_empty_is_missing(value):
    """Protobuf cannot tell the three apart."""
    assert refusal(GetModelVersion, {"name": "m", "version": value}) == missing("version")
    assert refusal(GetModelVersion, {"version": "1"}) == missing("name")


def test_download_uri_requires_nothing_by_itself():
    """The registry then says which is missing, in other words (contract 2.19)."""
    empty = GetModelVersionDownloadUri(name="", version="")
    assert decode_body(GetModelVersionDownloadUri, {}) == empty


def test_run_id_that_is_empty_differs_from_none():
    """Only one that is absent is inherited from a `models:/` source."""
    body = {"name": "m", "source": "s"}
    assert decode_body(CreateModelVersion, body).run_id is None
    assert decode_body(CreateModelVersion, {**body, "run_id": ""}).run_id == ""


def test_description_that_is_empty_differs_from_none():
    """None erases, the empty text is kept."""
    body = {"name": "m", "version": "1"}
    assert decode_body(UpdateModelVersion, body).description is None
    assert decode_body(UpdateModelVersion, {**body, "description": ""}).description == ""


# Query strings (contract 1.2, 1)


@given(
    st.lists(
        st.sampled_from(
            [
                "name=",
                "order_by=",
                "name",
                "order_by",
                "x=",
                "=",
                "&",
                "+",
                ";",
                "%",
                "%26",
                "%3d",
                "%c3%bc",
                "%ff",
                "%zz",
            ]
        )
        | st.sampled_from(["", " ", "\u00fc"])
    ).map(lambda pieces: "".join(pieces).encode())
    | st.lists(st.sampled_from(["name=", "order_by=a", "name=%41", "", "a+b"])).map(
        lambda fields: "&".join(fields).encode()
    )
    | st.binary()
)
def test_queries_are_read_as_browsers_write_them(query):
    """`application/x-www-form-urlencoded` (WHATWG URL), in any state of decay."""
    text = query.decode("utf-8", "replace")
    pairs = urllib.parse.parse_qsl(text, keep_blank_values=True)
    expected = {}
    for name, value in reversed(pairs):
        if name == "name":
            expected["name"] = value
        if name == "order_by":
            expected["order_by"] = [value, *expected.get("order_by", [])]
    found = wire.fields_of_query(SearchRegisteredModels, query)
    assert found.get("order_by") == expected.get("order_by")
    found = wire.fields_of_query(GetModelVersion, query)
    assert found.get("name") == expected.get("name")


def test_query_reads_snake_case_names_only():
    """Case-sensitively; everything else is ignored."""
    decoded = decode_query(SearchRegisteredModels, b"maxResults=5&MAX_RESULTS=6&x=1&filter=f")
    assert decoded == SearchRegisteredModels(filter="f")


def test_query_scalar_given_twice_counts_first():
    """As Flask reads it."""
    assert decode_query(GetModelVersion, b"name=a&version=1&name=b").name == "a"


def test_query_list_has_every_occurrence_as_an_element():
    """Commas do not split."""
    decoded = decode_query(GetLatestVersions, b"name=m&stages=none,Archived&stages=Staging")
    assert decoded.stages == ("none,Archived", "Staging")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (b"name=a+b", "a b"),
        (b"name=a%2Bb", "a+b"),
        (b"name=%C3%A9", "é"),
        ("name=é".encode(), "é"),
        (b"name=a%00b", "a\x00b"),
        (b"name=%ff", "�"),
        (b"name=a%3Bb;c", "a;b;c"),
    ],
)
def test_query_is_percent_decoded_as_utf8(query, name):
    """Broken bytes become the replacement character, which names nothing."""
    assert decode_query(GetModelVersion, query + b"&version=1").name == name


def test_query_with_an_empty_value_is_missing():
    """`?name=` names nothing."""
    with pytest.raises(InvalidArgumentError, match="parameter 'name'"):
        decode_query(GetModelVersion, b"name=&version=1")


@pytest.mark.parametrize(("value", "number"), [(b"7", 7), (b"%2B7", 7), (b"07", 7)])
def test_query_integers_are_numerals(value, number):
    """All that a query has is texts."""
    decoded = decode_query(SearchRegisteredModels, b"max_results=" + value)
    assert decoded.max_results == number


# Content types (contract 1.2, 3)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=latin1",
        "application/json ",
    ],
)
def test_json_content_types_are_accepted(method, content_type):
    """Parameters do not matter."""
    wire.check_content_type(method, content_type)


@pytest.mark.parametrize(
    "content_type",
    ["APPLICATION/JSON", "text/plain", "application/vnd.api+json", "", "application/json,x"],
)
def test_other_content_types_are_refused(content_type):
    """POST says what it sends."""
    with pytest.raises(InvalidArgumentError, match=r"must be one of \['application/json'\]\."):
        wire.check_content_type("POST", content_type)
    with pytest.raises(InvalidArgumentError, match="Content-Type header is missing"):
        wire.check_content_type("POST", None)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("content_type", [None, "text/plain", ""])
def test_other_methods_need_no_content_type(method, content_type):
    """Only POST and PUT are asked."""
    wire.check_content_type(method, content_type)


# Properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)


@given(cls=st.sampled_from(ALL_REQUESTS), data=st.data())
@settings(max_examples=examples(60), deadline=None)
def test_any_json_is_decoded_or_refused_as_an_invalid_argument(cls, data):
    """Whatever a client sends, no other exception comes out."""
    names = [field.name for field in cls.__attrs_attrs__]
    keys = st.sampled_from([*names, *map(wire.camel_case, names)]) | st.text(max_size=5)
    fields = data.draw(st.dictionaries(keys, json_values, max_size=6))
    try:
        decoded = decode_body(cls, fields)
    except InvalidArgumentError as error:
        wire.dumps(wire.error_body(error))
    else:
        assert type(decoded) is cls


@given(body=st.binary(max_size=200))
@settings(max_examples=examples(60), deadline=None)
def test_any_bytes_are_an_object_or_refused(body):
    """Bytes that nobody meant as JSON included."""
    with contextlib.suppress(InvalidArgumentError):
        assert isinstance(wire.fields_of_body(body), dict)


@pytest.mark.parametrize("cls", ALL_REQUESTS, ids=lambda cls: cls.__name__)
def test_request_survives_being_written_and_read(cls):
    """The REST store writes what the server reads."""
    values = {}
    for field in cls.__attrs_attrs__:
        plain = str(field.type)
        if "Mapping" in plain:
            values[field.name] = {"a": "1", "b": ""}
        elif "tuple" in plain:
            values[field.name] = ("x", "y")
        elif "int" in plain:
            values[field.name] = 7
        elif "bool" in plain:
            values[field.name] = True
        else:
            values[field.name] = f"a {field.name}"
    request = cls(**values)
    assert decode_body(cls, wire.dumps(wire.encode_request(request))) == request
