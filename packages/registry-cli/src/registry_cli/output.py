"""The only module that prints: results on stdout in the chosen format, all else on stderr.

Strategy: what is printed holds other people's texts. Tables, records, notices, questions, bars and
errors are for people and pass `printable`, wherever they go: what is in a file or a log is shown on
a terminal later. JSON escapes by itself. A name or URI alone on its line is for people on a
terminal, and for programs in a pipe, which get it byte for byte or not at all: with a line break in
it, one name would be read as two.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from registry_cli.tables import cut, display_width, printable, record_lines, table_lines

if TYPE_CHECKING:
    from registry_cli.views import View
    from registry_core import ModelVersion, RegisteredModel
    from registry_core.history import Event
    from registry_core.models import Webhook
    from registry_core.outbox import QueuedDelivery

T = TypeVar("T")

_BAR_STEPS = 1_000
"""How often a bar is drawn again until it is full."""

_BAR_MOST = 36
_BESIDE_BAR = len("  [") + len("]  100%")
_ETA = 2 * len("  00d 00:00:00")
"""Columns of what stands beside a bar, with room for the bar itself where there is a time."""
_BAR_LEAST = _BESIDE_BAR + 8
_LABEL_LEAST = 8

_KIBI = 1024


class Output(ABC):
    """Shows results in one format."""

    def model(self, model: RegisteredModel) -> None:
        """Show a registered model."""
        self._one(_views().MODEL, model)

    def models(self, models: Iterable[RegisteredModel]) -> None:
        """Show registered models, as they come."""
        self._many(_views().MODEL, models)

    def version(self, version: ModelVersion) -> None:
        """Show a model version."""
        self._one(_views().VERSION, version)

    def versions(self, versions: Iterable[ModelVersion]) -> None:
        """Show model versions, as they come."""
        self._many(_views().VERSION, versions)

    def events(self, events: Iterable[Event]) -> None:
        """Show events of a history, as they come."""
        from registry_cli.event_views import EVENT  # noqa: PLC0415 as above

        self._many(EVENT, events)

    def webhook(self, webhook: Webhook) -> None:
        """Show a webhook."""
        from registry_cli.webhook_views import WEBHOOK  # noqa: PLC0415 as above

        self._one(WEBHOOK, webhook)

    def webhooks(self, webhooks: Iterable[Webhook]) -> None:
        """Show webhooks, as they come."""
        from registry_cli.webhook_views import WEBHOOK  # noqa: PLC0415 as above

        self._many(WEBHOOK, webhooks)

    def deliveries(self, deliveries: Iterable[QueuedDelivery]) -> None:
        """Show deliveries to webhooks, as they come."""
        from registry_cli.webhook_views import DELIVERY  # noqa: PLC0415 as above

        self._many(DELIVERY, deliveries)

    @abstractmethod
    def fields(self, fields: Mapping[str, str | int | None]) -> None:
        """Show a few named texts, the most important first."""

    @abstractmethod
    def records(
        self,
        many: str,
        columns: Sequence[str],
        rows: Iterable[Mapping[str, Any]],
        *,
        summary: Mapping[str, Any],
    ) -> None:
        """Show rows with those columns, the most important first, and what they amount to.

        `many` is what the rows are called together.
        """

    @abstractmethod
    def _one(self, view: View[T], item: T) -> None: ...

    @abstractmethod
    def _many(self, view: View[T], items: Iterable[T]) -> None: ...


def _views() -> Any:
    # `regctl --help` shows no result, and need not pay for the table of fields.
    from registry_cli import views  # noqa: PLC0415 see above

    return views


class TableOutput(Output):
    """For people: a table of many results, a record of one."""

    def fields(self, fields: Mapping[str, str | int | None]) -> None:
        """See `Output`."""
        if len(fields) == 1:
            _line(_alone(_first(fields)))
        else:
            _lines(
                record_lines(
                    (key.replace("_", " "), str(value or "-")) for key, value in fields.items()
                )
            )

    def records(
        self,
        many: str,  # noqa: ARG002 people see what they are
        columns: Sequence[str],
        rows: Iterable[Mapping[str, Any]],
        *,
        summary: Mapping[str, Any],
    ) -> None:
        """See `Output`; what they amount to goes to stderr. Without rows there is no table."""
        header = [column.replace("_", " ").upper() for column in columns]
        cells = ([_cell(row[column]) for column in columns] for row in rows)
        if (first := next(cells, None)) is not None or not summary:
            _table(header, chain([] if first is None else [first], cells))
        if not summary:
            return
        short = [(key, value) for key, value in summary.items() if not isinstance(value, Mapping)]
        notice(", ".join(f"{key.replace('_', ' ')}: {_cell(value)}" for key, value in short))
        for key, value in summary.items():
            if isinstance(value, Mapping):
                notice(f"{key.replace('_', ' ')}: {_cell(value)}")

    def _one(self, view: View[T], item: T) -> None:
        _lines(record_lines(view.record(item)))

    def _many(self, view: View[T], items: Iterable[T]) -> None:
        _table(view.header, map(view.row, items))


class JsonOutput(Output):
    """For programs: one JSON document, of the shape that MLflow's REST API gives."""

    def fields(self, fields: Mapping[str, str | int | None]) -> None:
        """See `Output`."""
        _line(_json(dict(fields), indent=2))

    def records(
        self,
        many: str,
        columns: Sequence[str],  # noqa: ARG002 programs see all
        rows: Iterable[Mapping[str, Any]],
        *,
        summary: Mapping[str, Any],
    ) -> None:
        """See `Output`."""
        _line(_json({**summary, many: [dict(row) for row in rows]}, indent=2))

    def _one(self, view: View[T], item: T) -> None:
        _line(_json({view.one: view.wire(item)}, indent=2))

    def _many(self, view: View[T], items: Iterable[T]) -> None:
        # Written piece by piece: a million versions must not be held to print them. The first is
        # awaited before anything is printed, so that an error leaves stdout empty.
        separator = f'{{\n  "{view.many}": [\n'
        empty = True
        for item in items:
            _write(f"{separator}    {_json(view.wire(item))}")
            separator, empty = ",\n", False
        _line(f'{{"{view.many}": []}}' if empty else "\n  ]\n}")


class JsonLinesOutput(Output):
    """For pipes: one JSON object on each line."""

    def fields(self, fields: Mapping[str, str | int | None]) -> None:
        """See `Output`."""
        _line(_json(dict(fields)))

    def records(
        self,
        many: str,  # noqa: ARG002 each line is one of them
        columns: Sequence[str],  # noqa: ARG002 programs see all
        rows: Iterable[Mapping[str, Any]],
        *,
        summary: Mapping[str, Any],  # noqa: ARG002 as above
    ) -> None:
        """See `Output`."""
        _lines(_json(dict(row)) for row in rows)

    def _one(self, view: View[T], item: T) -> None:
        _line(_json(view.wire(item)))

    def _many(self, view: View[T], items: Iterable[T]) -> None:
        _lines(_json(view.wire(item)) for item in items)


class NameOutput(Output):
    """For shells: names of models, `models:/` URIs of versions, one on each line."""

    def fields(self, fields: Mapping[str, str | int | None]) -> None:
        """See `Output`."""
        _line(_alone(_first(fields)))

    def records(
        self,
        many: str,  # noqa: ARG002 each line is one of them
        columns: Sequence[str],
        rows: Iterable[Mapping[str, Any]],
        *,
        summary: Mapping[str, Any],  # noqa: ARG002 as above
    ) -> None:
        """See `Output`."""
        _lines(_alone(str(row[columns[0]])) for row in rows)

    def _one(self, view: View[T], item: T) -> None:
        _line(_alone(view.name(item)))

    def _many(self, view: View[T], items: Iterable[T]) -> None:
        _lines(_alone(view.name(item)) for item in items)


OUTPUTS: Mapping[str, type[Output]] = {
    "table": TableOutput,
    "json": JsonOutput,
    "jsonl": JsonLinesOutput,
    "name": NameOutput,
}
"""The classes behind `--output`."""


def _alone(text: str) -> str:
    """A text that is the whole of a line.

    Raises:
        click.ClickException: a program that reads the line would take it for two.
    """
    if sys.stdout.isatty():
        return printable(text)
    if "\n" in text or "\r" in text:
        raise click.ClickException(
            f"'{text}' holds a line break, and would be read as two lines: use -o json or -o jsonl."
        )
    return text


def _json(value: object, *, indent: int | None = None) -> str:
    """The JSON of a value, in ASCII without any control character but its own line breaks."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def _first(fields: Mapping[str, str | int | None]) -> str:
    return str(next(iter(fields.values())) or "")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        counts = [f"{count} {kind.replace('_', ' ')}" for kind, count in value.items()]
        return ", ".join(counts) or "nothing"
    return "" if value is None else str(value)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    missing: list[str] = []
    _lines(table_lines(header, rows, width=_table_width(), left_out=missing.extend))
    if missing:
        sys.stdout.flush()
        notice(f"Left out, for lack of width: {', '.join(missing)}. -o json has everything.")


def _table_width() -> int | None:
    """The columns that a table may take; None if the output is not a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


@contextmanager
def progress(label: str, done: str) -> Iterator[Callable[[int, int], None]]:
    """Show a `Progress` as a bar of one line; in a pipe there is one line at the end.

    `label` says what is being done; `done`, what it is called when it has been.
    """
    if not sys.stderr.isatty():
        seen = 0

        def count(_: int, total: int) -> None:
            nonlocal seen
            seen = total

        yield count
        notice(f"{done}: {_size(seen)}")
        return
    columns = shutil.get_terminal_size().columns - 1
    label = cut(printable(label), max(_LABEL_LEAST, columns - _BAR_LEAST))
    room = columns - display_width(label) - _BESIDE_BAR
    shown = 0
    with click.progressbar(
        length=0,
        label=label,
        file=sys.stderr,
        show_eta=room >= _ETA,
        width=max(1, min(_BAR_MOST, room - _ETA if room >= _ETA else room)),
    ) as bar:

        def show(reached: int, total: int) -> None:
            nonlocal shown
            bar.length = total
            bar.update_min_steps = max(1, total // _BAR_STEPS)
            bar.update(reached - shown)
            shown = reached

        yield show


def _size(count: int) -> str:
    """Bytes as people read them."""
    size = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < _KIBI:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= _KIBI
    return f"{size:.1f} TiB"


def notice(text: str) -> None:
    """Say something on stderr, in one line."""
    click.echo(printable(text), err=True)


def error(text: str) -> None:
    """Say on stderr what went wrong, as Click says what is wrong with arguments.

    The text may have several lines; see `registry_cli.errors.message` for whose they are.
    """
    block(f"Error: {text}")


def block(text: str) -> None:
    """Say several lines on stderr."""
    click.echo("\n".join(printable(line) for line in text.split("\n")), err=True)


class EscapedError(click.ClickException):
    """A complaint of Click's about arguments, which it repeats as they were given."""

    def __init__(self, error: click.ClickException) -> None:
        error.message = printable(error.message)  # type: ignore[misc]  # which it shows
        super().__init__(error.message)
        self.exit_code = error.exit_code  # type: ignore[misc]  # per class, it says; per error, it is
        self._error = error

    def show(self, file: IO[Any] | None = None) -> None:  # noqa: ARG002 always stderr
        """Say on stderr what Click would say, the fault first: it is what people look for."""
        ctx = getattr(self._error, "ctx", None)
        error(self._error.format_message())
        if ctx is not None:
            block(f"\n{ctx.get_usage()}\nTry '{ctx.command_path} --help' for help.")


def route_logs() -> None:
    """Have what libraries log said on stderr as notices are, instead of as it comes."""
    import logging  # noqa: PLC0415 --help must not pay for it

    class Notices(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            notice(f"{record.name}: {record.getMessage()}")

    if not logging.root.handlers:
        logging.root.addHandler(Notices(logging.WARNING))


def confirm(question: str, *, yes: bool) -> None:
    """Return if the user agrees, or has agreed with `--yes`.

    Raises:
        click.UsageError: there is no terminal to ask on.
        click.Abort: the user declined.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask on: pass --yes to go ahead.")
    click.confirm(printable(question), abort=True, err=True)


def flush_or_abandon() -> None:
    """Write out what stdout holds back; if its reader is gone, forget it without a word."""
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more at exit, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_lines(lines: Iterable[str]) -> None:
    """Print texts on stdout, one to a line: on a terminal escaped, in a pipe as they are."""
    is_terminal = sys.stdout.isatty()
    _lines(printable(line) if is_terminal else line for line in lines)


def _lines(lines: Iterable[str]) -> None:
    for line in lines:
        _line(line)


def _line(text: str) -> None:
    _write(text + "\n")


def _write(text: str) -> None:
    sys.stdout.write(text)
