"""What a store promises about approvals of model versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs
import pytest

from registry_core import histories, snapshot_reading
from registry_core.errors import (
    ApprovalNotFoundError,
    ModelVersionNotFoundError,
    RegisteredModelNotFoundError,
)
from registry_core.history import Action, Event
from registry_core.models import Approval
from registry_core.snapshot_pieces import spooled
from registry_core.store import KeepsApprovals, approvals_of
from registry_core.testing import model_versions
from registry_core.testing.calls import Calls
from registry_core.testing.cases import StoreCase, create_model, create_versions
from registry_core.testing.clocks import ManualClock
from registry_core.testing.observing import refused

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "01")


class ApprovalTests(StoreCase):
    """Everything about approvals; not asked of a store that keeps none."""

    @pytest.fixture
    def approved(self, store: Calls) -> Calls:
        """The store, with a model `m` of three versions."""
        if not isinstance(store.backend, KeepsApprovals):
            pytest.skip("declared: this store keeps no approvals")
        create_model(store)
        create_versions(store, 3)
        return store

    def test_approvals_are_kept_by_version_and_actor(
        self, approved: Calls, clock: ManualClock
    ) -> None:
        """With all that they say, in order; and the time at which each was given."""
        given = Approval(
            actor="böb", is_authenticated=True, groups=("a", "b"), digest=DIGEST, reason="it's fine"
        )
        clock.advance(5)
        made = approved.approve_model_version("m", 2, given)
        assert made == attrs.evolve(given, time=clock())
        clock.advance(5)
        ann = approved.approve_model_version("m", 2, Approval(actor="ann", digest=OTHER))
        third = approved.approve_model_version("m", 1, Approval(actor="böb", digest=OTHER))
        assert _approvals(approved) == {1: (third,), 2: (ann, made)}
        assert [*_approvals(approved)] == [1, 2]

    def test_an_actor_has_one_approval_of_a_version(
        self, approved: Calls, clock: ManualClock
    ) -> None:
        """The same again changes nothing; another one takes its place."""
        first = approved.approve_model_version("m", 1, Approval(actor="ann", digest=DIGEST))
        before = [*_events(approved)]
        clock.advance(5)
        assert approved.approve_model_version("m", 1, Approval(actor="ann", digest=DIGEST)) == first
        assert [*_events(approved)] == before
        second = approved.approve_model_version("m", 1, Approval(actor="ann", digest=OTHER))
        assert _approvals(approved) == {1: (second,)}

    def test_an_approval_is_withdrawn(self, approved: Calls) -> None:
        """The others stay. One that is not there is an error, and nothing changes."""
        approved.approve_model_version("m", 1, Approval(actor="ann", digest=DIGEST))
        left = approved.approve_model_version("m", 1, Approval(actor="bob", digest=DIGEST))
        approved.withdraw_approval("m", 1, "ann")
        assert _approvals(approved) == {1: (left,)}
        message = "Version 1 of model 'm' has no approval by 'ann'"
        with refused(approved, ApprovalNotFoundError, message):
            approved.withdraw_approval("m", 1, "ann")
        approved.withdraw_approval("m", 1, "bob")
        assert _approvals(approved) == {}

    def test_only_what_exists_is_approved(self, approved: Calls) -> None:
        """Neither a missing version nor a version of a missing model."""
        approved.delete_model_version("m", 3)
        for name, number in (("m", 3), ("m", 4), ("other", 1)):
            message = model_versions.not_found(name, number)
            with refused(approved, ModelVersionNotFoundError, message):
                approved.approve_model_version(name, number, Approval(actor="a", digest=DIGEST))
            with refused(approved, ModelVersionNotFoundError, message):
                approved.withdraw_approval(name, number, "a")
        with pytest.raises(RegisteredModelNotFoundError):
            approvals_of(approved.backend, "other")

    def test_approvals_follow_a_rename_and_go_with_their_version(self, approved: Calls) -> None:
        """A version that comes back has to be approved anew."""
        approved.approve_model_version("m", 1, Approval(actor="ann", digest=DIGEST))
        kept = approved.approve_model_version("m", 2, Approval(actor="ann", digest=DIGEST))
        approved.rename_registered_model("m", new_name="n")
        version = approved.get_model_version("n", 1)
        approved.delete_model_version("n", 1)
        assert _approvals(approved, "n") == {2: (kept,)}
        approved.restore_model_version("n", version)
        assert _approvals(approved, "n") == {2: (kept,)}
        approved.delete_registered_model("n")
        create_model(approved, "n")
        assert _approvals(approved, "n") == {}

    def test_history_and_snapshot_have_the_approvals(self, approved: Calls) -> None:
        """The events lead to them, and a model that is written from its snapshot has them."""
        given = Approval(actor="ann", digest=DIGEST, groups=("g",), reason="x" * 2_000)
        approved.approve_model_version("m", 1, Approval(actor="ann", digest=OTHER))
        approved.approve_model_version("m", 1, given)
        approved.approve_model_version("m", 2, Approval(actor="ann", digest=OTHER))
        approved.withdraw_approval("m", 2, "ann")
        events = [*_events(approved)]
        assert [(event.action, event.version, event.key) for event in events[-4:]] == [
            (Action.APPROVE_VERSION, 1, "ann"),
            (Action.APPROVE_VERSION, 1, "ann"),
            (Action.APPROVE_VERSION, 2, "ann"),
            (Action.WITHDRAW_APPROVAL, 2, "ann"),
        ]
        assert [event.before for event in events[-4:]] == [
            None,
            events[-4].after,
            None,
            events[-2].after,
        ]
        assert histories.verify(approved.backend, "m").problems == ()
        snapshot = snapshot_reading.take(approved.backend, "m")
        before = _approvals(approved)
        assert snapshot.document.approvals == before
        approved.delete_model_version("m", 1)
        approved.restore(snapshot, replaces=True)
        assert _approvals(approved) == before
        approved.delete_registered_model("m")
        # What was deleted since goes with the snapshot of another id.
        approved.restore_large(spooled(snapshot.with_id("0" * 16)))
        assert _approvals(approved) == before
        assert histories.verify(approved.backend, "m").problems == ()


def _approvals(store: Calls, name: str = "m") -> Mapping[int, tuple[Approval, ...]]:
    return approvals_of(store.backend, name)


def _events(store: Calls) -> Iterator[Event]:
    return histories.iterate(store.backend, histories.query("m", newest_first=False))
