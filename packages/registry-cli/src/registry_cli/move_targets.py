"""How models and webhooks get into the target of `regctl copy`, and what is compared then."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from registry_cli.output import confirm, notice
from registry_core.errors import NotPermittedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from registry_core import Registry
    from registry_core.calls.snapshots import OnConflict
    from registry_core.moves.artifacts import FileMover
    from registry_core.moves.outcomes import Copied, Difference
    from registry_core.moves.sources import SnapshotSource


class Way(NamedTuple):
    """How models get into a target, and what is compared then."""

    copies: Callable[..., Iterator[Copied]]
    expected: SnapshotSource
    there: SnapshotSource


def way_into(
    source: SnapshotSource,
    target: Registry,
    mover: FileMover | None,
    filter_text: str | None,
    *,
    yes: bool,
) -> Way:
    """Into one of our stores as a whole; into a server of MLflow's after a question."""
    from registry_core.moves import artifacts, copying, mlflow_target, sources  # noqa: PLC0415

    there = sources.StoreSource(target.store)
    if not mlflow_target.is_mlflow(target.store):
        copies = partial(copying.copy, target=target, filter_text=filter_text, mover=mover)
        return Way(copies, source if mover is None else artifacts.MovedSource(source, mover), there)
    if mover is not None:
        raise click.UsageError("--artifacts needs a DST of ours: MLflow keeps its files itself.")
    notice("DST is a server of MLflow's. It does not keep:")
    for loss in mlflow_target.LOSSES:
        notice(f"  - {loss}")
    confirm("Copy the rest?", yes=yes)
    return Way(
        partial(mlflow_target.copy, target=target, filter_text=filter_text),
        mlflow_target.KeptSource(source),
        mlflow_target.KeptSource(there),
    )


class Hooks(NamedTuple):
    """The webhooks of a source, and where they are to be."""

    source: SnapshotSource
    target: Registry
    on_conflict: OnConflict
    dry_run: bool
    are_wanted: bool

    def copied(self) -> bool:
        """Copy them, and say what became of them; whether all are there."""
        if not self.are_wanted:
            return True
        from registry_core.moves import webhooks  # noqa: PLC0415 as above

        done = webhooks.copy_webhooks(
            self.source, self.target.store, on_conflict=self.on_conflict, dry_run=self.dry_run
        )
        counts: Counter[str] = Counter()
        complete = True
        for each in done:
            counts[each.outcome.value] += 1
            complete &= each.is_complete
            if not each.is_complete:
                notice(f"{each.outcome.value}: {each.name}: {each.detail}")
        if counts:
            said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
            notice(f"{'Would be: ' if self.dry_run else ''}{counts.total()} webhooks ({said})")
        if counts["copied"]:
            notice(_WITHOUT_SECRETS)
        return complete

    def differences(self) -> Iterator[Difference]:
        """Yield where the target's are others."""
        if not self.are_wanted:
            return
        from registry_core.moves import sources  # noqa: PLC0415 as above

        yield from webhook_differences(self.source, sources.StoreSource(self.target.store))


def webhook_differences(one: SnapshotSource, other: SnapshotSource) -> Iterator[Difference]:
    """Yield where the webhooks of two registries differ.

    Where the caller may not see them, it says that they were not compared.
    """
    from registry_core.moves import webhooks  # noqa: PLC0415 as above

    try:
        found = [*webhooks.compare_webhooks(one, other)]
    except NotPermittedError as error:
        notice(f"Webhooks were not compared: {error}")
        return
    yield from found


_WITHOUT_SECRETS = (
    "Webhooks are copied without their secrets, so what they send is not signed: give those that "
    "need one a secret with `regctl webhooks update`."
)
