"""A field is written down once: in the table of fields. Everything else learns of it from there."""

import attrs
import pytest

from registry_core.fields import About, Field, arranged, fields_of, scalars_of
from registry_core.models import ModelVersion, NewModelVersion, NewRegisteredModel, RegisteredModel
from services.copied_packages import Insertion, seen_in_copy

VERSION_FIELD = """    licence: str | None = attrs.field(
        default=None,
        metadata=about(
            max_length=100, may_be_apart=True, is_folded=True, filter_key="licence", label="terms"
        ),
    )
"""
MODEL_FIELD = """    licence: str | None = attrs.field(default=None, metadata=about(max_length=100))
"""
DRAFT_FIELD = """    licence: str | None = attrs.field(default=None, validator={})
"""
LAST_FIELDS = {
    "ModelVersion": ("    tags: Mapping[str, str]", VERSION_FIELD),
    "ModelFields": ("    tags: Mapping[str, str]", MODEL_FIELD),
    "NewRegisteredModel": ("    tags: Mapping[str, str]", DRAFT_FIELD.format("_model_text")),
    "NewModelVersion": ("    tags: Mapping[str, str]", DRAFT_FIELD.format("_version_text")),
}

SHOW = """
import json, pathlib, sys
from registry_core import Registry, wire
from registry_core.authors import Author
from registry_core.backends import open_store
from registry_core.changes import CreateModel, CreateVersion
from registry_core.errors import InvalidArgumentError
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.search import Entity
from registry_core.search.fields import FIELDS
from registry_core.stores.s3 import codec
from registry_core.stores.s3.record import Model, Record
from registry_core import documents
from registry_core.stores.sql.integrity import FOLDINGS
from registry_core.stores.sql.statements import MODEL_FIELDS, VERSION_FIELDS
from registry_server.http.openapi import SCHEMAS
from registry_cli import views

model, version = NewRegisteredModel(name="m", licence="MIT"), NewModelVersion(
    name="m", source="s3://b/m", licence="\\u00c9cole")
seen = {}
for url in ("memory:", "sqlite:///" + sys.argv[1]):
    store = open_store(url)
    store.apply(CreateModel(model), by=Author(actor="t"))
    store.apply(CreateVersion(version), by=Author(actor="t"))
    read = store.get_registered_model("m"), store.get_model_version("m", 1)
    assert read[0].latest_versions == (read[1],)
    seen[url[:6]] = [each.licence for each in read]
    found = Registry(store).search_model_versions("licence ILIKE '\\u00e9COLE'").items
    seen["found in " + url[:6]] = [each.licence for each in found]
    registry = Registry(store)
    seen["history of " + url[:6]] = [event.after["licence"] for event in registry.history("m")]
    seen["problems of " + url[:6]] = list(registry.verify_history("m").problems)
    registry.delete_registered_model("m")
    registry.restore_registered_model("m")
    back = store.get_registered_model("m"), store.get_model_version("m", 1)
    seen["restored in " + url[:6]] = [each.licence for each in back]
    store.close()
body = wire.dumps(wire.encode_registered_model(read[0]))
seen["wire"] = json.loads(body)
seen["from the wire"] = wire.decode_registered_model(json.loads(body)).latest_versions[0].licence
document = documents.create_document(model, 1, model_id="i")
document = documents.create_version(document, version, now=2)
stored = codec.encode(Record().then("0" * 19, Model(document=document)))
seen["bucket"] = json.loads(stored)
seen["back"] = codec.decode("k", stored).content.document == document
seen["columns"] = MODEL_FIELDS, VERSION_FIELDS
seen["openapi"] = {name: SCHEMAS[name]["properties"] for name in ("RegisteredModel", "ModelVersion")}
seen["regctl"] = dict(views.MODEL.record(read[0])), dict(views.VERSION.record(read[1]))
seen["filter"] = FIELDS[Entity.MODEL_VERSION].attributes["licence"].field
seen["foldings"] = [folding.folded.name for folding in FOLDINGS]
try:
    NewModelVersion(name="m", source="s", licence="x" * 101)
except InvalidArgumentError as error:
    seen["too long"] = str(error)
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What there is of a new field in a copy of the packages, in which `models.py` has it."""
    root = tmp_path_factory.mktemp("copy")
    rows = [
        Insertion(before=before, text=field, below=f"class {name}")
        for name, (before, field) in LAST_FIELDS.items()
    ]
    return seen_in_copy(root, {"registry_core/models.py": rows}, SHOW, root / "registry.db")


def test_a_new_field_is_stored_and_read(seen):
    assert seen["memory"] == seen["sqlite"] == ["MIT", "\u00c9cole"]
    assert all("licence" in columns for columns in seen["columns"])


def test_a_new_field_is_in_the_documents_of_a_bucket(seen):
    assert seen["bucket"]["licence"] == "MIT"
    assert seen["bucket"]["versions"][0]["licence"] == "\u00c9cole"
    assert seen["back"]


def test_a_new_field_is_on_the_wire_and_described(seen):
    assert seen["wire"]["licence"] == "MIT"
    assert seen["wire"]["latest_versions"][0]["licence"] == "\u00c9cole"
    assert seen["from the wire"] == "\u00c9cole"
    for properties in seen["openapi"].values():
        assert properties["licence"] == {"type": "string"}


def test_a_new_field_is_shown(seen):
    model, version = seen["regctl"]
    assert (model["licence"], version["terms"]) == ("MIT", "\u00c9cole")


def test_a_new_field_is_in_the_history_and_comes_back(seen):
    for store in ("memory", "sqlite"):
        assert seen[f"history of {store}"] == ["\u00c9cole", "MIT"]
        assert seen[f"problems of {store}"] == []
        assert seen[f"restored in {store}"] == ["MIT", "\u00c9cole"]


def test_a_new_field_is_searched_and_checked(seen):
    assert seen["found in memory"] == seen["found in sqlite"] == ["\u00c9cole"]
    assert seen["filter"] == "licence"
    assert "licence_folded" in seen["foldings"]
    assert "exceeds the maximum length of 100 characters" in seen["too long"]


@pytest.mark.parametrize(
    ("draft", "entity"),
    [(NewRegisteredModel, RegisteredModel), (NewModelVersion, ModelVersion)],
    ids=["model", "version"],
)
def test_a_draft_has_fields_of_its_entity_only(draft, entity):
    names = {field.name for field in fields_of(entity)}
    assert {field.name for field in attrs.fields(draft)} < names


@pytest.mark.parametrize(
    ("draft", "entity", "number"),
    [
        (NewRegisteredModel(name="m", tags={"b": "2", "a": "1"}), RegisteredModel, {}),
        (
            NewModelVersion(name="m", source="s3://b/m", tags={"b": "2", "a": "1"}, run_id="r"),
            ModelVersion,
            {"version": 3},
        ),
    ],
)
def test_what_a_draft_becomes_is_as_the_class_of_the_entity_makes_it(draft, entity, number):
    given = attrs.asdict(draft)
    tags = dict(sorted(given.pop("tags").items()))
    times = {"creation_timestamp": 7, "last_updated_timestamp": 7}

    made = draft.created(*number.values(), now=7)

    assert vars(made) == vars(entity(**given, **times, **number, tags=tags))
    assert list(made.tags) == ["a", "b"]


def test_what_one_draft_becomes_twice_shares_no_mapping():
    draft = NewRegisteredModel(name="m")

    one, other = draft.created(now=7), draft.created(now=7)

    assert one.tags is not other.tags
    assert one.aliases is not other.aliases


def test_a_text_that_a_filter_names_is_folded():
    """Or ILIKE would depend on the database. The name of a version is folded on its model."""
    for entity in (RegisteredModel, ModelVersion):
        for field in scalars_of(entity):
            if field.about.filter_key and field.type is str and field.name != "name":
                assert field.about.is_folded, field.name


def test_fields_without_a_place_lie_between_the_others():
    fields = [
        Field(name=name, type=str, is_optional=False, default=None, about=About())
        for name in ("a", "new", "b", "c")
    ]
    names = [field.name for field in arranged(fields, first=("c",), last=("b", "a"))]
    assert names == ["c", "new", "b", "a"]
