"""`regctl copy`, `diff`, `export` and `import`: whole registries, and back."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

import registry_core
from registry_cli.errors import ExitCode
from registry_cli.examples import example
from registry_cli.move_targets import Hooks, way_into, webhook_differences
from registry_cli.options import Seconds, on_store, reason_option, tracking_option, yes_option
from registry_cli.output import notice
from registry_cli.session import Session, makes_registry, pass_session
from registry_cli.tables import printable

if TYPE_CHECKING:
    from registry_core import Registry
    from registry_core.calls.snapshots import OnConflict
    from registry_core.moves.artifacts import FileMover
    from registry_core.moves.outcomes import Copied, Difference
    from registry_core.moves.sources import SnapshotSource
    from registry_core.moves.watching import Copies

PROGRESS_SECONDS = 0.5
"""How often a terminal is shown how far a copy is."""

filter_option = click.option(
    "--filter", "filter_text", metavar="TEXT", help="Only models that match, as in a search."
)
conflict_option = click.option(
    "--on-conflict",
    type=click.Choice(("fail", "skip", "replace")),
    default="fail",
    show_default=True,
    help="What becomes of a model of the target that others have changed.",
)
webhooks_option = click.option(
    "--webhooks/--no-webhooks",
    "with_webhooks",
    default=True,
    show_default=True,
    help="Also webhooks, without their secrets. With --filter only models are looked at.",
)
dry_option = click.option("--dry-run", is_flag=True, help="Write nothing, and say what would be.")


@contextmanager
def _source(url: str) -> Iterator[SnapshotSource]:
    from registry_core.moves import sources  # noqa: PLC0415 not for every command

    source, close = sources.open_source(url)
    try:
        yield source
    finally:
        close()


@contextmanager
def _target(session: Session, url: str, *, root: str | None = None) -> Iterator[Registry]:
    with closing(session.opened(url, artifacts=root)) as registry:
        yield registry.acting_as(reason=session.reason, origin=registry_core.Origin.REGCTL)


class _Files(NamedTuple):
    """Whether the files of versions come along, and where they are read from."""

    are_wanted: bool
    source_root: str | None
    tracking_uri: str | None
    local_files: bool


@contextmanager
def _mover(source_url: str, target: Registry, files: _Files) -> Iterator[FileMover | None]:
    """What brings files into the target, if they are wanted."""
    if not files.are_wanted:
        yield None
        return
    from registry_core.moves import artifacts  # noqa: PLC0415 not for every command

    mover, close = artifacts.open_mover(
        source_url,
        target,
        source_root=files.source_root,
        tracking_uri=files.tracking_uri,
        local_files=files.local_files,
    )
    try:
        yield mover
    finally:
        close()


@click.command(
    "copy", epilog=example("regctl copy http://mlflow:5000 sqlite:///registry.db --dry-run")
)
@click.argument("source_url", metavar="SRC")
@click.argument("target_url", metavar="DST")
@filter_option
@dry_option
@conflict_option
@click.option("--artifacts", "with_files", is_flag=True, help="Copy the files of versions, too.")
@click.option(
    "--source-root", metavar="URL", help="The artifact root of SRC, if not the one of its store."
)
@click.option(
    "--target-root",
    metavar="URL",
    help="The artifact root of DST.  [default: REGISTRY_ARTIFACTS, or the one of its store]",
)
@tracking_option
@click.option(
    "--local-files",
    is_flag=True,
    help="Also copy from sources that are paths of this machine: they are other people's texts.",
)
@webhooks_option
@click.option("--watch", is_flag=True, help="Go on with what changes in SRC, until Ctrl-C.")
@click.option(
    "--interval",
    type=Seconds(),
    default="5s",
    show_default=True,
    metavar="DURATION",
    help="With --watch, how often to look for changes.",
)
@yes_option
@reason_option
@click.pass_context
@pass_session
@makes_registry
def copy(
    session: Session,
    ctx: click.Context,
    *,
    source_url: str,
    target_url: str,
    filter_text: str | None,
    dry_run: bool,
    on_conflict: OnConflict,
    with_files: bool,
    source_root: str | None,
    target_root: str | None,
    tracking_uri: str | None,
    local_files: bool,
    with_webhooks: bool,
    watch: bool,
    interval: float,
    yes: bool,
) -> None:
    """Copy registered models and prompts from one registry into another.

    SRC is the URL of a store, of a server of MLflow's, or of the database of
    one: mlflow+sqlite:///mlflow.db, mlflow+postgresql://... DST is the URL of
    a store. Numbers, gaps, times, stages, aliases, tags and histories stay. A
    server of MLflow's can be DST, too: it keeps less, so the command says what
    will be lost, and asks.

    Run it again as often as you like: what is there already is not written,
    and what the source has changed since is brought up to date. Webhooks come
    without their secrets. Exits with 8 if something was not copied, or the two
    differ at the end.

    With --artifacts the files of versions come into the artifact root of DST,
    compared with what was sealed, and the sources of the copy name it; what
    cannot be read is named, and its source stays.

    With --watch it follows SRC until SIGINT or SIGTERM, then makes one more run
    and compares: stop the writers of SRC before that, and DST is the same.
    """
    if watch and dry_run:
        raise click.UsageError("--watch writes; it cannot be a --dry-run.")
    files = _Files(with_files, source_root, tracking_uri, local_files)
    with (
        _source(source_url) as source,
        _target(session, target_url, root=target_root) as target,
        _mover(source_url, target, files) as mover,
    ):
        way = way_into(source, target, mover, filter_text, yes=yes or dry_run)
        copies = partial(way.copies, on_conflict=on_conflict, dry_run=dry_run)
        hooks = Hooks(source, target, on_conflict, dry_run, with_webhooks and not filter_text)
        if watch:
            complete = _followed(copies, hooks, interval, filter_text)
        else:
            complete = _copied(copies(source), dry_run=dry_run) & hooks.copied()
        if not dry_run:
            complete &= _is_same(way.expected, way.there, hooks, filter_text)
    if not complete:
        ctx.exit(ExitCode.INCOMPLETE)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """What is set by the first SIGINT or SIGTERM; a second one ends the process."""
    stop = threading.Event()

    def handle(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])
        notice("Stopping: one more run, and the comparison.")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _followed(
    copies: Copies, hooks: Hooks, interval_seconds: float, filter_text: str | None
) -> bool:
    """Copy what changes in the source until a signal; whether all of it was copied."""
    from registry_core.moves import watching  # noqa: PLC0415 as above

    with _stopped_by_signals() as stop:
        hooks.copied()  # Early, so that secrets can be given; what is missing is said at the end.
        outcomes = watching.watch(
            hooks.source,
            hooks.target,
            copies,
            stop=stop,
            interval_seconds=interval_seconds,
            filter_text=filter_text,
        )
        return _copied(_said(outcomes), dry_run=False) & hooks.copied()


def _said(outcomes: Iterable[Copied]) -> Iterator[Copied]:
    """The outcomes, each said as it comes: who watches waits for no end."""
    for each in outcomes:
        if each.is_complete and each.outcome.is_written:
            notice(f"{each.outcome.value}: {each.name}")
        yield each


def _is_same(
    expected: SnapshotSource, there: SnapshotSource, hooks: Hooks, filter_text: str | None
) -> bool:
    """Say where the source and its copy differ."""
    from registry_core.moves import copying  # noqa: PLC0415 as above

    differences = chain(
        copying.compare(expected, there, filter_text=filter_text), hooks.differences()
    )
    return _compared(each for each in differences if not each.is_only_in_second)


def _copied(outcomes: Iterable[Copied], *, dry_run: bool) -> bool:
    counts: Counter[str] = Counter()
    versions, files, size, complete = 0, 0, 0, True
    started, shown = time.monotonic(), time.monotonic()
    for each in outcomes:
        counts[each.outcome.value] += 1
        versions += each.versions if each.outcome.is_written else 0
        files, size = files + each.brought, size + each.size
        complete &= each.is_complete
        if not each.outcome.is_complete:
            notice(f"{each.outcome.value}: {each.name}: {each.detail}")
        for problem in each.problems:
            notice(f"files not copied: {problem}")
        if sys.stderr.isatty() and time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            click.echo(f"\r{counts.total()} models, {versions} versions", nl=False, err=True)
    if sys.stderr.isatty():
        click.echo("\r", nl=False, err=True)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    said = f"{counts.total()} models ({said or 'none'}), {versions} versions"
    if files:
        said += f", the files of {files} versions" + ("" if dry_run else f" ({size} bytes)")
    would = "Would be: " if dry_run else ""
    notice(f"{would}{said} in {time.monotonic() - started:.1f} s")
    return complete


def _compared(differences: Iterable[Difference]) -> bool:
    count = 0
    for each in differences:
        count += 1
        notice(f"differs: {each.name}: {each.difference}")
    notice("Source and target are the same." if not count else f"{count} differences.")
    return not count


@click.command("diff", epilog=example("regctl diff http://mlflow:5000 sqlite:///registry.db"))
@click.argument("source_url", metavar="SRC")
@click.argument("target_url", metavar="DST")
@filter_option
@webhooks_option
@click.pass_context
def diff(
    ctx: click.Context,
    *,
    source_url: str,
    target_url: str,
    filter_text: str | None,
    with_webhooks: bool,
) -> None:
    """Show where two registries differ; exits with 1 if they do.

    SRC and DST are URLs as for `regctl copy`. Histories are compared where
    both sides keep one.
    """
    from registry_core.moves import copying  # noqa: PLC0415 not for every command

    differs = False
    with _source(source_url) as source, _source(target_url) as target:
        differences = copying.compare(source, target, filter_text=filter_text)
        if with_webhooks and not filter_text:
            differences = chain(differences, webhook_differences(source, target))
        for each in differences:
            differs = True
            click.echo(printable(f"{each.name}: {each.difference}"))
    if differs:
        ctx.exit(ExitCode.ERROR)


@click.command("export", epilog=example("regctl export backup.jsonl.gz"))
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@filter_option
@on_store
@pass_session
def export(session: Session, *, file: Path, filter_text: str | None) -> None:
    """Write all registered models and prompts into a file, history included.

    One line of JSON for each, in the order of their names; compressed if FILE
    ends in .gz. Equal registries are equal files.
    """
    from registry_core.moves import copying, sources  # noqa: PLC0415 not for every command

    with _source(session.store_url) as source:
        count = sources.write(file, copying.snapshots(source, filter_text))
    notice(f"Exported {count} models to {file}.")


@click.command(
    "import", epilog=example("regctl --store sqlite:///restored.db import backup.jsonl.gz")
)
@click.argument("file", metavar="FILE", type=click.Path(exists=True, path_type=Path))
@dry_option
@conflict_option
@on_store
@reason_option
@click.pass_context
@pass_session
@makes_registry
def import_(
    session: Session, ctx: click.Context, *, file: Path, dry_run: bool, on_conflict: OnConflict
) -> None:
    """Write the registered models of an exported file into the registry.

    What is there already is not written. Exits with 8 if a model was not.
    """
    from registry_core.moves import copying, sources  # noqa: PLC0415 not for every command

    outcomes = copying.copy(
        sources.FileSource(file), session.registry, on_conflict=on_conflict, dry_run=dry_run
    )
    if not _copied(outcomes, dry_run=dry_run):
        ctx.exit(ExitCode.INCOMPLETE)
