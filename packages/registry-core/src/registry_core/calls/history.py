"""Calls about what was done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from registry_core import histories, pruning, validation
from registry_core.calls.base import RegistryBase
from registry_core.changes import (
    SetAlias,
)
from registry_core.errors import InvalidArgumentError
from registry_core.history import Action, Event
from registry_core.models import (
    RegisteredModel,
)
from registry_core.pruning import Pruned
from registry_core.verification import Verification


class HistoryCalls(RegistryBase):
    """Calls about what was done."""

    def history(
        self,
        name: str | None = None,
        *,
        model_id: str | None = None,
        alias: str | None = None,
        version: int | str | None = None,
        actions: Iterable[Action | str] | None = None,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        newest_first: bool = True,
    ) -> Iterator[Event]:
        """Return what was done to a registered model, in the order of the events' numbers.

        Args:
            name: The registered model, by the name that it has now.
            model_id: The registered model by its id, in place of its name; also one that was
                deleted.
            alias: Only events about this alias.
            version: Only events about this version.
            actions: Only events of these kinds; see `registry_core.history.Action`.
            since: Only events of this moment or later: milliseconds since the epoch, or a
                `datetime` with a time zone.
            until: Only events before this moment.
            newest_first: Whether the newest event comes first.

        Raises:
            InvalidArgumentError: There is neither a name nor an id, or both.
            RegisteredModelNotFoundError: The model does not exist; raised by the first event. Of an
                id that no model has or had there are no events.

        Example:
            >>> for event in registry.history("churn", alias="champion"):
            ...     print(event.before, "->", event.after, event.reason)
            1 -> 2 AUC 0.93
            None -> 1 first
        """
        if (name is None) == (model_id is None):
            raise InvalidArgumentError("A history is that of a name or of a model id, not of both")
        query = histories.query(
            name,
            model_id=model_id,
            alias=alias,
            version=version,
            actions=actions,
            since=since,
            until=until,
            newest_first=newest_first,
        )
        return histories.iterate(self.store, query)

    def activity(
        self,
        *,
        actions: Iterable[Action | str] | None = None,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        newest_first: bool = True,
    ) -> Iterator[Event]:
        """Return what was done to all registered models, deleted ones included, by time.

        The arguments are those of `history`.

        Example:
            >>> sorted({event.name for event in registry.activity(actions=["set_alias"])})
            ['churn', 'greeting']
        """
        query = histories.query(
            None, actions=actions, since=since, until=until, newest_first=newest_first
        )
        return histories.iterate(self.store, query)

    def registered_model_as_of(self, name: str, moment: int | datetime) -> RegisteredModel:
        """Return a registered model as it was at a moment, from its history.

        Args:
            name: The name that the model has now.
            moment: Milliseconds since the epoch, or a moment with its time zone.

        Raises:
            InvalidArgumentError: The history of the model begins later.

        Example:
            >>> now = datetime.now(UTC)
            >>> registry.registered_model_as_of("churn", now).aliases["champion"]
            2
        """
        return histories.as_of(self.store, validation.model_name(name), moment).entity

    def verify_history(self, name: str) -> Verification:
        """Play the history of a registered model back, and return what is wrong with it.

        Every event is compared with its checksum and with the events before it; what they lead to
        is compared with the model and with all of its versions.

        Raises:
            ConflictError: Others changed the model each time.
            StoreCorruptedError: The model itself cannot be read.

        Example:
            >>> registry.verify_history("churn").problems
            ()
        """
        return histories.verify(self.store, validation.model_name(name))

    def prune_history(
        self,
        name: str,
        *,
        before: int | datetime,
        dry_run: bool = False,
        reason: str | None = None,
    ) -> Pruned:
        """Replace the oldest events of a registered model by what they have led to.

        The new beginning says what the model, each version and each alias was after them, in events
        with the origin `baseline`, with this author and reason, and with the number and time of the
        last event that went. What stays keeps its number.

        Args:
            name: The registered model.
            before: The events before the first one of this moment or later go: milliseconds since
                the epoch, or a `datetime` with a time zone.
            dry_run: Whether only to say what would be done.
            reason: Why, for the history.

        Raises:
            ConflictError: Events still wait for delivery to webhooks, or the history was
                replaced meanwhile; nothing was changed.
            InvalidArgumentError: Something that was deleted since `before` can still be restored;
                see `registry_core.retention`.
            RegisteredModelNotFoundError: There is no such model.
            StoreCorruptedError: The events cannot be played back.
            UnsupportedBackendError: The registry is behind MLflow's own server.

        Example:
            >>> registry.prune_history("churn", before=datetime(2025, 1, 1, tzinfo=UTC)).removed
            0
        """
        return pruning.prune(
            self.store,
            validation.model_name(name),
            before=before,
            by=self._by(reason),
            dry_run=dry_run,
        )

    def rollback_registered_model_alias(
        self, name: str, alias: str, *, to: int | None = None, reason: str | None = None
    ) -> int | None:
        """Point the alias where it pointed before, and return that version's number.

        Args:
            name: The registered model.
            alias: The alias.
            to: The number of an event in the model's history: the alias points then where it
                pointed after that event. By default the last change of the alias is undone.
            reason: Why, for the history; the rollback is an event like all others.

        Returns:
            None when the alias did not exist then, and was removed.

        Raises:
            InvalidArgumentError: The history says nothing of the alias.
            StaleValueError: Somebody else has moved the alias meanwhile; nothing was changed.
            ModelVersionNotFoundError: The version that the alias pointed at was deleted.

        Example:
            >>> registry.rollback_registered_model_alias("churn", "champion", reason="it is slow")
            1
        """
        validation.model_name(name)
        validation.alias(alias)
        change = histories.rollback(self.store, name, alias, to=to)
        self._writer(reason).apply(change)
        return change.version if isinstance(change, SetAlias) else None
