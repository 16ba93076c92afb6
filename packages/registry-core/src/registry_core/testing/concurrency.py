"""What a store promises when calls race, in threads, through several handles, in processes.

Each test races calls whose outcomes are a fact in every order they can happen in, and then checks
that the outcomes and the state agree on one order. A store without several handles is raced
through its one, from several threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ConflictError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.models import Stage, Status, WebhookChanges, WebhookStatus
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    new_webhook,
    transition,
)
from registry_core.testing.concurrent_reads import ReadersTests
from registry_core.testing.observing import (
    model_names,
    models_query,
    numbers,
    version_keys,
    versions_query,
    walk,
)
from registry_core.testing.processes import CreateVersions
from registry_core.testing.racing import (
    FEW,
    ROUNDS,
    Opener,
    assert_all_succeeded,
    errors,
    race,
    race_processes,
    the_winner,
    values,
)

WRITERS = 32
"""Contestants for one model, as many as training jobs that finish at once."""


class WritesRacingTests(StoreCase):
    """Writes to one model, of which none may be lost."""

    def test_racing_versions_are_numbered_without_gaps(self, handles: tuple[Calls, Calls]) -> None:
        """Each creator gets a number of its own, and together they get 1 to N."""
        create_model(handles[0])
        outcomes = race(
            *(
                functools.partial(create_version, handles[i % 2], run_id=f"run {i}")
                for i in range(WRITERS)
            )
        )
        assert_all_succeeded(outcomes)
        created = values(outcomes)
        assert sorted(version.version for version in created) == list(range(1, WRITERS + 1))
        for handle in handles:
            assert numbers(handle, "m") == list(range(1, WRITERS + 1))
        for index, version in enumerate(created):
            assert version.run_id == f"run {index}"
            assert handles[1].get_model_version("m", version.version).run_id == f"run {index}"
        assert create_version(handles[0]).version == WRITERS + 1

    def test_racing_tags_are_all_set(self, handles: tuple[Calls, Calls]) -> None:
        """Tags of one model, and of one of its versions, set at once under different keys."""
        create_model(handles[0])
        create_version(handles[0])
        outcomes = race(
            *(
                functools.partial(handles[i % 2].set_registered_model_tag, "m", f"k{i:02}", str(i))
                for i in range(FEW)
            ),
            *(
                functools.partial(handles[i % 2].set_model_version_tag, "m", 1, f"k{i:02}", str(i))
                for i in range(FEW)
            ),
        )
        assert_all_succeeded(outcomes)
        expected = {f"k{i:02}": str(i) for i in range(FEW)}
        for handle in handles:
            assert handle.get_registered_model("m").tags == expected
            assert handle.get_model_version("m", 1).tags == expected

    def test_racing_values_of_one_tag_leave_one_of_them(self, handles: tuple[Calls, Calls]) -> None:
        """Setting is an upsert: nobody fails, and both handles agree on who was last."""
        create_model(handles[0])
        create_version(handles[0])
        for target in (
            lambda store, value: store.set_registered_model_tag("m", "k", value),
            lambda store, value: store.set_model_version_tag("m", 1, "k", value),
        ):
            outcomes = race(
                *(functools.partial(target, handles[i % 2], str(i)) for i in range(FEW))
            )
            assert_all_succeeded(outcomes)
        for entity in ("get_registered_model", "get_model_version"):
            arguments = ("m",) if entity == "get_registered_model" else ("m", 1)
            seen = {getattr(handle, entity)(*arguments).tags["k"] for handle in handles}
            assert len(seen) == 1
            assert seen <= {str(i) for i in range(FEW)}

    def test_racing_aliases_are_all_set(self, handles: tuple[Calls, Calls]) -> None:
        """Different aliases, and one that everybody wants."""
        create_model(handles[0])
        create_versions(handles[0], FEW)
        outcomes = race(
            *(
                functools.partial(
                    handles[i % 2].set_registered_model_alias, "m", f"a{i}", version=i + 1
                )
                for i in range(FEW)
            ),
            *(
                functools.partial(
                    handles[i % 2].set_registered_model_alias, "m", "wanted", version=i + 1
                )
                for i in range(FEW)
            ),
        )
        assert_all_succeeded(outcomes)
        aliases = dict(handles[1].get_registered_model("m").aliases)
        wanted = aliases.pop("wanted")
        assert aliases == {f"a{i}": i + 1 for i in range(FEW)}
        holders = [
            version.version
            for version in walk(handles[0].search_model_versions, versions_query())
            if "wanted" in version.aliases
        ]
        assert holders == [wanted]

    def test_racing_changes_of_different_kinds_all_happen(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """A description, tags, an alias, a stage and a version, at once on one model."""
        first, second = handles
        create_model(first)
        create_version(first)
        changes: list[Callable[[], object]] = [
            lambda: first.update_registered_model("m", description="model"),
            lambda: second.update_model_version("m", 1, description="version"),
            lambda: first.set_registered_model_tag("m", "k", "model"),
            lambda: second.set_model_version_tag("m", 1, "k", "version"),
            lambda: first.set_registered_model_alias("m", "a", version=1),
            lambda: transition(second, 1, Stage.STAGING),
            lambda: create_version(first),
        ]
        assert_all_succeeded(race(*changes))
        model, version = second.get_registered_model("m"), first.get_model_version("m", 1)
        assert (model.description, model.tags, model.aliases) == ("model", {"k": "model"}, {"a": 1})
        assert (version.description, version.tags) == ("version", {"k": "version"})
        assert (version.aliases, version.current_stage) == (("a",), Stage.STAGING)
        assert numbers(first, "m") == [1, 2]

    def test_racing_changes_of_a_webhook_all_happen(self, handles: tuple[Calls, Calls]) -> None:
        """Each change of other fields keeps what the others changed."""
        hook = handles[0].create_webhook(new_webhook())
        changes = [
            WebhookChanges(name="changed"),
            WebhookChanges(url="https://example.com/changed"),
            WebhookChanges(description="changed"),
            WebhookChanges(status=WebhookStatus.DISABLED),
        ]
        outcomes = race(
            *(
                functools.partial(handles[i % 2].update_webhook, hook.webhook_id, change)
                for i, change in enumerate(changes)
            )
        )
        assert_all_succeeded(outcomes)
        found = handles[0].get_webhook(hook.webhook_id)
        assert (found.name, found.url) == ("changed", "https://example.com/changed")
        assert (found.description, found.status) == ("changed", WebhookStatus.DISABLED)


class WinnersTests(StoreCase):
    """Calls of which exactly one can succeed."""

    def test_one_of_racing_creators_gets_the_name(self, handles: tuple[Calls, Calls]) -> None:
        """The others get the error that it is taken, and what is stored is the winner's."""
        outcomes = race(
            *(
                functools.partial(create_model, handles[i % 2], description=str(i))
                for i in range(FEW)
            )
        )
        winner = the_winner(outcomes, losers=AlreadyExistsError)
        for handle in handles:
            assert handle.get_registered_model("m").description == str(winner)
        assert model_names(handles[1], models_query()) == ["m"]

    def test_one_of_racing_renames_gets_the_name(self, handles: tuple[Calls, Calls]) -> None:
        """The other models keep their names and all they had."""
        names = [f"m{i}" for i in range(FEW)]
        for name in names:
            create_model(handles[0], name, description=name)
            create_version(handles[0], name)
        outcomes = race(
            *(
                functools.partial(handles[i % 2].rename_registered_model, name, new_name="wanted")
                for i, name in enumerate(names)
            )
        )
        winner = names[the_winner(outcomes, losers=AlreadyExistsError)]
        expected = sorted([*(name for name in names if name != winner), "wanted"])
        for handle in handles:
            assert handle.get_registered_model("wanted").description == winner
            assert model_names(handle, models_query()) == expected
            found = version_keys(handle, versions_query("", ["name"]))
            assert found == [(name, 1) for name in expected]

    def test_one_of_racing_renames_of_a_model_moves_it(self, handles: tuple[Calls, Calls]) -> None:
        """It ends up under one new name, and the others find it gone."""
        create_model(handles[0])
        create_version(handles[0])
        outcomes = race(
            *(
                functools.partial(handles[i % 2].rename_registered_model, "m", new_name=f"new {i}")
                for i in range(FEW)
            )
        )
        winner = the_winner(outcomes, losers=RegisteredModelNotFoundError)
        for handle in handles:
            assert model_names(handle, models_query()) == [f"new {winner}"]
            assert version_keys(handle, versions_query()) == [(f"new {winner}", 1)]

    def test_a_name_goes_to_a_creator_or_to_a_rename(self, handles: tuple[Calls, Calls]) -> None:
        """Never to both, and the loser leaves nothing behind."""
        first, second = handles
        for index in range(ROUNDS):
            old, wanted = f"old {index}", f"wanted {index}"
            create_model(first, old, description="renamed")
            calls: list[Callable[[], object]] = [
                functools.partial(create_model, first, wanted, description="created"),
                functools.partial(second.rename_registered_model, old, new_name=wanted),
            ]
            winner = the_winner(race(*calls), losers=AlreadyExistsError)
            found = first.get_registered_model(wanted)
            assert found.description == ("created", "renamed")[winner]
            remaining = model_names(second, models_query(f"name LIKE '% {index}'"))
            assert remaining == ([old, wanted], [wanted])[winner]

    def test_one_of_racing_deletions_succeeds(self, handles: tuple[Calls, Calls]) -> None:
        """Of a version and of a model; the others find it gone."""
        create_model(handles[0])
        create_version(handles[0])
        outcomes = race(
            *(functools.partial(handles[i % 2].delete_model_version, "m", 1) for i in range(FEW))
        )
        the_winner(outcomes, losers=ModelVersionNotFoundError)
        outcomes = race(
            *(functools.partial(handles[i % 2].delete_registered_model, "m") for i in range(FEW))
        )
        the_winner(outcomes, losers=RegisteredModelNotFoundError)

    def test_one_of_racing_finalizers_wins(self, handles: tuple[Calls, Calls]) -> None:
        """An uploader and those who repair: what is stored is what the winner said."""
        create_model(handles[0])
        create_version(handles[0], status=Status.PENDING_REGISTRATION)
        outcomes = race(
            *(
                functools.partial(
                    handles[i % 2].finalize_model_version,
                    "m",
                    1,
                    status=(Status.READY, Status.FAILED_REGISTRATION)[i // 2 % 2],
                    source=f"s3://bucket/{i}",
                )
                for i in range(FEW)
            )
        )
        winner = the_winner(outcomes, losers=ConflictError)
        for handle in handles:
            assert handle.get_model_version("m", 1) == outcomes[winner].value


class OrdersTests(StoreCase):
    """Calls that touch the same thing, and must end as if one had come first."""

    def test_racing_transitions_with_archive_leave_one_in_the_stage(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """All succeed, and each archives those before it."""
        create_model(handles[0])
        create_versions(handles[0], FEW)
        outcomes = race(
            *(
                functools.partial(transition, handles[i % 2], i + 1, Stage.PRODUCTION, archive=True)
                for i in range(FEW)
            )
        )
        assert_all_succeeded(outcomes)
        for handle in handles:
            found = list(walk(handle.search_model_versions, versions_query()))
            stages = [version.current_stage for version in found]
            assert stages.count(Stage.PRODUCTION) == 1
            assert stages.count(Stage.ARCHIVED) == FEW - 1

    def test_an_alias_never_names_a_version_deleted_meanwhile(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """Set before, it goes with the version; set after, it is refused."""
        first, second = handles
        create_model(first)
        for version in create_versions(first, ROUNDS):
            number = version.version
            setting, deleting = race(
                functools.partial(second.set_registered_model_alias, "m", "a", version=number),
                functools.partial(first.delete_model_version, "m", number),
            )
            assert_all_succeeded([deleting])
            assert {type(error) for error in errors([setting])} <= {ModelVersionNotFoundError}
            for handle in handles:
                assert handle.get_registered_model("m").aliases == {}
                with pytest.raises(AliasNotFoundError):
                    handle.get_model_version_by_alias("m", "a")

    def test_a_version_created_during_a_rename_is_not_lost(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """It moved along, or its model was not there any more; no number is used twice."""
        first, second = handles
        for index in range(ROUNDS):
            old, new = f"old {index}", f"new {index}"
            create_model(first, old)
            create_version(first, old)
            calls: list[Callable[[], object]] = [
                functools.partial(first.rename_registered_model, old, new_name=new),
                functools.partial(create_version, second, old, run_id="racing"),
            ]
            renaming, creating = race(*calls)
            assert_all_succeeded([renaming])
            assert {type(error) for error in errors([creating])} <= {RegisteredModelNotFoundError}
            for handle in handles:
                assert numbers(handle, new) == ([1, 2] if creating.error is None else [1])
                assert numbers(handle, old) == []
                assert model_names(handle, models_query(f"name LIKE '% {index}'")) == [new]

    def test_a_tag_set_during_a_rename_is_not_lost(self, handles: tuple[Calls, Calls]) -> None:
        """It moved along, or its model was not there any more."""
        first, second = handles
        for index in range(ROUNDS):
            old, new = f"old {index}", f"new {index}"
            create_model(first, old)
            calls: list[Callable[[], object]] = [
                functools.partial(first.rename_registered_model, old, new_name=new),
                functools.partial(second.set_registered_model_tag, old, "k", "v"),
            ]
            renaming, setting = race(*calls)
            assert_all_succeeded([renaming])
            expected = {"k": "v"} if setting.error is None else {}
            assert second.get_registered_model(new).tags == expected

    def test_a_version_created_during_a_deletion_goes_with_its_model(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """No version is left without a model, and none turns up in the next model."""
        first, second = handles
        for _ in range(ROUNDS):
            create_model(first)
            calls: list[Callable[[], object]] = [
                functools.partial(first.delete_registered_model, "m"),
                functools.partial(create_version, second),
            ]
            deleting, creating = race(*calls)
            assert_all_succeeded([deleting])
            assert {type(error) for error in errors([creating])} <= {RegisteredModelNotFoundError}
            for handle in handles:
                assert version_keys(handle, versions_query()) == []
                assert model_names(handle, models_query()) == []

    def test_a_deletion_and_a_creation_of_a_name_take_turns(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """The creator finds the name taken or free, and then gets a fresh model."""
        first, second = handles
        for _ in range(ROUNDS):
            create_model(first, tags={"old": "tag"})
            create_version(first)
            calls: list[Callable[[], object]] = [
                functools.partial(first.delete_registered_model, "m"),
                functools.partial(create_model, second, description="new"),
            ]
            deleting, creating = race(*calls)
            assert_all_succeeded([deleting])
            names = model_names(first, models_query())
            if creating.error is None:
                assert names == ["m"]
                found = second.get_registered_model("m")
                assert (found.description, found.tags) == ("new", {})
                assert found.latest_versions == ()
                first.delete_registered_model("m")
            else:
                assert type(creating.error) is AlreadyExistsError
                assert names == []


class ProcessesTests(StoreCase):
    """Several processes on the same data."""

    def test_processes_share_the_version_counter(self, store: Calls, opener: Opener) -> None:
        """Together they get 1 to N, and this process sees them all."""
        create_model(store)
        outcomes = race_processes(opener, *[CreateVersions("m", FEW)] * 2)
        assert_all_succeeded(outcomes)
        created = sorted(number for numbers in values(outcomes) for number in numbers)
        assert created == list(range(1, 2 * FEW + 1))
        assert numbers(store, "m") == created


class ConcurrencyTests(WritesRacingTests, WinnersTests, OrdersTests, ReadersTests, ProcessesTests):
    """Everything about races."""
