"""The history checker finds what it is there to find: a test that cannot fail proves nothing."""

from __future__ import annotations

import random
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.history import per_model
from chaos.linearizability import UNKNOWN, Operation, violation
from chaos.registry_model import DONE, EMPTY, EXISTS, NOT_FOUND, Model, apply, is_idle, view
from chaos.settling import settled
from services.examples import examples

BORN = (("t", "born"),)


def call(start: int, end: int | None, name: str, *arguments: Any, gives: Any) -> Operation:
    return Operation(start, end, name, arguments, gives)


CREATED = call(0, 1, "create_model", "m", "born", gives=DONE)


def is_linearizable(*calls: Operation) -> bool:
    found = per_model([CREATED, *calls])
    return violation([*settled([*found])], apply, EMPTY, is_idle=is_idle) is None


def shown(**fields: Any) -> Any:
    return view(Model(tags=BORN, **fields))


def test_calls_one_after_the_other_are_fine() -> None:
    """Whoever made them."""
    assert is_linearizable(
        call(2, 3, "create_version", "m", "r1", gives=1),
        call(4, 5, "create_version", "m", "r2", gives=2),
        call(6, 7, "delete_version", "m", 2, gives=DONE),
        call(8, 9, "create_version", "m", "r3", gives=3),
        call(10, 11, "get_versions", "m", gives=((1, "r1", "None", ()), (3, "r3", "None", ()))),
    )


def test_calls_at_the_same_time_may_have_any_order() -> None:
    """Two creators, and a reader who saw only one of them."""
    assert is_linearizable(
        call(2, 9, "create_version", "m", "r1", gives=2),
        call(3, 8, "create_version", "m", "r2", gives=1),
        call(4, 7, "get_versions", "m", gives=((1, "r2", "None", ()),)),
    )


@pytest.mark.parametrize(
    "calls",
    [
        pytest.param(
            [
                call(2, 3, "create_version", "m", "r1", gives=1),
                call(4, 5, "get_versions", "m", gives=()),
            ],
            id="a lost write",
        ),
        pytest.param(
            [
                call(2, 3, "set_tag", "m", "k", "old", gives=DONE),
                call(4, 5, "set_tag", "m", "k", "new", gives=DONE),
                call(6, 7, "get", "m", gives=((("k", "old"), *BORN), (), ())),
            ],
            id="a stale read",
        ),
        pytest.param(
            [
                call(2, 9, "create_version", "m", "r1", gives=1),
                call(3, 8, "create_version", "m", "r2", gives=1),
            ],
            id="a number twice",
        ),
        pytest.param(
            [call(2, 3, "create_version", "m", "r1", gives=2)],
            id="a number left out",
        ),
        pytest.param(
            [
                call(2, 3, "create_version", "m", "r1", gives=1),
                call(4, 5, "delete_version", "m", 1, gives=DONE),
                call(6, 7, "create_version", "m", "r2", gives=1),
            ],
            id="a number reused",
        ),
        pytest.param(
            [
                call(2, 9, "delete_model", "m", gives=DONE),
                call(3, 8, "delete_model", "m", gives=DONE),
            ],
            id="deleted twice",
        ),
        pytest.param(
            [call(2, 3, "create_model", "m", "again", gives=DONE)],
            id="created twice",
        ),
        pytest.param(
            [
                call(2, 3, "create_version", "m", "r1", gives=1),
                call(4, 5, "set_alias", "m", "a", 1, gives=DONE),
                call(6, 7, "delete_version", "m", 1, gives=DONE),
                call(8, 9, "get_by_alias", "m", "a", gives=1),
            ],
            id="half of a delete",
        ),
        pytest.param(
            [
                call(2, 3, "rename", "m", "n", gives=DONE),
                call(4, 5, "list", gives=()),
            ],
            id="a renamed model in no listing",
        ),
        pytest.param(
            [
                call(2, 9, "rename", "m", "n", gives=DONE),
                call(3, 8, "list", gives=(("m", shown()), ("n", shown()))),
            ],
            id="a renamed model twice in a listing",
        ),
        pytest.param(
            [call(2, 3, "list", gives=(("m", shown()), ("ghost", ((("t", "x"),), (), ()))))],
            id="a model that nobody created",
        ),
        pytest.param(
            [
                call(2, 9, "rename", "m", "n", gives=DONE),
                call(3, 8, "rename", "m", "n", gives=EXISTS),
            ],
            id="a rename that met itself",
        ),
        pytest.param(
            [
                call(2, None, "set_tag", "m", "k", "v", gives=UNKNOWN),
                call(4, 5, "get", "m", gives=((("k", "v"), *BORN), (), ())),
                call(6, 7, "get", "m", gives=(BORN, (), ())),
            ],
            id="an unknown write that was seen and vanished",
        ),
    ],
)
def test_a_broken_promise_is_found(calls: list[Operation]) -> None:
    """Each of them once, among calls that are fine."""
    assert not is_linearizable(*calls)


@pytest.mark.parametrize("happened", [True, False])
def test_a_call_with_unknown_outcome_may_have_happened_or_not(happened: bool) -> None:
    """Also long after it was made."""
    versions = ((1, "r1", "None", ()),) if happened else ()
    assert is_linearizable(
        call(2, None, "create_version", "m", "r1", gives=UNKNOWN),
        call(4, 5, "get_versions", "m", gives=()),
        call(6, 7, "get_versions", "m", gives=versions),
        call(8, 9, "get", "absent", gives=NOT_FOUND),
    )


def test_calls_that_leave_all_as_it_is_are_not_tried_in_every_order() -> None:
    """Of so many at the same time there are more sets than a search may visit."""
    gets = [call(2, 90, "get", "m", gives=(BORN, (), ())) for _ in range(20)]
    failed = [call(3, 90, "create_model", "m", "x", gives=EXISTS) for _ in range(20)]
    stale = call(91, 92, "get", "m", gives=NOT_FOUND)
    found = violation([CREATED, *gets, *failed, stale], apply, EMPTY, is_idle=is_idle)
    assert found is not None
    assert found.stuck == (stale,)


def test_a_violation_says_how_far_the_history_goes() -> None:
    """And which calls did not fit."""
    stale = call(6, 7, "get_versions", "m", gives=())
    found = violation(
        [CREATED, call(2, 3, "create_version", "m", "r1", gives=1), stale],
        apply,
        EMPTY,
        is_idle=is_idle,
    )
    assert found is not None
    assert (found.explained, found.total, found.stuck) == (2, 3, (stale,))


def test_a_write_without_an_outcome_has_happened_once_it_was_seen() -> None:
    """Before the first read that shows it ended; nobody asks any more whether it did."""
    written = call(2, None, "set_tag", "m", "k", "v", gives=UNKNOWN)
    made = call(2, None, "create_version", "m", "r1", gives=UNKNOWN)
    early = call(4, 5, "get", "m", gives=((("k", "v"), *BORN), (), ()))
    late = call(6, 7, "get_versions", "m", gives=((1, "r1", "None", ()),))
    seen = {each.name: each.seen for each in settled([written, made, late, early, early])}
    assert seen == {"set_tag": 5, "create_version": 7, "get_versions": None, "get": None}


def test_only_a_tag_that_nobody_saw_may_as_well_not_have_been_written() -> None:
    """A version has taken a number, and a name may be taken, though no read shows them."""
    unseen = [
        call(2, None, "set_tag", "m", "k", "v", gives=UNKNOWN),
        call(2, None, "set_version_tag", "m", 1, "w", gives=UNKNOWN),
        call(2, None, "create_version", "m", "r1", gives=UNKNOWN),
        call(2, None, "create_model", "n", "x", gives=UNKNOWN),
        call(2, None, "delete_model", "m", gives=UNKNOWN),
    ]
    assert [*settled(unseen)] == unseen[2:]
    twice = [*unseen[:1], *unseen[:1]]
    assert [*settled(twice)] == twice, "a text of two calls says nothing of either"


def test_a_write_that_would_change_nothing_now_may_change_something_later() -> None:
    """It is not a read, though it fits and leaves all as it is."""
    made = [call(2, 3, "create_version", "m", f"r{number}", gives=number) for number in (1, 2)]
    staged = [
        call(10, 11, "transition", "m", 1, "Staging", gives=DONE),
        call(12, 30, "transition", "m", 1, "Staging", gives=DONE),
        call(12, 30, "transition", "m", 2, "Staging", gives=DONE),
    ]
    versions = ((1, "r1", "Staging", ()), (2, "r2", "Archived", ()))
    assert is_linearizable(*made, *staged, call(31, 32, "get_versions", "m", gives=versions))


@given(chance=st.randoms(use_true_random=False), lied=st.booleans())
@settings(max_examples=examples(2_000))
def test_that_idle_calls_come_first_changes_no_verdict(chance: random.Random, lied: bool) -> None:
    """As a search says that tries them wherever they fit."""
    calls = _told(chance, lied=lied)
    found = violation(calls, apply, EMPTY, is_idle=is_idle)
    assert (found is None) == (violation(calls, apply, EMPTY, is_idle=lambda *_: False) is None)


@given(chance=st.randoms(use_true_random=False), lied=st.booleans())
@settings(max_examples=examples(2_000))
def test_what_reads_say_of_calls_changes_no_verdict(chance: random.Random, lied: bool) -> None:
    """On histories of calls at the same time, with outcomes that got lost, true ones and others."""
    calls = _told(chance, lied=lied)
    assert (violation([*settled(calls)], apply, EMPTY, is_idle=is_idle) is None) == (
        violation(calls, apply, EMPTY, is_idle=is_idle) is None
    )


def test_histories_that_are_not_told_truly_are_found() -> None:
    """Of those that the test above compares: it would show nothing if all were linearizable."""
    found = 0
    for seed in range(60):
        calls = _history(random.Random(seed))
        reads = [number for number, each in enumerate(calls) if each.name == "get" and each.known]
        for number in reads[-1:]:
            calls[number] = attrs.evolve(calls[number], outcome=NOT_FOUND)
            found += violation([*settled(calls)], apply, EMPTY, is_idle=is_idle) is not None
    assert found > 10


def _told(chance: random.Random, *, lied: bool) -> list[Operation]:
    calls = _history(chance)
    if lied:
        at = chance.randrange(len(calls))
        calls[at] = attrs.evolve(calls[at], outcome=chance.choice(calls).outcome)
    return calls


def _history(chance: random.Random) -> list[Operation]:
    """Calls of three processes, which took effect somewhere between their start and their end."""
    calls, state, waiting = [CREATED], apply(EMPTY, "create_model", ("m", "born"))[1], []
    for number in range(chance.randint(4, 12)):
        start = 10 * number + 2
        name, arguments = chance.choice(
            [
                ("set_tag", ("m", chance.choice("kl"), f"v{number}")),
                ("create_version", ("m", f"r{number}")),
                ("set_version_tag", ("m", chance.randint(1, 2), f"w{number}")),
                ("delete_version", ("m", chance.randint(1, 2))),
                ("transition", ("m", chance.randint(1, 2), chance.choice(("Staging", "Archived")))),
                ("set_alias", ("m", "x", chance.randint(1, 2))),
                ("get", ("m",)),
                ("get_versions", ("m",)),
            ]
        )
        waiting.append((start, name, arguments))
        while waiting and (len(waiting) > 2 or chance.random() < 0.5):
            begun, name, arguments = waiting.pop(chance.randrange(len(waiting)))
            is_lost = chance.random() < 0.4
            outcome, after = apply(state, name, arguments)
            if not (is_lost and chance.random() < 0.5):
                state = after
            end = None if is_lost else start + chance.randint(1, 9)
            calls.append(call(begun, end, name, *arguments, gives=UNKNOWN if is_lost else outcome))
    return calls
