"""What a store promises about gates: they are looked at in the atomic step of a change."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from registry_core import histories
from registry_core.changes import Change, RelocateVersion, SetVersionTag
from registry_core.errors import GateRefusedError
from registry_core.gates import Gate
from registry_core.gating import Gatekeeper, ServesReviews
from registry_core.history import Action, Event
from registry_core.models import Stage
from registry_core.registry import Registry
from registry_core.store import KeepsApprovals, system_clock
from registry_core.testing.calls import TESTER, Calls
from registry_core.testing.cases import SOURCE, StoreCase
from registry_core.testing.clocks import ManualClock
from registry_core.testing.racing import race

GATE = Gate(
    name="release",
    models=("m*",),
    aliases=("champion",),
    stages=(Stage.PRODUCTION,),
    tags={"validation": "passed"},
    approvals=1,
)

ROUNDS = 8
"""Races between a move and what makes it forbidden."""


BECOMING = (
    SetVersionTag(name="m", version=1, key="mlflow.prompt.text", value="x" * 5_000),
    RelocateVersion(name="m", version=1, source="s3://elsewhere", tags={"k": "v"}),
)
"""Changes by which version 1 of a model becomes something else."""


class GateTests(StoreCase):
    """Gates on a store that keeps approvals itself."""

    @pytest.fixture
    def gated(self, store: Calls, clock: ManualClock) -> Registry:
        """A registry with a gate, and a model `m` whose version 1 passes it, and 2 does not."""
        if not isinstance(store.backend, KeepsApprovals) or isinstance(
            store.backend, ServesReviews
        ):
            pytest.skip("declared: this store keeps no approvals, or leaves them to a server")
        # The trash forgets what was deleted long ago, by the clock of this process.
        clock.advance(system_clock() - clock())
        registry = Registry(store.backend, gates=(GATE,)).acting_as("ann")
        registry.create_registered_model("m")
        for _ in range(2):
            registry.create_model_version("m", source=SOURCE)
        registry.set_model_version_tag("m", 1, "validation", "passed")
        registry.acting_as("bob").approve_model_version("m", 1)
        return registry

    def test_a_gate_lets_through_what_passes_and_history_says_why(self, gated: Registry) -> None:
        """The event of the decision has what was looked at, and comes before that of the move."""
        gated.set_registered_model_alias("m", "champion", 1)
        gated.transition_model_version_stage("m", 1, stage="Production")
        alias, moved, stage, transitioned = _newest(gated, 4)
        assert [each.action for each in (alias, moved, stage, transitioned)] == [
            Action.PASS_GATE,
            Action.SET_ALIAS,
            Action.PASS_GATE,
            Action.TRANSITION_VERSION,
        ]
        assert (alias.key, alias.version, alias.actor) == ("release", 1, "ann")
        said = alias.after
        assert isinstance(said, dict)
        assert (said["alias"], said["tags"], said["authors"]) == (
            "champion",
            {"validation": "passed"},
            ["ann"],
        )
        assert [*said["approvals"]] == ["bob"]
        assert isinstance(stage.after, dict)
        assert stage.after["stage"] == "Production"
        assert histories.verify(gated.store, "m").problems == ()

    @pytest.mark.parametrize(
        "move",
        [
            lambda gated: gated.set_registered_model_alias("m", "champion", 2),
            lambda gated: gated.set_registered_model_alias("m", "champion", 2, expected=None),
            lambda gated: gated.transition_model_version_stage("m", 2, stage="Production"),
            lambda gated: gated.restore(gated.snapshot("m"), on_conflict="replace"),
            lambda gated: gated.acting_as("bob").set_registered_model_alias("m", "champion", 1),
        ],
        ids=["alias", "compare-and-set", "stage", "snapshot", "approver"],
    )
    def test_a_gate_refuses_and_nothing_changes(
        self, gated: Registry, move: Callable[[Registry], object]
    ) -> None:
        """Whatever would move it."""
        before = gated.snapshot("m")
        with pytest.raises(GateRefusedError):
            move(gated)
        assert gated.snapshot("m") == before

    def test_a_refusal_says_what_is_missing(self, gated: Registry) -> None:
        """The error names all of it."""
        with pytest.raises(GateRefusedError) as raised:
            gated.acting_as("cid").set_registered_model_alias("m", "champion", 2)
        assert str(raised.value) == (
            "The alias 'champion' of model 'm' cannot point at version 2, which needs tag "
            "validation=passed; needs 1 approval by others than ann and cid and has 0"
        )
        assert len(raised.value.missing) == 2

    def test_no_name_comes_to_what_its_gates_forbid(self, gated: Registry) -> None:
        """A rename brings aliases and stages along; so does what comes back from the trash."""
        gated.create_registered_model("other")
        gated.create_model_version("other", source=SOURCE)
        gated.set_registered_model_alias("other", "champion", 1)
        with pytest.raises(GateRefusedError):
            gated.rename_registered_model("other", new_name="m2")
        gated.delete_registered_model("other")
        with pytest.raises(GateRefusedError):
            gated.restore_registered_model("other", new_name="m2")
        gated.restore_registered_model("other")
        gated.delete_registered_model_alias("other", "champion")
        gated.transition_model_version_stage("other", 1, stage="Production")
        with pytest.raises(GateRefusedError):
            gated.rename_registered_model("other", new_name="m2")
        gated.set_registered_model_alias("m", "champion", 1)
        gated.rename_registered_model("m", new_name="m2")
        gated.delete_registered_model("m2")
        assert gated.restore_registered_model("m2").aliases == {"champion": 1}
        assert histories.verify(gated.store, "m2").problems == ()

    def test_a_deleted_version_comes_back_in_no_protected_stage(self, gated: Registry) -> None:
        """And without the approvals that it had."""
        gated.transition_model_version_stage("m", 1, stage="Production")
        gated.delete_model_version("m", 1)
        restored = gated.restore_model_version("m", 1)
        assert (restored.current_stage, restored.tags) == (
            Stage.NONE,
            {"validation": "passed"},
        )
        gated.transition_model_version_stage("m", 1, stage="Staging")
        with pytest.raises(GateRefusedError):
            gated.transition_model_version_stage("m", 1, stage="Production")
        assert histories.verify(gated.store, "m").problems == ()

    def test_an_approval_is_void_when_the_version_has_changed(self, gated: Registry) -> None:
        """Of a version without a manifest: when its fields or the text of a prompt have."""
        text = "x" * 10_000
        gated.set_model_version_tag("m", 1, "mlflow.prompt.text", text)
        with pytest.raises(GateRefusedError, match="those by bob are void"):
            gated.set_registered_model_alias("m", "champion", 1)
        gated.acting_as("bob").approve_model_version("m", 1)
        gated.set_registered_model_alias("m", "champion", 1)
        gated.delete_registered_model_alias("m", "champion")
        gated.set_model_version_tag("m", 1, "mlflow.prompt.text", f"{text}.")
        with pytest.raises(GateRefusedError):
            gated.set_registered_model_alias("m", "champion", 1)

    @pytest.mark.parametrize("change", BECOMING, ids=["content", "files"])
    def test_who_makes_something_else_of_a_version_does_not_approve_it(
        self, gated: Registry, change: Change[Any]
    ) -> None:
        """The caller who has created it."""
        keeper = Gatekeeper(gates=gated.gates, sealed_digest=lambda _: None)
        keeper.apply(gated.store, change, TESTER)
        gated.acting_as(TESTER.actor).approve_model_version("m", 1)
        with pytest.raises(GateRefusedError, match=f"by others than ann and {TESTER.actor}"):
            gated.set_registered_model_alias("m", "champion", 1)
        gated.acting_as("bob").approve_model_version("m", 1)
        gated.set_registered_model_alias("m", "champion", 1)
        assert _newest(gated, 2)[0].after["authors"] == ["ann", TESTER.actor]  # type: ignore[index]

    @pytest.mark.parametrize("change", BECOMING, ids=["content", "files"])
    def test_what_a_gate_has_let_pass_does_not_become_something_else(
        self, gated: Registry, change: Change[Any]
    ) -> None:
        """While what it protects points there: that would be a move without the gate."""
        gated.set_registered_model_alias("m", "champion", 1)
        gated.set_model_version_tag("m", 1, "note", "of no matter")
        before = gated.snapshot("m")
        keeper = Gatekeeper(gates=gated.gates, sealed_digest=lambda _: None)
        with pytest.raises(GateRefusedError, match="those by bob are void"):
            keeper.apply(gated.store, change, TESTER)
        assert gated.snapshot("m") == before
        gated.delete_registered_model_alias("m", "champion")
        keeper.apply(gated.store, change, TESTER)
        assert histories.verify(gated.store, "m").problems == ()

    def test_what_points_there_already_is_not_asked_again(self, gated: Registry) -> None:
        """A gate is about moves: the same again moves nothing."""
        gated.set_registered_model_alias("m", "champion", 1)
        gated.acting_as("bob").withdraw_model_version_approval("m", 1)
        gated.set_registered_model_alias("m", "champion", 1)
        gated.rename_registered_model("m", new_name="m")
        assert gated.get_registered_model("m").aliases == {"champion": 1}

    @pytest.mark.parametrize("spoil", ["approval", "tag", "content"])
    def test_a_move_and_what_forbids_it_have_an_order(self, gated: Registry, spoil: str) -> None:
        """Of two at one moment, the move comes first, or is refused."""
        bob = gated.acting_as("bob")
        spoils: dict[str, Callable[[int], object]] = {
            "approval": lambda _: bob.withdraw_model_version_approval("m", 1),
            "tag": lambda _: gated.delete_model_version_tag("m", 1, "validation"),
            "content": lambda n: gated.set_model_version_tag("m", 1, "mlflow.prompt.text", f"{n}"),
        }
        for number in range(ROUNDS):
            gated.delete_registered_model_alias("m", "champion")
            gated.set_model_version_tag("m", 1, "validation", "passed")
            bob.approve_model_version("m", 1)
            last = _newest(gated, 1)[0].sequence
            moved, spoilt = race(
                lambda: gated.set_registered_model_alias("m", "champion", 1),
                functools.partial(spoils[spoil], number),
            )
            for outcome in (moved, spoilt):
                assert outcome.error is None or isinstance(outcome.error, GateRefusedError)
            # What is approved and pointed at cannot become something else; the rest comes later.
            is_kept = spoil == "content" and moved.error is None
            assert (spoilt.error is not None) is is_kept
            done = [event for event in _newest(gated, 3) if event.sequence > last]
            actions = [event.action for event in done]
            # Either the move was refused, or its decision and it stand before the other.
            expected = [] if moved.error else [Action.PASS_GATE, Action.SET_ALIAS]
            assert actions[: None if is_kept else -1] == expected


def _newest(registry: Registry, count: int) -> list[Event]:
    """So many newest events, oldest first."""
    newest: Iterator[Event] = registry.history("m")
    return [next(newest) for _ in range(count)][::-1]
