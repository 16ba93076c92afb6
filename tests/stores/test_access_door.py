"""The door before every store: what one may not read does not exist, and pages stay full."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

import attrs
import pytest

from registry_core import Registry, open_store
from registry_core.access import Grant, Permission, Policy, Principal, Protection
from registry_core.access.policy import ROLES
from registry_core.errors import (
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NotFoundError,
    NotPermittedError,
    RegisteredModelNotFoundError,
    RegistryError,
)
from registry_core.name_scope import NameScope
from registry_core.search import AttributeRef, Comparison, Entity, Op, OrderBy, Query
from registry_core.stores.sql import scoped_searches
from registry_core.stores.sql.results import CutRows, Row
from services.stores import store_url

NAMES = [
    *(
        f"{team}-{number:02}"
        for team in ("fraud", "churn", "ads_x", "Fraud")
        for number in range(8)
    ),
    "ads%x-01",
    "adsyx-01",
    "a*b",
    "[fraud]-1",
    "Grüße",
    "back\\slash",
    'quo"te',
]
PATTERNS = [
    "fraud-*",
    "fraud-0?",
    "*-03",
    "churn-01",
    "ads_x-*",
    "a?s*",
    "[fraud]*",
    "back\\*",
    "*ü*",
    'quo"*',
    "quo?te",
]


NAMED = Comparison(AttributeRef("name"), Op.LIKE, "%1%")


def reader(*models: str, who: str = "ann", role: str = "reader") -> Grant:
    return Grant(users=frozenset({who}), role=role, permissions=ROLES[role], models=models)


def seen_by(
    registry: Registry, *grants: Grant, protections: tuple[Protection, ...] = ()
) -> Registry:
    policy = Policy(grants=grants, protections=protections)
    return registry.as_caller(policy.rights(Principal(name="ann"))).acting_as("ann")


@pytest.fixture(scope="module", params=["memory", "sqlite", "postgresql", "s3"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    with store_url(request.param, request) as url, Registry(open_store(url)) as registry:
        for name in NAMES:
            registry.create_registered_model(name)
            for number in range(2):
                registry.create_model_version(name, source=f"s3://b/{number}")
        yield registry


def test_searches_have_what_may_be_read_and_full_pages(registry: Registry) -> None:
    choose = random.Random(7)
    for _ in range(12):
        patterns = choose.sample(PATTERNS, choose.randint(1, 4))
        readable = sorted(
            name
            for name in NAMES
            if any(fnmatchcase(name, each.replace("[", "[[]")) for each in patterns)
        )
        view = seen_by(registry, reader(*patterns))
        models, token = [], None
        while True:
            page = view.search_registered_models(max_results=3, page_token=token)
            models += [model.name for model in page.items]
            token = page.next_page_token
            assert len(page.items) == 3 or token is None, patterns
            if token is None:
                break
        assert models == readable, patterns
        versions = [*view.iter_model_versions(page_size=5)]
        assert sorted(each.name for each in versions) == sorted([*readable, *readable]), patterns
        about = {event.name for event in view.activity()}
        assert about == set(readable), patterns
        for name in NAMES:
            if name in readable:
                assert view.get_registered_model(name).name == name
                assert [*view.history(name)]
                continue
            with pytest.raises(RegisteredModelNotFoundError):
                view.get_registered_model(name)
            with pytest.raises(RegisteredModelNotFoundError):
                [*view.history(name)]


SCOPES = {
    "mixed": [
        *("ads_x-0*", "ads_x-03", "churn-0?", "churn-01", "churn-02*", "fraud-07", "Fraud-0*"),
        *("quo*", "fraud-01", "fraud-02", "fraud-03", "Grüße", "zzz", "aaa*"),
    ],
    "of little each": [
        *(f"{team}-0{number}*" for team in ("fraud", "churn", "Fraud") for number in range(8)),
        *("Grü*", "[fraud]*", "zzz*", "a\U0010ffff*", "ads_x-0[*"),
    ],
}


@pytest.mark.parametrize("patterns", SCOPES.values(), ids=SCOPES)
@pytest.mark.parametrize("order", ["name ASC", "name DESC", "last_updated_timestamp DESC"])
@pytest.mark.parametrize("most", [1, 3, 100])
def test_scopes_of_many_pieces_are_read_in_every_order(
    registry: Registry,
    order: str,
    most: int,
    patterns: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ranges that hold others, names within and between them, and more pieces than are read."""
    monkeypatch.setattr("registry_core.stores.sql.scoped_searches.READS_MOST", most)
    monkeypatch.setattr("registry_core.stores.sql.scoped_searches.NAMES_MOST", 2)
    view = seen_by(registry, reader(*patterns))
    every = [each.name for each in registry.iter_registered_models(order_by=[order])]
    matches = [each.replace("[", "[[]") for each in patterns]
    readable = [each for each in every if any(fnmatchcase(each, pattern) for pattern in matches)]
    for size in (1, 4, 100):
        found = view.iter_registered_models(order_by=[order], page_size=size)
        assert [each.name for each in found] == readable


def test_a_page_of_ranges_that_follow_one_another_takes_one_statement() -> None:
    """Of a filter it takes one for each."""
    scope = NameScope.of(["a*", "b*", "c*", "d?e*", "f*", "g"])
    query = Query(
        entity=Entity.REGISTERED_MODEL, order_by=(OrderBy("name"),), max_results=1, scope=scope
    )
    asked: list[tuple[Query, list[str]]] = []

    def run(part: Query, ranges: Sequence[tuple[str, str]] = ()) -> list[Row]:
        asked.append((part, [first for first, _ in ranges]))
        return []

    assert scoped_searches.read(query, run) == []
    assert [ranges for _, ranges in asked] == [["a", "b", "c"], [], ["f"], []]
    assert [part.scope for part, _ in asked] == [None, scope, None, None]
    asked.clear()
    scoped_searches.read(attrs.evolve(query, filter=(NAMED,)), run)
    assert [ranges for _, ranges in asked] == [[]] * 6
    full = [("a1",), ("a2",)]
    assert scoped_searches.read(query, lambda *_: full) == full


def test_a_page_that_is_cut_within_a_piece_of_a_scope_ends_there() -> None:
    """Otherwise what follows in the piece would be passed over for the next piece."""
    scope = NameScope.of(["a*", "b?1*", "c*"])
    query = Query(
        entity=Entity.REGISTERED_MODEL, order_by=(OrderBy("name"),), max_results=10, scope=scope
    )
    pieces = iter([[("a1",)], CutRows([("b1",)]), [("c1",)]])
    found = scoped_searches.read(query, lambda *_: next(pieces))
    assert found == [("a1",), ("b1",)]
    assert isinstance(found, CutRows)


def test_a_filter_finds_nothing_that_may_not_be_read(registry: Registry) -> None:
    view = seen_by(registry, reader("fraud-*"))
    assert not view.search_registered_models("name = 'churn-01'").items
    assert not view.search_model_versions("name = 'churn-01'").items
    assert len(view.search_model_versions("name = 'fraud-01'").items) == 2
    assert len(view.search_registered_models("name LIKE '%-01'").items) == 1
    assert not seen_by(registry).search_registered_models().items


def test_the_token_of_one_caller_is_of_no_use_to_another(registry: Registry) -> None:
    first = seen_by(registry, reader("fraud-*")).search_registered_models(max_results=2)
    for other in (registry, seen_by(registry, reader("*-0?"))):
        with pytest.raises(InvalidArgumentError, match="page token"):
            other.search_registered_models(max_results=2, page_token=first.next_page_token)


def error_of(call) -> str:
    with pytest.raises(RegistryError) as caught:
        call()
    return f"{type(caught.value).__name__}: {caught.value}"


CALLS = {
    "get": lambda r, name: r.get_registered_model(name),
    "version": lambda r, name: r.get_model_version(name, 1),
    "by alias": lambda r, name: r.get_model_version_by_alias(name, "a"),
    "latest": lambda r, name: r.get_model_version_by_alias(name, "latest"),
    "resolve": lambda r, name: r.resolve(f"models:/{name}/1"),
    "uri": lambda r, name: r.get_model_version_download_uri(name, 1),
    "update": lambda r, name: r.update_registered_model(name, description="x"),
    "delete": lambda r, name: r.delete_registered_model(name),
    "rename": lambda r, name: r.rename_registered_model(name, new_name="fraud-99"),
    "create version": lambda r, name: r.create_model_version(name, source="s3://b/1"),
    "copy": lambda r, name: r.create_model_version("fraud-01", source=f"models:/{name}/1"),
    "update version": lambda r, name: r.update_model_version(name, 1, description="x"),
    "delete version": lambda r, name: r.delete_model_version(name, 1),
    "stage": lambda r, name: r.transition_model_version_stage(name, 1, stage="Staging"),
    "alias": lambda r, name: r.set_registered_model_alias(name, "a", 1),
    "no alias": lambda r, name: r.delete_registered_model_alias(name, "a"),
    "tag": lambda r, name: r.set_registered_model_tag(name, "k", "v"),
    "no tag": lambda r, name: r.delete_registered_model_tag(name, "k"),
    "version tag": lambda r, name: r.set_model_version_tag(name, 1, "k", "v"),
    "no version tag": lambda r, name: r.delete_model_version_tag(name, 1, "k"),
    "history": lambda r, name: [*r.history(name)],
    "snapshot": lambda r, name: r.snapshot(name),
    "prune": lambda r, name: r.prune_history(name, before=1),
    "verify": lambda r, name: r.verify_history(name),
    "rollback": lambda r, name: r.rollback_registered_model_alias(name, "a"),
    "deleted versions": lambda r, name: r.deleted_model_versions(name),
    "restore version": lambda r, name: r.restore_model_version(name, 1),
    "restore": lambda r, name: r.restore_registered_model(name),
}


@pytest.mark.parametrize("what", CALLS)
def test_what_may_not_be_read_is_as_what_is_missing(registry: Registry, what: str) -> None:
    view = seen_by(registry, reader("fraud-*", role="admin"))
    hidden = error_of(lambda: CALLS[what](view, "churn-01"))
    everything = seen_by(registry, reader("*", role="admin"))
    missing = error_of(lambda: CALLS[what](everything, "churn-77"))
    assert hidden.replace("churn-01", "churn-77") == missing


def test_a_reader_changes_nothing(registry: Registry) -> None:
    view = seen_by(registry, reader("fraud-*"))
    before = registry.snapshot("fraud-01")
    reads = {"get", "version", "by alias", "latest", "resolve", "uri", "history", "snapshot"}
    for what in CALLS.keys() - reads - {"verify", "deleted versions", "copy", "rollback"}:
        if what in ("restore version", "restore", "prune"):
            continue  # There is nothing to restore or to prune, which is found first.
        with pytest.raises(NotPermittedError):
            CALLS[what](view, "fraud-01")
    for call in (
        lambda: view.create_registered_model("fraud-new"),
        lambda: view.create_registered_model("churn-01"),
        lambda: view.create_registered_model("churn-new"),
    ):
        with pytest.raises(NotPermittedError):
            call()
    assert registry.snapshot("fraud-01") == before


def test_a_rename_leaves_the_activity_of_who_may_not_read_the_new_name(registry: Registry) -> None:
    registry.create_registered_model("fraud-gone")
    registry.rename_registered_model("fraud-gone", new_name="secret")
    view = seen_by(registry, reader("fraud-*"))
    model_id = next(iter(registry.history("secret"))).model_id
    assert not any("secret" in (event.name, event.after) for event in view.activity())
    assert not [*view.history(model_id=model_id)]
    registry.delete_registered_model("secret")
    assert not [each for each in view.deleted_registered_models() if each.name == "secret"]
    assert [each.name for each in registry.deleted_registered_models("secret")] == ["secret"]
    with pytest.raises(NotFoundError):
        view.restore_registered_model("secret")


def test_protected_aliases_are_moved_by_those_who_are_named(registry: Registry) -> None:
    protections = (Protection(models=("fraud-*",), aliases=("champion", "stage:Production")),)
    writer = reader("*", role="writer")
    view = seen_by(registry, writer, protections=protections)
    view.set_registered_model_alias("fraud-02", "challenger", 1)
    view.set_registered_model_alias("churn-02", "champion", 1)
    view.transition_model_version_stage("fraud-02", 1, stage="Staging")
    for call in (
        lambda: view.set_registered_model_alias("fraud-02", "champion", 1),
        lambda: view.delete_registered_model_alias("fraud-02", "champion"),
        lambda: view.transition_model_version_stage("fraud-02", 1, stage="production"),
    ):
        with pytest.raises(NotPermittedError):
            call()
    named = Grant(
        users=frozenset({"ann"}),
        permissions=frozenset({Permission.MOVE_ALIAS}),
        aliases=("champ*",),
    )
    promoter = seen_by(registry, writer, named, protections=protections)
    promoter.set_registered_model_alias("fraud-02", "champion", 2)
    registry.delete_registered_model_alias("fraud-02", "champion")


def test_no_protected_alias_comes_by_a_rename(registry: Registry) -> None:
    protections = (Protection(models=("prod-*",), aliases=("champion",)),)
    everything = frozenset(Permission)
    grant = Grant(users=frozenset({"ann"}), permissions=everything)
    view = seen_by(registry, grant, protections=protections)
    registry.create_registered_model("x")
    with pytest.raises(NotPermittedError, match="protected"):
        view.rename_registered_model("x", new_name="prod-x")
    view.delete_registered_model("x")
    registry.create_registered_model("x2")
    registry.create_model_version("x2", source="s3://b/1")
    registry.set_registered_model_alias("x2", "champion", 1)
    view.delete_registered_model("x2")
    with pytest.raises(NotPermittedError):
        view.restore_registered_model("x2", new_name="prod-x2")
    assert view.restore_registered_model("x2").name == "x2"
    registry.delete_registered_model("x2")


def test_no_version_comes_back_to_a_protected_stage(registry: Registry) -> None:
    protections = (Protection(aliases=("stage:Production",)),)
    restorer = Grant(
        users=frozenset({"ann"}), permissions=frozenset({Permission.DELETE, Permission.RESTORE})
    )
    registry.create_registered_model("y")
    registry.create_model_version("y", source="s3://b/1")
    registry.create_model_version("y", source="s3://b/2")
    registry.transition_model_version_stage("y", 1, stage="Production")
    view = seen_by(registry, restorer, protections=protections)
    view.delete_model_version("y", 1)
    registry.transition_model_version_stage("y", 2, stage="Production")
    with pytest.raises(NotPermittedError, match="stage:Production"):
        view.restore_model_version("y", 1)
    registry.acting_as("root").restore_model_version("y", 1)
    view.delete_model_version("y", 2)
    registry.delete_registered_model("y")


def test_a_star_is_no_name(registry: Registry) -> None:
    view = seen_by(registry, reader("*", role="admin"))
    with pytest.raises(InvalidArgumentError, match="cannot be named"):
        view.create_registered_model("*")
    with pytest.raises(InvalidArgumentError, match="cannot be named"):
        view.rename_registered_model("churn-01", new_name="*")


def test_webhooks_are_for_those_who_may_read_all(registry: Registry) -> None:
    for view in (seen_by(registry, reader("*")), seen_by(registry, reader("a*", role="admin"))):
        with pytest.raises(NotPermittedError, match="webhooks"):
            view.store.list_webhooks()
        with pytest.raises(NotPermittedError, match="webhooks"):
            view.store.get_webhook("x")
    assert seen_by(registry, reader("*", role="admin")).store.list_webhooks() == []


def test_versions_are_missing_as_versions(registry: Registry) -> None:
    view = seen_by(registry, reader("fraud-*"))
    with pytest.raises(ModelVersionNotFoundError):
        view.set_registered_model_alias("churn-01", "a", 1)
