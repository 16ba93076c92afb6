"""Documents as JSON: nothing is lost, nothing is guessed, and people can read it."""

from __future__ import annotations

import contextlib
import json

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_core import documents
from registry_core.authors import Origin
from registry_core.documents import ModelDocument
from registry_core.errors import StoreCorruptedError
from registry_core.history import Action, Event
from registry_core.models import (
    Approval,
    ModelVersion,
    NewRegisteredModel,
    Stage,
    Status,
    Webhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.stores.s3.codec import (
    APPROVALS_FORMAT_VERSION,
    NEWEST_FORMAT_VERSION,
    decode,
    encode,
)
from registry_core.stores.s3.event_format import event_of, line_of
from registry_core.stores.s3.event_log import EventLog, Span
from registry_core.stores.s3.large_text import LargeText
from registry_core.stores.s3.record import Model, Record, RenameIntent, Tombstone
from services.examples import examples

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)
TIMES = st.integers(0, 2**53)
TAGS = st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3)
VERSIONS = st.builds(
    ModelVersion,
    name=st.just("m"),
    version=st.integers(1, 50),
    creation_timestamp=TIMES,
    last_updated_timestamp=TIMES,
    current_stage=st.sampled_from(Stage),
    source=TEXTS,
    storage_location=st.none() | TEXTS,
    run_id=st.none() | TEXTS,
    run_link=st.none() | TEXTS,
    status=st.sampled_from(Status),
    status_message=st.none() | TEXTS,
    description=st.none() | TEXTS,
    user_id=st.none() | TEXTS,
    model_id=st.none() | TEXTS,
    tags=TAGS,
)


@st.composite
def model_documents(draw: st.DrawFn) -> ModelDocument:
    """A document with anything in it that can be."""
    versions = draw(st.lists(VERSIONS, max_size=4, unique_by=lambda version: version.version))
    numbers = [version.version for version in versions]
    aliases = (
        st.dictionaries(TEXTS, st.sampled_from(numbers), max_size=3) if numbers else st.just({})
    )
    document = ModelDocument(
        name="m",
        model_id="id",
        creation_timestamp=draw(TIMES),
        last_updated_timestamp=draw(TIMES),
        description=draw(st.none() | TEXTS),
        deployment_job_id=draw(st.none() | TEXTS),
        deployment_job_state=draw(st.none() | TEXTS),
        tags=draw(TAGS),
        aliases=draw(aliases),
        next_version=draw(st.integers(51, 99)),
    )
    return documents.build(document, versions)


def record(content: object) -> Record:
    return Record().then("00000000000abcdef0", content)


def stored(content: object) -> dict[str, object]:
    plain = json.loads(encode(record(content)))
    assert isinstance(plain, dict)
    return plain


def model(**fields: object) -> Model:
    document = documents.create_document(NewRegisteredModel(name="m"), 1, model_id="id")
    return Model(document=attrs.evolve(document, **fields))


@given(model_documents())
@settings(max_examples=examples(50))
def test_a_document_comes_back_as_it_was(document: ModelDocument) -> None:
    """Every field, every order, the difference between nothing and an empty text."""
    before = record(Model(document=document))
    after = decode("k", encode(before))
    assert after == before
    assert list(after.content.document.tags) == list(document.tags)
    assert list(after.content.document.versions) == list(document.versions)


@pytest.mark.parametrize(
    "content",
    [
        Tombstone(name="m"),
        Tombstone(name="m", model_id="id", renamed_to="n"),
        RenameIntent(document=model().document, source="n", base="base", operation="op"),
        Webhook(
            webhook_id="w",
            name="hook",
            url="https://example.com",
            events=(WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET),),
            description="",
            status=WebhookStatus.DISABLED,
            secret="encrypted",
            creation_timestamp=1,
            last_updated_timestamp=2,
        ),
    ],
)
def test_everything_else_comes_back_as_it_was(content: object) -> None:
    """Tombstones, arriving models and webhooks, in the format that every release reads."""
    assert decode("k", encode(record(content))) == record(content)
    assert stored(content)["format_version"] == 1


@pytest.mark.parametrize("spilled", [None, Span(5, 9)])
@pytest.mark.parametrize("kind", ["model", "arriving", "tombstone"])
def test_events_come_back_as_they_were(kind: str, spilled: Span | None) -> None:
    """Of every kind of document, with a `format_version` that says that there are some."""
    first = 1 if spilled is None else 33
    event = Event(
        model_id="id",
        name="m",
        sequence=first,
        time=7,
        actor="ann",
        is_authenticated=True,
        origin=Origin.HTTP,
        reason="Grüße",
        action=Action.DELETE_VERSION,
        version=3,
        before={
            "tags": {"large": "text", "bytes": "9"},
            "description": LargeText.to(model_id="id", value_id="digest-op", size=9_000),
        },
    )
    later = attrs.evolve(event, sequence=first + 1, before="", after=5, key="k")
    log = EventLog(first=first, spilled=spilled).then(map(line_of, [event, later]))
    content = {
        "model": Model(document=model().document, log=log),
        "arriving": RenameIntent(
            document=model().document, log=log, source="n", base="base", operation="op"
        ),
        "tombstone": Tombstone(name="m", model_id="id", log=log),
    }[kind]
    body = encode(record(content))
    assert json.loads(body)["format_version"] == 2
    assert body.decode().count("\n{") == 2, "one event per line"
    assert decode("k", body) == record(content)
    assert [event_of(line, "id") for line in log.lines] == [event, later]


@pytest.mark.parametrize("kind", ["model", "arriving"])
def test_approvals_come_back_as_they_were(kind: str) -> None:
    """With a `format_version` that releases refuse which do not know them."""
    approval = Approval(actor="ann", groups=("risk",), digest="sha256:" + "0" * 64, time=5)
    document = documents.build(
        attrs.evolve(model().document, next_version=2, approvals={1: (approval,)}),
        [
            ModelVersion(
                name="m", version=1, source="s", creation_timestamp=1, last_updated_timestamp=1
            )
        ],
    )
    content: Model | RenameIntent = Model(document=document)
    if kind == "arriving":
        content = RenameIntent(document=document, source="n", base="base", operation="op")
    written = record(content)
    assert stored(content)["format_version"] == APPROVALS_FORMAT_VERSION
    assert decode("some/key", encode(written)) == written


def test_a_large_text_is_a_reference() -> None:
    """With its digest and size; the model's id is written once."""
    reference = LargeText.to(model_id="id", value_id="digest-operation", size=9_000)
    content = model(description=reference, tags={"k": reference})
    assert stored(content)["tags"] == {"k": {"large": "digest-operation", "bytes": 9_000}}
    back = decode("k", encode(record(content))).content.document
    assert back.tags["k"] == reference
    assert isinstance(back.description, LargeText)


def test_a_document_is_written_for_people() -> None:
    """A line per field, a line per version, no defaults, no escapes."""
    versions = [
        ModelVersion(
            name="m",
            version=number,
            creation_timestamp=5,
            last_updated_timestamp=5,
            source=f"s3://b/{number}",
            tags={"größe": "1"},
        )
        for number in (1, 2)
    ]
    document = documents.build(model(aliases={"a": 2}, next_version=3).document, versions)
    assert encode(record(Model(document=document))).decode().splitlines() == [
        "{",
        '"format_version": 1,',
        '"kind": "registered_model",',
        '"revision": 1,',
        '"operations": ["00000000000abcdef0"],',
        '"name": "m",',
        '"model_id": "id",',
        '"creation_timestamp": 1,',
        '"last_updated_timestamp": 1,',
        '"aliases": {"a":2},',
        '"next_version": 3,',
        '"versions": [',
        '{"version":1,"creation_timestamp":5,"source":"s3://b/1","tags":{"größe":"1"}},',
        '{"version":2,"creation_timestamp":5,"source":"s3://b/2","tags":{"größe":"1"}}',
        "]",
        "}",
    ]


VERSION = {"version": 1, "creation_timestamp": 5, "source": "s3://b"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, r"name"),
        ({"name": 5}, r"expected str @ \$\.name"),
        ({"revision": "1"}, r"expected int @ \$\.revision"),
        ({"revision": True}, r"expected int @ \$\.revision"),
        ({"revision": 0}, "journal"),
        ({"operations": []}, "journal"),
        ({"next_version": 1.0}, r"expected int @ \$\.next_version"),
        ({"tags": {"k": 1}}, r"\$\.tags"),
        ({"tags": {"k": {"large": "x"}}}, r"\$\.tags"),
        ({"tags": [{"key": "k", "value": "v"}]}, r"\$\.tags"),
        ({"aliases": {"a": "1"}}, r"\$\.aliases"),
        ({"kind": "model"}, "kind 'model' is unknown"),
        ({"added_by_a_newer_release": 1}, "added_by_a_newer_release"),
        (
            {"versions": [{**VERSION, "current_stage": "Limbo"}]},
            r"\$\.versions\[0\]\.current_stage",
        ),
        ({"versions": [{**VERSION, "surprise": 1}]}, "surprise"),
        ({"versions": [VERSION, VERSION]}, "two of its versions"),
        ({"versions": None}, r"\$\.versions"),
        ({"format_version": NEWEST_FORMAT_VERSION + 1}, "use a newer release"),
        ({"events": [{"sequence": 2, "time": 1}]}, "do not begin with number 1"),
        (
            {"events": [{"sequence": 1, "time": 1}, {"sequence": 3, "time": 1}]},
            "event 2 is missing",
        ),
        ({"events": [{"sequence": "1", "time": 1}]}, "str instead of int"),
        ({"events": [{"sequence": 1, "time": None}]}, "NoneType instead of int"),
        ({"events": [5]}, "TypeError"),
        ({"events": ""}, "str instead of list"),
        ({"events": None}, "NoneType instead of list"),
        ({"spilled_events": {"earliest": 1, "latest": 1}}, "some of them went before"),
        (
            {"spilled_events": {"earliest": 1}, "events": [{"sequence": 33, "time": 1}]},
            "times of its spilled events",
        ),
        ({"format_version": "1"}, r"expected int @ \$\.format_version"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, object], message: str) -> None:
    """Never coerced, never dropped: a guess would be written back as the truth."""
    body = json.dumps({**stored(model()), **change}).encode()
    with pytest.raises(StoreCorruptedError, match=message) as raised:
        decode("some/key", body)
    assert "some/key" in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"format_version": 1}',
        b"<html>",
    ],
)
def test_what_is_no_document_is_refused(body: bytes) -> None:
    """An empty object, half an object, somebody else's object."""
    with pytest.raises(StoreCorruptedError, match="'k' cannot be read"):
        decode("k", body)


@given(st.data())
@settings(max_examples=examples(60))
def test_a_damaged_document_is_refused_or_read_never_a_crash(data: st.DataObject) -> None:
    """Bytes cut, changed or put in anywhere: one kind of error, whatever the damage."""
    body = bytearray(encode(record(model(tags={"k": "v"}, aliases={}))))
    position = data.draw(st.integers(0, len(body) - 1))
    match data.draw(st.sampled_from(["cut", "change", "insert"])):
        case "cut":
            del body[position:]
        case "change":
            body[position] = data.draw(st.integers(0, 255))
        case "insert":
            body[position:position] = data.draw(st.binary(min_size=1, max_size=8))
    with contextlib.suppress(StoreCorruptedError):
        decode("k", bytes(body))
