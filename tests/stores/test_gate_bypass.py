"""Nobody gets past a gate: attempts by every call, at the same moment, judged by an oracle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeAlias

import pytest

from registry_core import Registry, open_store
from registry_core.errors import ConflictError, GateRefusedError, RegistryError
from registry_core.gates import parse_gates
from registry_core.gating import ServesReviews
from registry_core.history import Action
from registry_core.testing.racing import race
from registry_server import Settings, create_app
from services.gate_oracle import CONTENT, Rules, forbidden
from services.serving import serving_app
from services.stores import store_url

GATES = parse_gates(
    {
        "gate": [
            {
                "name": "release",
                "models": ["p-*"],
                "aliases": ["champion"],
                "stages": ["Production"],
                "tags": {"validation": "passed"},
                "approvals": 1,
            }
        ]
    }
)
RULES = Rules(
    prefix="p-", alias="champion", stage="Production", tag=("validation", "passed"), approvals=1
)

PEOPLE = ("ann", "bob", "cid")
NAMES = ("p-1", "p-2", "free")
VERSIONS = (1, 2)
AT_ONCE = 4
"""Attempts of one moment."""

Attempt: TypeAlias = Callable[[Registry, random.Random], object]


def _alias(registry: Registry, chance: random.Random) -> object:
    name, number = chance.choice(NAMES), chance.choice(VERSIONS)
    if chance.random() < 0.5:
        return registry.set_registered_model_alias(name, "champion", number)
    there = registry.get_registered_model(name).aliases.get("champion")
    return registry.set_registered_model_alias(name, "champion", number, expected=there)


def _copy(registry: Registry, chance: random.Random) -> object:
    source = f"models:/{chance.choice(NAMES)}/{chance.choice(VERSIONS)}"
    return registry.create_model_version(chance.choice(NAMES), source=source)


def _put_snapshot(registry: Registry, chance: random.Random) -> object:
    snapshot = registry.snapshot(chance.choice(NAMES))
    return registry.restore(snapshot, on_conflict=chance.choice(("fail", "replace")))


ATTEMPTS: tuple[tuple[int, Attempt], ...] = (
    (24, lambda r, c: r.approve_model_version(c.choice(NAMES), c.choice(VERSIONS))),
    (5, lambda r, c: r.withdraw_model_version_approval(c.choice(NAMES), c.choice(VERSIONS))),
    (
        8,
        lambda r, c: r.set_model_version_tag(
            c.choice(NAMES), c.choice(VERSIONS), "validation", c.choice(("passed", "passed", "no"))
        ),
    ),
    (3, lambda r, c: r.delete_model_version_tag(c.choice(NAMES), c.choice(VERSIONS), "validation")),
    (
        3,
        lambda r, c: r.set_model_version_tag(
            c.choice(NAMES), c.choice(VERSIONS), CONTENT, c.choice(("a", "b" * 5_000))
        ),
    ),
    (20, _alias),
    (
        10,
        lambda r, c: r.transition_model_version_stage(
            c.choice(NAMES),
            c.choice(VERSIONS),
            stage=c.choice(("Production", "Production", "None")),
        ),
    ),
    (4, lambda r, c: r.delete_registered_model_alias(c.choice(NAMES), "champion")),
    (6, lambda r, c: r.rename_registered_model(c.choice(NAMES), new_name=c.choice(NAMES))),
    (2, lambda r, c: r.delete_model_version(c.choice(NAMES), c.choice(VERSIONS))),
    (3, lambda r, c: r.restore_model_version(c.choice(NAMES), c.choice(VERSIONS))),
    (1, lambda r, c: r.delete_registered_model(c.choice(NAMES))),
    (5, lambda r, c: r.restore_registered_model(c.choice(NAMES), new_name=c.choice(NAMES))),
    (4, lambda r, c: r.rollback_registered_model_alias(c.choice(NAMES), "champion")),
    (4, _copy),
    (
        6,
        lambda r, c: r.create_model_version(
            c.choice(NAMES), source="s3://b/x", tags={"validation": "passed"}
        ),
    ),
    (1, _put_snapshot),
    (4, lambda r, c: r.create_registered_model(c.choice(NAMES))),
)
"""How often each kind of attempt is made, and how."""

WEIGHTS = [weight for weight, _ in ATTEMPTS]


@contextmanager
def served(request: pytest.FixtureRequest) -> Iterator[list[Registry]]:
    """A registry behind a server, as each of its users has it: over MLflow's routes and ours."""
    users = request.getfixturevalue("tmp_path") / "users"
    users.write_text("".join(f"{who}:secret-{who}\n" for who in PEOPLE))
    users.chmod(0o600)
    request.getfixturevalue("monkeypatch").setenv("NO_PROXY", "127.0.0.1")
    settings = Settings(threads=4, auth_file=str(users))
    with (
        store_url("sqlite", request) as url,
        Registry(open_store(url), local_sources=False, gates=GATES) as registry,
        serving_app(create_app(registry, settings)) as serving,
        ExitStack() as stack,
    ):
        people = [
            Registry(open_store(f"http://{who}:secret-{who}@127.0.0.1:{serving.port}"))
            for who in PEOPLE
        ]
        for each in people:
            stack.callback(each.close)
        yield people


@contextmanager
def opened(kind: str, request: pytest.FixtureRequest) -> Iterator[list[Registry]]:
    """A registry of a kind, as each of the people has it."""
    if kind == "server":
        with served(request) as people:
            yield people
        return
    with store_url(kind, request) as url, ExitStack() as stack:
        # Two handles, so that no lock within a process puts the attempts in order.
        handles = [open_store(url)] * len(PEOPLE)
        if kind != "memory":
            handles[1:] = [open_store(url)] * (len(PEOPLE) - 1)
        for handle in set(handles):
            stack.callback(handle.close)
        yield [
            Registry(handle, gates=GATES).acting_as(who)
            for handle, who in zip(handles, PEOPLE, strict=True)
        ]


@pytest.mark.parametrize(
    "attempts", [120, pytest.param(3_500, marks=pytest.mark.long)], ids=["short", "long"]
)
@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "s3", "server"])
def test_no_attempt_gets_past_a_gate(
    kind: str, attempts: int, request: pytest.FixtureRequest
) -> None:
    """Of all that was done, no move is one that the rules forbid; some pass, and some do not."""
    with opened(kind, request) as people:
        outcomes = _play(people, attempts, random.Random(f"{kind}-{attempts}"))
        _judge(people[0])
    assert outcomes["GateRefusedError"] > attempts // 40, outcomes
    assert outcomes["passed"] > attempts // 200, outcomes


def _play(people: list[Registry], attempts: int, chance: random.Random) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for name in NAMES:
        people[0].create_registered_model(name)
        for _ in VERSIONS:
            people[0].create_model_version(name, source="s3://b/x", tags={"validation": "passed"})
    for _ in range(attempts // AT_ONCE):
        tried = chance.choices(ATTEMPTS, WEIGHTS, k=AT_ONCE)
        calls = [
            _call(attempt, chance.choice(people), random.Random(chance.random()))
            for _, attempt in tried
        ]
        for outcome in race(*calls):
            outcomes["done" if outcome.error is None else type(outcome.error).__name__] += 1
            if outcome.error is not None:
                _check_error(outcome.error)
    passed = people[0].activity(actions=[Action.PASS_GATE])
    outcomes["passed"] = sum(1 for _ in passed)
    return outcomes


def _call(attempt: Attempt, who: Registry, chance: random.Random) -> Callable[[], object]:
    return lambda: attempt(who, chance)


def _check_error(error: RegistryError) -> None:
    if isinstance(error, GateRefusedError):
        assert error.missing or "snapshot" in str(error)


def _judge(registry: Registry) -> None:
    ids = {event.model_id for event in registry.activity()}
    for model_id in ids:
        events = registry.history(model_id=model_id, newest_first=False)
        assert [*forbidden(events, RULES)] == []
    if isinstance(registry.store, ServesReviews):
        return  # A page of versions over HTTP does not say where copies have their files.
    for name in NAMES:
        try:
            assert registry.verify_history(name).problems == ()
        except (ConflictError, RegistryError):
            continue


def test_the_oracle_sees_what_a_gate_would_have_refused() -> None:
    """Without gates the same attempts do what the rules forbid."""
    with ExitStack() as stack:
        store = open_store("memory:")
        stack.callback(store.close)
        people = [Registry(store).acting_as(who) for who in PEOPLE]
        _play(people, 200, random.Random("free"))
        ids = {event.model_id for event in people[0].activity()}
        assert any(
            [*forbidden(people[0].history(model_id=each, newest_first=False), RULES)]
            for each in ids
        )
