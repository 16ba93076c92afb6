"""The newest versions of a model as the database writes them for an answer, and as entities."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry_core import wire
from registry_core.errors import StoreCorruptedError
from registry_core.models import (
    LATEST_VERSIONS,
    NewModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
)
from registry_core.search import Entity, Query, parse_filter, parse_order_by
from registry_core.stores.sql import SqlStore
from registry_core.stores.sql.written_versions import NUMBERS, TEXTS, WrittenVersions
from registry_core.testing.strategies import tag_keys
from registry_core.wire import payloads
from services.examples import examples
from services.opened import open_sql_store as open_store

ODD = '"\\/\b\f\n\r\t\x01\x1f\x7f\u2028é😀]}{,:'
OPTIONAL = ("run_id", "run_link", "description", "user_id", "model_id", "storage_location")

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)

numbers = itertools.count()

FILLED = {"name": "m", "version": "1", "source": "s"} | dict.fromkeys(
    ("creation_timestamp", "last_updated_timestamp"), 1
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_module_url")
    store = open_store(url)
    yield store
    store.close()


def made(store: SqlStore, **fields: object) -> RegisteredModel:
    """A model with versions in three stages, two of them with aliases; as it is read."""
    name = f"m-{next(numbers)}"
    store.create_registered_model(NewRegisteredModel(name=name))
    for number in range(1, 4):
        store.create_model_version(NewModelVersion(name=name, **fields))
        for alias in {1: ("b", "a"), 3: ("c",)}.get(number, ()):
            store.set_registered_model_alias(name, alias, version=number)
    for version, stage in ((1, Stage.ARCHIVED), (2, Stage.STAGING)):
        store.transition_model_version_stage(
            name, version, stage=stage, archive_existing_versions=False
        )
    model = store.get_registered_model(name)
    assert LATEST_VERSIONS.of(model) is not None
    return model


@given(
    fields=st.fixed_dictionaries({}, optional=dict.fromkeys(OPTIONAL, texts)),
    tags=st.dictionaries(tag_keys(), texts, max_size=3),
    source=texts,
)
@example(fields=dict.fromkeys(OPTIONAL, ODD), tags={"b": ODD, "a": "", "é": "é"}, source=ODD)
@example(fields={}, tags={}, source="")
@settings(max_examples=examples(100), deadline=None)
def test_an_answer_is_the_same_however_the_versions_are_read(
    store: SqlStore, fields: dict[str, str], tags: dict[str, str], source: str
) -> None:
    """The database writes what the wire would write of the entities, field for field."""
    model = made(store, source=source, tags=tags, **fields)
    written = wire.dumps(payloads.registered_model(model))
    shown = wire.plain(payloads.registered_model(model))
    assert written.isascii()
    assert LATEST_VERSIONS.of(model) is not None, "nobody has asked for the entities"
    entities = model.latest_versions
    assert LATEST_VERSIONS.of(model) is None
    assert [each.version for each in entities] == [3, 2, 1]
    assert entities == tuple(store.get_model_version(model.name, each.version) for each in entities)
    again = wire.dumps(payloads.registered_model(model))
    # With the members in the same order.
    assert json.dumps(json.loads(written)) == json.dumps(json.loads(again)) == json.dumps(shown)


def test_a_model_and_a_page_have_the_newest_version_of_each_stage_in_order(store: SqlStore) -> None:
    """Of every set of stages that a model can have; the newest of two, and in MLflow's order."""
    subsets = [set_ for count in range(5) for set_ in itertools.combinations(Stage, count)]
    expected = {}
    for number, stages in enumerate(subsets):
        name = f"stages-{number:02}"
        store.create_registered_model(NewRegisteredModel(name=name))
        # The last stages first, so that the order of numbers is not that of stages.
        for stage in [*reversed(stages), *reversed(stages)]:
            version = store.create_model_version(NewModelVersion(name=name, source="s")).version
            store.transition_model_version_stage(
                name, version, stage=stage, archive_existing_versions=False
            )
        newest = range(2 * len(stages), len(stages), -1)
        expected[name] = list(zip(stages, newest, strict=True))
    query = Query(
        entity=Entity.REGISTERED_MODEL,
        filter=parse_filter("name LIKE 'stages-%'", Entity.REGISTERED_MODEL),
        order_by=parse_order_by((), Entity.REGISTERED_MODEL),
        max_results=len(subsets),
    )
    page = {model.name: model for model in store.search_registered_models(query).items}
    assert list(page) == list(expected)
    for name, pairs in expected.items():
        for model in (page[name], store.get_registered_model(name)):
            found = [(each.current_stage, each.version) for each in model.latest_versions]
            assert found == pairs, name


def test_a_model_whose_versions_are_not_read_is_like_any_other(store: SqlStore) -> None:
    """However it is compared, copied, sent to another process or shown."""
    name = made(store, source="s").name

    def unread() -> RegisteredModel:
        return store.get_registered_model(name)

    read = attrs.evolve(unread())
    assert LATEST_VERSIONS.of(read) is None
    for model in (unread(), copy.copy(unread()), copy.deepcopy(unread())):
        assert model == read
    assert pickle.loads(pickle.dumps(unread())) == read
    assert repr(unread()) == repr(read)
    assert attrs.asdict(unread()) == attrs.asdict(read)
    assert not hasattr(unread(), "last_versions")


def test_what_no_call_has_written_is_named() -> None:
    """A status that there is not; a version of a stage that there is not is left out."""
    lost = _row("None", "LOST")
    with pytest.raises(StoreCorruptedError, match="version 1 of model 'm'"):
        WrittenVersions(json.dumps([_row("Staging", "READY"), lost]), {})
    versions = WrittenVersions(json.dumps([_row("Live", "READY"), _row("None", "READY")]), {})
    assert [version.current_stage for version in versions.read()] == [Stage.NONE]
    assert len(versions.written) == 1


def _row(stage: str, status: str) -> list[object]:
    fields = FILLED | {"current_stage": stage, "status": status}
    return [[fields.get(name) for name in TEXTS], *(fields[name] for name in NUMBERS), []]
