"""Entities as MLflow's JSON, out and back in (contract 1.3)."""

from __future__ import annotations

import json
import timeit

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry_core import wire
from registry_core.errors import StoreCorruptedError
from registry_core.models import ModelVersion, RegisteredModel, Stage, Status
from registry_core.search import Page
from registry_core.wire import payloads
from services.examples import examples

BARE_MODEL = RegisteredModel(name="m", creation_timestamp=1, last_updated_timestamp=2)
BARE_VERSION = ModelVersion(
    name="m", version=3, creation_timestamp=1, last_updated_timestamp=2, source="s3://b/p"
)
BARE_MODEL_JSON = {"name": "m", "creation_timestamp": 1, "last_updated_timestamp": 2}
BARE_VERSION_JSON = {
    "name": "m",
    "version": "3",
    "creation_timestamp": 1,
    "last_updated_timestamp": 2,
    "current_stage": "None",
    "source": "s3://b/p",
    "status": "READY",
}
FULL_VERSION = attrs.evolve(
    BARE_VERSION,
    current_stage=Stage.PRODUCTION,
    run_id="",
    run_link="http://x/y",
    status=Status.FAILED_REGISTRATION,
    status_message="no bytes",
    description="",
    user_id="u",
    model_id="m-1",
    tags={"a": "1", "b": ""},
    aliases=("champ", "old"),
)
FULL_VERSION_JSON = {
    **BARE_VERSION_JSON,
    "current_stage": "Production",
    "run_id": "",
    "run_link": "http://x/y",
    "status": "FAILED_REGISTRATION",
    "status_message": "no bytes",
    "description": "",
    "user_id": "u",
    "model_id": "m-1",
    "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": ""}],
    "aliases": ["champ", "old"],
}


def test_model_that_has_nothing_shows_name_and_times():
    """Empty lists and unset texts are left out; times are numbers."""
    assert wire.plain(wire.encode_registered_model(BARE_MODEL)) == BARE_MODEL_JSON
    empty = attrs.evolve(BARE_MODEL, description="")
    assert wire.plain(wire.encode_registered_model(empty)) == BARE_MODEL_JSON


def test_model_shows_all_it_has():
    """Versions are texts, aliases and tags are lists."""
    model = attrs.evolve(
        BARE_MODEL,
        description="d",
        tags={"k": ""},
        aliases={"champ": 3},
        latest_versions=(FULL_VERSION,),
        deployment_job_id="j",
        deployment_job_state="s",
    )
    assert wire.plain(wire.encode_registered_model(model)) == {
        **BARE_MODEL_JSON,
        "description": "d",
        "latest_versions": [FULL_VERSION_JSON],
        "tags": [{"key": "k", "value": ""}],
        "aliases": [{"alias": "champ", "version": "3"}],
        "deployment_job_id": "j",
        "deployment_job_state": "s",
    }


def test_version_shows_empty_texts_but_not_absent_ones():
    """A run id that was never given is `""` after create, and absent in what was imported."""
    assert wire.plain(wire.encode_model_version(BARE_VERSION)) == BARE_VERSION_JSON
    assert wire.plain(wire.encode_model_version(FULL_VERSION)) == FULL_VERSION_JSON


def test_version_never_shows_its_storage_location():
    """Only get-download-uri tells it."""
    version = attrs.evolve(BARE_VERSION, storage_location="s3://elsewhere/p")
    assert wire.plain(wire.encode_model_version(version)) == BARE_VERSION_JSON


def test_answers_have_mlflows_envelopes():
    """An empty page, and an operation without a result, is `{}`."""
    assert wire.plain(payloads.registered_model(BARE_MODEL)) == {
        "registered_model": BARE_MODEL_JSON
    }
    assert wire.plain(payloads.model_version(BARE_VERSION)) == {"model_version": BARE_VERSION_JSON}
    assert wire.plain(payloads.registered_models(Page([BARE_MODEL], "t"))) == {
        "registered_models": [BARE_MODEL_JSON],
        "next_page_token": "t",
    }
    assert wire.plain(payloads.model_versions(Page([BARE_VERSION]))) == {
        "model_versions": [BARE_VERSION_JSON]
    }
    assert wire.plain(payloads.model_versions(Page([]))) == {}
    assert wire.plain(payloads.registered_models(Page([]))) == {}
    assert payloads.latest_versions(()) == {}
    assert payloads.artifact_uri("u") == {"artifact_uri": "u"}
    assert payloads.nothing(None) == {}


@given(text=st.text(st.characters(exclude_categories=())))
@example(text="\ud800")
@example(text="é\ud83d")
@example(text="😀\u2028")
@settings(max_examples=examples(100), deadline=None)
def test_json_is_ascii_whatever_the_text(text):
    """Clients guess the encoding of what they get, and cannot guess wrong about ASCII."""
    version = attrs.evolve(BARE_VERSION, description=text)
    encoded = wire.dumps({"a": text, "version": wire.encode_model_version(version)})
    assert encoded.isascii()
    assert json.loads(encoded) == {"a": text, "version": {**BARE_VERSION_JSON, "description": text}}


# Back in


@pytest.mark.parametrize("version", [BARE_VERSION, FULL_VERSION])
def test_version_survives_the_wire(version):
    """What the server writes the REST store reads."""
    assert wire.decode_model_version(wire.plain(wire.encode_model_version(version))) == version


@given(
    tags=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    aliases=st.dictionaries(st.text(max_size=5), st.integers(1, 2**31), max_size=3),
    description=st.none() | st.text(min_size=1),
)
@settings(max_examples=examples(50), deadline=None)
def test_model_survives_the_wire(tags, aliases, description):
    """Tags and aliases come back by key."""
    model = attrs.evolve(
        BARE_MODEL,
        tags=dict(sorted(tags.items())),
        aliases=dict(sorted(aliases.items())),
        description=description,
        latest_versions=(BARE_VERSION, FULL_VERSION),
    )
    back = wire.decode_registered_model(json.loads(wire.dumps(wire.encode_registered_model(model))))
    assert back == model
    assert list(back.tags) == sorted(tags)


def test_answers_of_other_servers_are_read_leniently():
    """Protobuf's JSON may write int64 as text and names in camelCase; unknown fields are new ones."""
    raw = {
        "name": "m",
        "creationTimestamp": "1",
        "last_updated_timestamp": "2",
        "aliases": [{"alias": "b", "version": "2"}, {"alias": "a", "version": "1"}],
        "latestVersions": [{**BARE_VERSION_JSON, "creation_timestamp": "1", "new": {}}],
        "user_id": "ignored",
    }
    model = wire.decode_registered_model(raw)
    assert model.creation_timestamp == 1
    assert list(model.aliases.items()) == [("a", 1), ("b", 2)]
    assert model.latest_versions == (BARE_VERSION,)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "m",
        {},
        {**BARE_VERSION_JSON, "version": "x"},
        {**BARE_VERSION_JSON, "status": "UNKNOWN"},
        {**BARE_VERSION_JSON, "tags": [{"key": 1}]},
        {**BARE_VERSION_JSON, "name": None},
    ],
    ids=repr,
)
def test_answers_that_cannot_be_read_say_so(raw):
    """Half a version is not a version."""
    with pytest.raises(StoreCorruptedError, match="ModelVersion"):
        wire.decode_model_version(raw)


def test_writing_an_answer_is_a_small_part_of_a_request():
    """A page of 100 models must not cost what its query costs; generous for a busy machine."""
    page = Page([attrs.evolve(BARE_MODEL, tags={"a": "b"})] * 100)
    seconds = min(
        timeit.repeat(lambda: wire.dumps(payloads.registered_models(page)), number=5, repeat=5)
    )
    assert seconds / 5 < 0.005
