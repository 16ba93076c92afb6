"""What `documents` promises beyond the results that the conformance kit sees in every store."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry_core import documents, webhook_records
from registry_core.documents import ModelDocument
from registry_core.errors import (
    AliasNotFoundError,
    ConflictError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.models import (
    UNSET,
    NewModelVersion,
    NewRegisteredModel,
    NewWebhook,
    Stage,
    Status,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.testing.observing import assert_same, plain


def document(versions: int = 0, **fields: object) -> ModelDocument:
    """A model `m` with so many versions, created at 1, 2, 3 and so on."""
    doc = documents.create_document(NewRegisteredModel(name="m", **fields), 0)
    for number in range(1, versions + 1):
        new = NewModelVersion(name="m", source=f"s{number}", status=Status.PENDING_REGISTRATION)
        doc = documents.create_version(doc, new, now=number)
    return doc


def with_everything() -> ModelDocument:
    """Three versions, in stages, tagged, with aliases."""
    doc = document(3, tags={"b": "1", "a": "2"})
    doc = documents.set_version_tag(doc, 1, "k", "v")
    doc = documents.set_alias(doc, "z", version=1)
    doc = documents.set_alias(doc, "a", version=1)
    return documents.transition(
        doc, 2, stage=Stage.PRODUCTION, archive_existing_versions=False, now=9
    )


CHANGES = {
    "update": lambda doc: documents.update(doc, description="d", now=10),
    "rename": lambda doc: documents.rename(doc, new_name="n", now=10),
    "create_version": lambda doc: documents.create_version(
        doc, NewModelVersion(name="m", source="s"), now=10
    ),
    "update_version": lambda doc: documents.update_version(doc, 1, description="d", now=10),
    "finalize_version": lambda doc: documents.finalize_version(doc, 1, status=Status.READY, now=10),
    "transition": lambda doc: documents.transition(
        doc, 1, stage=Stage.PRODUCTION, archive_existing_versions=True, now=10
    ),
    "delete_version": lambda doc: documents.delete_version(doc, 1, now=10),
    "set_tag": lambda doc: documents.set_tag(doc, "a", "changed"),
    "delete_tag": lambda doc: documents.delete_tag(doc, "a"),
    "set_version_tag": lambda doc: documents.set_version_tag(doc, 1, "k", "changed"),
    "delete_version_tag": lambda doc: documents.delete_version_tag(doc, 1, "k"),
    "set_alias": lambda doc: documents.set_alias(doc, "z", version=2),
    "delete_alias": lambda doc: documents.delete_alias(doc, "z"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_gives_a_new_document_and_leaves_the_old_one(change):
    """Whoever holds the document before a change goes on seeing what was."""
    before = with_everything()
    as_it_was = plain(before)
    after = change(before)
    assert after is not before
    assert plain(after) != as_it_was
    assert plain(before) == as_it_was


@pytest.mark.parametrize(
    "change",
    [
        lambda doc: documents.set_tag(doc, "a", "2"),
        lambda doc: documents.delete_tag(doc, "absent"),
        lambda doc: documents.set_version_tag(doc, 1, "k", "v"),
        lambda doc: documents.delete_version_tag(doc, 1, "absent"),
        lambda doc: documents.set_alias(doc, "z", version=1),
        lambda doc: documents.delete_alias(doc, "absent"),
    ],
)
def test_a_change_that_changes_nothing_gives_the_same_object(change):
    """So that a store need not write."""
    doc = with_everything()
    assert change(doc) is doc


@pytest.mark.parametrize(
    "name", ["update_version", "finalize_version", "set_version_tag", "set_alias", "delete_alias"]
)
def test_a_change_of_one_version_shares_the_others(name):
    """A document of thousands of versions is not copied for one of them."""
    before = with_everything()
    after = CHANGES[name](before)
    assert after.versions[3] is before.versions[3]
    assert after.versions[1] is not before.versions[1]


def test_create_version_keeps_all_versions_as_they_are():
    """The new one is added, none is made again."""
    before = with_everything()
    after = CHANGES["create_version"](before)
    assert [after.versions[n] is before.versions[n] for n in (1, 2, 3)] == [True] * 3
    assert documents.last_created(after).version == 4
    assert after.next_version == 5


def test_last_created_is_the_version_even_after_deletions():
    """The counter says which it is, not the highest number that is left."""
    doc = documents.delete_version(document(3), 3, now=9)
    doc = documents.create_version(doc, NewModelVersion(name="m", source="s"), now=10)
    assert documents.last_created(doc).version == 4


def test_registered_model_is_made_once_per_document():
    """Searches look at unchanged documents again and again."""
    doc = with_everything()
    assert documents.registered_model(doc) is documents.registered_model(doc)


def test_registered_model_of_a_changed_document_is_made_anew():
    """What was made of a document before a change is not carried over."""
    doc = with_everything()
    documents.registered_model(doc)
    changed = documents.delete_version(doc, 3, now=10)
    assert [v.version for v in documents.registered_model(doc).latest_versions] == [3, 2]
    assert [v.version for v in documents.registered_model(changed).latest_versions] == [1, 2]


def test_build_puts_everything_in_order():
    """Versions, tags and aliases come from storage in any order, and without what can be derived."""
    doc = with_everything()
    stored = [
        attrs.evolve(version, name="old", aliases=(), tags=dict(reversed(version.tags.items())))
        for version in reversed(doc.versions.values())
    ]
    scattered = attrs.evolve(
        doc,
        versions={},
        tags=dict(reversed(doc.tags.items())),
        aliases=dict(reversed(doc.aliases.items())),
    )
    assert_same(documents.build(scattered, stored), doc)


_number = st.integers(1, 4)
_word = st.sampled_from(["a", "b", "B", "\u00e9"])
_steps = st.one_of(
    st.builds(lambda: CHANGES["create_version"]),
    st.builds(lambda: CHANGES["rename"]),
    st.builds(lambda k, v: lambda doc: documents.set_tag(doc, k, v), _word, _word),
    st.builds(lambda k: lambda doc: documents.delete_tag(doc, k), _word),
    st.builds(lambda n, k: lambda doc: documents.set_version_tag(doc, n, k, k), _number, _word),
    st.builds(lambda n: lambda doc: documents.delete_version(doc, n, now=5), _number),
    st.builds(lambda a, n: lambda doc: documents.set_alias(doc, a, version=n), _word, _number),
    st.builds(lambda a: lambda doc: documents.delete_alias(doc, a), _word),
    st.builds(
        lambda n, stage, archive: (
            lambda doc: documents.transition(
                doc, n, stage=stage, archive_existing_versions=archive, now=6
            )
        ),
        _number,
        st.sampled_from(list(Stage)),
        st.booleans(),
    ),
)


@given(st.lists(_steps, max_size=12))
def test_every_change_keeps_the_order_that_the_others_rely_on(steps):
    """After any changes, building the document from its parts gives the same document."""
    doc = document(2)
    for step in steps:
        try:
            doc = step(doc)
        except ModelVersionNotFoundError:
            continue
        assert_same(documents.build(doc, doc.versions.values()), doc)
        assert all(alias in doc.versions[n].aliases for alias, n in doc.aliases.items())
        assert doc.next_version > max(doc.versions, default=0)


@pytest.mark.parametrize(
    "name",
    [
        "update_version",
        "finalize_version",
        "transition",
        "delete_version",
        "set_version_tag",
        "delete_version_tag",
    ],
)
def test_changes_of_an_absent_version_are_refused(name):
    """The error names model and version."""
    with pytest.raises(ModelVersionNotFoundError) as raised:
        CHANGES[name](document())
    assert (raised.value.name, raised.value.version) == ("m", 1)


def test_finalize_version_says_what_the_version_is():
    """The loser of a race learns how it ended."""
    doc = documents.finalize_version(document(1), 1, status=Status.FAILED_REGISTRATION, now=1)
    with pytest.raises(ConflictError) as raised:
        documents.finalize_version(doc, 1, status=Status.READY, now=2)
    assert str(raised.value) == (
        "Model Version (name=m, version=1) is FAILED_REGISTRATION, no longer PENDING_REGISTRATION"
    )


def test_by_alias_names_the_alias_that_is_absent():
    """The error carries model and alias."""
    assert documents.by_alias(with_everything(), "z").version == 1
    with pytest.raises(AliasNotFoundError) as raised:
        documents.by_alias(with_everything(), "Z")
    assert (raised.value.name, raised.value.alias) == ("m", "Z")


def test_present_names_what_the_call_was_about():
    """A missing model is missing as a model, or as the model of a version."""
    doc = document()
    assert documents.present(doc, "m", 1) is doc
    with pytest.raises(RegisteredModelNotFoundError):
        documents.present(None, "m")
    with pytest.raises(ModelVersionNotFoundError) as raised:
        documents.present(None, "m", 7)
    assert (raised.value.name, raised.value.version) == ("m", 7)


EVENTS = (WebhookEvent(WebhookEntity.PROMPT, WebhookAction.CREATED),)


def test_apply_changes_tells_unset_from_none():
    """What is not set stays; None erases."""
    new = NewWebhook(webhook_id="i", name="n", url="u", events=EVENTS, description="d", secret="s")
    hook = webhook_records.create_webhook(new, 1)
    assert (hook.creation_timestamp, hook.last_updated_timestamp) == (1, 1)
    same = webhook_records.apply_changes(hook, WebhookChanges(), 2)
    assert same == attrs.evolve(hook, last_updated_timestamp=2)
    changed = webhook_records.apply_changes(hook, WebhookChanges(description=None, secret=UNSET), 3)
    assert (changed.description, changed.secret) == (None, "s")


def test_newest_first_breaks_ties_by_id():
    """The newest webhook is listed first, those of one moment by id."""
    hooks = [
        webhook_records.create_webhook(
            NewWebhook(webhook_id=i, name="n", url="u", events=EVENTS), now
        )
        for i, now in (("b", 1), ("a", 1), ("c", 2))
    ]
    assert [hook.webhook_id for hook in webhook_records.newest_first(hooks)] == ["c", "a", "b"]
