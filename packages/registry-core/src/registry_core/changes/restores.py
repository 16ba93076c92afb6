"""Changes that write a whole registered model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, TypeVar, cast

import attrs

from registry_core import documents, history, snapshots
from registry_core.authors import BASELINE_AUTHOR, Author
from registry_core.changes.base import Change, ModelChange
from registry_core.changes.playing import text_of
from registry_core.documents import ModelDocument
from registry_core.errors import ConflictError, InvalidArgumentError
from registry_core.history import Action, Effect, Event, Value, new_model_id
from registry_core.models import Approval, ModelVersion, WebhookAction
from registry_core.permissions import STAGE_PREFIX, Need, Permission
from registry_core.requirements import Requirement
from registry_core.snapshot_pieces import SpooledSnapshot
from registry_core.snapshots import ModelSnapshot, Snapshot
from registry_core.topics import OF_MODELS, Topics, own_topics

ResultT = TypeVar("ResultT")


class _Restoring(ModelChange):
    """What writes a whole registered model, in memory or not."""

    permission: ClassVar[Permission] = Permission.RESTORE

    snapshot: Snapshot
    replaces: bool
    expected: tuple[str, int] | None
    model_id: str

    @property
    def model(self) -> str:
        """See `Change`."""
        return self.snapshot.document.name

    @property
    def moves_aliases(self) -> bool:
        """Whether aliases and stages come to where they were not when their model was last seen."""
        return True

    @property
    def document(self) -> ModelDocument:
        """The model as it is after the change, as far as it is in memory."""
        return attrs.evolve(self.snapshot.document, model_id=self.model_id)

    def needs(self) -> tuple[Need, ...]:
        """See `Change`."""
        kinds = [Permission.RESTORE, *([Permission.DELETE] if self.replaces else [])]
        aliases = self._moved() if self.moves_aliases else ()
        return (
            *(Need(kind, self.model, is_new=True) for kind in kinds),
            *(Need(Permission.MOVE_ALIAS, self.model, each, is_new=True) for each in aliases),
        )

    def _moved(self) -> list[str]:
        active = [stage for stage in sorted(self.snapshot.stages) if stage.is_active]
        return [
            *self.snapshot.document.aliases,
            *(f"{STAGE_PREFIX}{stage.value}" for stage in active),
        ]

    def check_replaced(self, model_id: str, last: int) -> None:
        """Accept the model that it replaces, by its id and the number of its newest event.

        Raises:
            ConflictError: It is not as expected.
        """
        if self.expected not in (None, (model_id, last)):
            raise ConflictError(
                f"Model '{self.model}' was changed by somebody else, and was not replaced"
            )

    def check_kept(self, last: int) -> None:
        """Accept what a store keeps of a deleted model under the id, unless it is replaced.

        Args:
            last: The number of its newest event; 0 where nothing is kept.

        Raises:
            ConflictError: It has events that are not in the snapshot, and would be lost.
        """
        if not self.replaces and last > self.snapshot.last > 0:
            raise ConflictError(
                f"Model '{self.model}' was deleted, and its history goes on after this snapshot: "
                "restore the deleted model, or replace it with its history"
            )

    def check_end(self, newest: Effect | Event | None) -> None:
        """Refuse a history that ends with a deletion: the model would be in the trash, and exist.

        Raises:
            InvalidArgumentError: It does.
        """
        if newest is not None and newest.action is Action.DELETE_MODEL:
            raise InvalidArgumentError(
                f"The snapshot of model '{self.model}' is illegal: its history ends with its "
                "deletion"
            )

    def id_taken(self) -> ConflictError:
        """Return the error for a snapshot whose id another model of the store has."""
        return ConflictError(
            f"Model '{self.model}' cannot be restored under the id {self.model_id}: that is the id "
            "of another model"
        )


@attrs.frozen(kw_only=True)
class RestoreModel(_Restoring):
    """Write a whole registered model: all that its snapshot says, and nothing else.

    Times, numbers and history are those of the snapshot; the restoring itself makes no event. The
    model keeps the id that the snapshot has, and gets a new one if it has none. Without a history
    it gets one that begins with what it is.

    Raises:
        InvalidArgumentError: The snapshot is illegal; raised when the change is made.
        AlreadyExistsError: The name is taken, and `replaces` is not set.
        ConflictError: Another model of the store has the id; or `replaces` is not set, and a
            deleted model of the id has a history that goes on after the snapshot's.
    """

    snapshot: ModelSnapshot = attrs.field(
        validator=lambda _, __, value: snapshots.check(value), repr=lambda value: value.name
    )
    replaces: bool = False
    """Whether a model of that name goes, with its versions and its history, in the same step; and
    so the history of a deleted model of that id, where the snapshot does not have all of it."""
    expected: tuple[str, int] | None = None
    """The id of the model that it replaces and the number of that one's newest event, if it may
    replace nothing newer. A server is not asked to look at it."""
    also: tuple[Effect, ...] = ()
    """What the history gets after the events of the snapshot, by the author and now."""
    requires: tuple[Requirement, ...] = ()
    model_id: str = attrs.field()

    @model_id.default
    def _model_id(self) -> str:
        return self.snapshot.document.model_id or new_model_id()

    def __attrs_post_init__(self) -> None:
        self.check_end(self.also[-1] if self.also else self.snapshot.newest)

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`."""
        if document is not None and not self.replaces:
            raise documents.taken_by(document, self.snapshot.document)
        return self.document

    def effects(
        self,
        before: ModelDocument | None = None,
        after: ModelDocument | None = None,
    ) -> tuple[Effect, ...]:
        """See `Change`. The events of the snapshot are not among them; see `history`."""
        return self.also

    def history(self, now: int, by: Author) -> list[Event]:
        """Return every event that the model has after the change, oldest first.

        Args:
            now: Milliseconds since the epoch, for the events that the snapshot does not have.
            by: Who makes the change.
        """
        kept = [*self.snapshot.with_id(self.model_id).events]
        added = [] if kept else [(effect, BASELINE_AUTHOR) for effect in self._baseline()]
        added += [(effect, by) for effect in self.also]
        # A history that was pruned begins with a later number than 1.
        numbered = enumerate(added, kept[-1].sequence + 1 if kept else 1)
        return kept + [
            Event.of(
                effect, model_id=self.model_id, name=self.model, sequence=number, time=now, by=who
            )
            for number, (effect, who) in numbered
        ]

    def _baseline(self) -> Iterator[Effect]:
        document = self.snapshot.document
        listed = document.versions.values()
        return history.baseline(
            document, listed, next_version=document.next_version, approvals=document.approvals
        )


@attrs.frozen(kw_only=True)
class RestoreLargeModel(_Restoring):
    """As `RestoreModel`, of a model that is too large for memory.

    A store that cannot write it piece by piece is given `whole`; see `restores_in_pieces`.
    """

    snapshot: SpooledSnapshot = attrs.field(
        validator=lambda _, __, value: snapshots.check(value), repr=lambda value: value.name
    )
    replaces: bool = False
    """See `RestoreModel`."""
    expected: tuple[str, int] | None = None
    """See `RestoreModel`."""
    model_id: str = attrs.field()

    @model_id.default
    def _model_id(self) -> str:
        return self.snapshot.document.model_id or new_model_id()

    def __attrs_post_init__(self) -> None:
        self.check_end(self.snapshot.newest)

    def whole(self) -> RestoreModel:
        """Return the same change with its snapshot in memory."""
        return RestoreModel(
            snapshot=self.snapshot.whole(),
            replaces=self.replaces,
            expected=self.expected,
            model_id=self.model_id,
        )

    def apply(self, document: ModelDocument | None, now: int) -> ModelDocument:
        """See `Change`. All of the model is in memory."""
        return self.whole().apply(document, now)

    def effects(self, before: ModelDocument | None, after: ModelDocument | None) -> tuple[()]:
        """See `Change`."""
        return ()

    def each_event(self, now: int) -> Iterator[Event]:
        """Yield every event that the model has after the change, oldest first.

        Args:
            now: Milliseconds since the epoch, for the events that the snapshot does not have.
        """
        if self.snapshot.newest is not None:
            yield from self.snapshot.with_id(self.model_id).each_event()
            return
        document = self.snapshot.document
        approvals: dict[int, tuple[Approval, ...]] = {}
        effects = history.baseline(
            document,
            self._each_version(approvals),
            next_version=document.next_version,
            approvals=approvals,
        )
        for number, effect in enumerate(effects, 1):
            yield Event.of(
                effect,
                model_id=self.model_id,
                name=self.model,
                sequence=number,
                time=now,
                by=BASELINE_AUTHOR,
            )

    def _each_version(self, approvals: dict[int, tuple[Approval, ...]]) -> Iterator[ModelVersion]:
        """Yield the versions; `approvals` has those of them all at the end."""
        for version, given in self.snapshot.each_version():
            if given:
                approvals[version.version] = given
            yield version


def in_memory(change: Change[ResultT]) -> Change[ResultT]:
    """Return a change as a store makes it that has whole models in memory."""
    whole: Any = change.whole() if isinstance(change, RestoreLargeModel) else change
    return cast("Change[ResultT]", whole)


def restores_in_pieces(store: object) -> bool:
    """Return whether a store makes a `RestoreLargeModel`; an attribute of this name says so."""
    return getattr(store, "restores_in_pieces", False) is True


@attrs.frozen(kw_only=True)
class RestoreDeletedModel(RestoreModel):
    """Bring a deleted model back: all that its snapshot says, and an event that says so.

    Raises:
        AlreadyExistsError: The name is taken.
        ConflictError: The model has been restored already, or its history went on.
    """

    action: ClassVar[Action] = Action.RESTORE_MODEL
    permission: ClassVar[Permission] = Permission.RESTORE
    topics: ClassVar[Topics] = own_topics(OF_MODELS, WebhookAction.RESTORED)

    was_named: str
    """The name that the model had when it was deleted."""
    passed: tuple[Effect, ...] = ()
    """What the history says of the gates that let its aliases and stages come back."""
    also: tuple[Effect, ...] = attrs.field(init=False)

    @property
    def moves_aliases(self) -> bool:
        """See `RestoreModel`: under the same name everything is where it was."""
        return self.was_named != self.snapshot.name

    @also.default
    def _also(self) -> tuple[Effect, ...]:
        restored = Effect(
            action=Action.RESTORE_MODEL, before=self.was_named, after=self.snapshot.name
        )
        return (restored, *self.passed)

    def check_kept(self, last: int) -> None:
        """See `RestoreModel`: the restoring has to follow the deletion, which nothing else does."""
        if last != self.snapshot.last:
            raise ConflictError(
                f"Registered model '{self.was_named}' was restored by somebody else"
            )

    @classmethod
    def replay(cls, document: ModelDocument | None, event: Event) -> ModelDocument:
        """See `Change`; the document is that of the model as it was deleted."""
        deleted = documents.present(document, event.name)
        restored = attrs.evolve(deleted, name=text_of(event))
        return documents.build(restored, restored.versions.values())

    @classmethod
    def former(cls, document: ModelDocument, event: Event) -> Value:  # noqa: ARG003
        """See `Change`."""
        return document.name
