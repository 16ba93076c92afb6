"""Reading histories, comparing and setting, and rolling back, through the library."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from registry_core import (
    InvalidArgumentError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
    Registry,
    StaleValueError,
)
from registry_core.histories import PAGE_SIZE, page
from registry_core.history import EVENTS_MAX_RESULTS, Action, EventQuery, place_of
from registry_core.stores.memory import MemoryStore
from registry_core.testing import ManualClock
from registry_core.testing.racing import race


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> Registry:
    registry = Registry(MemoryStore(clock))
    registry.create_registered_model("m")
    for number in range(1, 4):
        registry.create_model_version("m", source=f"s3://bucket/{number}")
    return registry


def test_an_event_says_who_and_why_from_what_to_what(
    registry: Registry, clock: ManualClock
) -> None:
    """The question that the history is there for."""
    registry.set_registered_model_alias("m", "champion", 1)
    ann = registry.acting_as("ann", reason="passed the review")
    ann.set_registered_model_alias("m", "champion", 2)
    moved, made = registry.history("m", alias="champion")
    assert (moved.actor, moved.reason, moved.before, moved.after) == (
        "ann",
        "passed the review",
        1,
        2,
    )
    assert (moved.time, moved.sequence, moved.action) == (clock.now, 6, Action.SET_ALIAS)
    assert (made.before, made.after, made.reason) == (None, 1, None)


def test_a_change_that_changes_nothing_is_no_event(registry: Registry) -> None:
    registry.set_registered_model_alias("m", "a", 1)
    registry.set_registered_model_alias("m", "a", 1)
    registry.delete_registered_model_tag("m", "absent")
    assert [event.sequence for event in registry.history("m")] == [5, 4, 3, 2, 1]


def test_a_refused_change_is_no_event(registry: Registry) -> None:
    with pytest.raises(ModelVersionNotFoundError):
        registry.set_registered_model_alias("m", "a", 9)
    assert len([*registry.history("m")]) == 4


def test_a_history_follows_a_rename_and_no_namesake(registry: Registry) -> None:
    registry.rename_registered_model("m", new_name="n")
    registry.create_registered_model("m")
    old, new = [*registry.history("n")], [*registry.history("m")]
    assert [event.action for event in new] == [Action.CREATE_MODEL]
    assert (old[0].before, old[0].after, old[0].sequence) == ("m", "n", 5)
    assert old[0].model_id != new[0].model_id


def test_a_deleted_version_takes_its_aliases_first(registry: Registry) -> None:
    registry.set_registered_model_alias("m", "a", 2)
    registry.delete_model_version("m", 2)
    gone, alias = [*registry.history("m")][:2]
    assert (alias.action, alias.key, alias.before, alias.after) == (
        Action.DELETE_ALIAS,
        "a",
        2,
        None,
    )
    assert (gone.action, gone.before["source"]) == (Action.DELETE_VERSION, "s3://bucket/2")


def test_archived_versions_have_events_of_their_own(registry: Registry) -> None:
    registry.transition_model_version_stage("m", 1, stage="Production")
    registry.transition_model_version_stage(
        "m", 2, stage="Production", archive_existing_versions=True
    )
    moves = [(event.version, event.before, event.after) for event in registry.history("m")][:3]
    assert moves == [
        (2, "None", "Production"),
        (1, "Production", "Archived"),
        (1, "None", "Production"),
    ]


def test_histories_are_filtered(registry: Registry, clock: ManualClock) -> None:
    clock.advance(1000)
    registry.set_registered_model_tag("m", "k", "v")
    since = datetime.fromtimestamp(clock.now / 1000, UTC)
    assert [event.key for event in registry.history("m", since=since)] == ["k"]
    assert [event.key for event in registry.history("m", since=clock.now)] == ["k"]
    assert len([*registry.history("m", until=clock.now)]) == 4
    assert [event.sequence for event in registry.history("m", version="2")] == [3]
    assert [event.sequence for event in registry.history("m", actions=["create_model"])] == [1]
    oldest = registry.history("m", newest_first=False)
    assert [event.sequence for event in oldest] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "given",
    [
        {"actions": ["nonsense"]},
        {"alias": "a b"},
        {"version": "x"},
        {"since": datetime(2026, 1, 1)},  # noqa: DTZ001 that is what is refused
    ],
)
def test_what_cannot_be_meant_is_refused(registry: Registry, given: dict) -> None:
    with pytest.raises(InvalidArgumentError):
        registry.history("m", **given)


def test_the_history_of_no_model_is_not_found(registry: Registry) -> None:
    with pytest.raises(RegisteredModelNotFoundError):
        next(registry.history("absent"))


def test_more_events_than_a_page_has_are_read(registry: Registry) -> None:
    for number in range(PAGE_SIZE + EVENTS_MAX_RESULTS):
        registry.set_registered_model_tag("m", "k", str(number))
    events = [*registry.history("m")]
    assert [event.sequence for event in events] == list(range(len(events), 0, -1))


def test_a_page_ends_with_a_token_of_the_next(registry: Registry) -> None:
    query = EventQuery(name="m", max_results=3)
    first = page(registry.store, query, None)
    second = page(registry.store, query, first.next_page_token)
    assert [event.sequence for event in [*first.items, *second.items]] == [4, 3, 2, 1]
    assert second.next_page_token is None


def test_activity_is_in_the_order_of_time(registry: Registry, clock: ManualClock) -> None:
    clock.advance(5)
    registry.create_registered_model("n")
    clock.advance(5)
    registry.set_registered_model_tag("m", "k", "v")
    events = [*registry.activity()]
    assert [event.name for event in events[:2]] == ["m", "n"]
    assert events == sorted(events, key=place_of, reverse=True)
    assert [*registry.activity(newest_first=False)] == events[::-1]


@pytest.mark.parametrize("expected", [2, None])
def test_an_alias_that_is_elsewhere_is_not_moved(registry: Registry, expected: int | None) -> None:
    """The error names what it is, for those who decide what to do then."""
    registry.set_registered_model_alias("m", "champion", 1)
    with pytest.raises(StaleValueError, match="champion") as raised:
        registry.set_registered_model_alias("m", "champion", 3, expected=expected)
    assert raised.value.current == 1
    assert registry.get_registered_model("m").aliases == {"champion": 1}
    registry.set_registered_model_alias("m", "champion", 3, expected=1)
    assert registry.get_registered_model("m").aliases == {"champion": 3}


def test_tags_and_stages_are_compared_too(registry: Registry) -> None:
    registry.set_registered_model_tag("m", "k", "a", expected=None)
    with pytest.raises(StaleValueError) as raised:
        registry.set_registered_model_tag("m", "k", "b", expected="x")
    assert raised.value.current == "a"
    registry.set_model_version_tag("m", 1, "k", "a", expected=None)
    with pytest.raises(StaleValueError):
        registry.delete_model_version_tag("m", 1, "k", expected="x")
    with pytest.raises(StaleValueError):
        registry.transition_model_version_stage("m", 1, stage="Archived", expected="Staging")
    registry.transition_model_version_stage("m", 1, stage="Archived", expected="none")


def test_of_many_promoters_one_wins(registry: Registry) -> None:
    registry.set_registered_model_alias("m", "champion", 1)

    def promote() -> None:
        registry.set_registered_model_alias("m", "champion", 2, expected=1)

    errors = [outcome.error for outcome in race(*[promote] * 20)]
    assert sum(error is None for error in errors) == 1
    assert {error.current for error in errors if error is not None} == {2}


def test_an_alias_is_put_back(registry: Registry) -> None:
    for number in (1, 2, 3):
        registry.set_registered_model_alias("m", "champion", number)
    assert registry.rollback_registered_model_alias("m", "champion", reason="slow") == 2
    assert registry.rollback_registered_model_alias("m", "champion", to=5) == 1
    newest = next(registry.history("m", alias="champion"))
    assert (newest.before, newest.after, newest.reason) == (2, 1, None)
    assert registry.rollback_registered_model_alias("m", "champion", to=4) is None
    assert registry.get_registered_model("m").aliases == {}
    assert registry.rollback_registered_model_alias("m", "champion") == 1


def test_what_was_never_set_cannot_be_put_back(registry: Registry) -> None:
    with pytest.raises(InvalidArgumentError, match="says nothing"):
        registry.rollback_registered_model_alias("m", "champion")


def test_a_version_that_is_gone_cannot_be_put_back(registry: Registry) -> None:
    registry.set_registered_model_alias("m", "champion", 1)
    registry.set_registered_model_alias("m", "champion", 2)
    registry.delete_model_version("m", 1)
    with pytest.raises(ModelVersionNotFoundError):
        registry.rollback_registered_model_alias("m", "champion")
