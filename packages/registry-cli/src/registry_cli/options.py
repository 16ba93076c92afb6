"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

import registry_core
from registry_cli.completion import (
    GIVEN_STORE,
    complete_model,
    complete_version,
    complete_version_and_stage,
)
from registry_cli.session import Session

if TYPE_CHECKING:
    from registry_core import Registry

FORMATS = ("table", "json", "jsonl", "name")
"""What `--output` accepts."""

_URI_SCHEME = "models:/"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


class Moment(click.ParamType[datetime]):
    """A moment: an age such as `2h` or `7d`, or a date and time in ISO 8601."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment, with a time zone; one without is in that of this machine."""
        if isinstance(value, datetime):
            return value
        if match := re.fullmatch(r"(\d{1,6})([smhdw])", value):
            age = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
            return datetime.now(UTC) - age
        try:
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo is not None else moment.astimezone()
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is not a date or an age: write an age such as 30m, 2h or 7d, or a date "
                "and time such as 2026-01-31T12:00",
                param,
                ctx,
            )


def _store(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    session = ctx.find_object(Session)
    if value and session:
        session.store = value
    elif value:
        ctx.meta[GIVEN_STORE] = value  # while completing, there is no session
    return value


def _artifacts(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    session = ctx.find_object(Session)
    if value and session:
        session.artifacts = value
    return value


def _output(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    session = ctx.find_object(Session)
    if value and session:
        session.output_format = value
    return value


def _reason(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    session = ctx.find_object(Session)
    if value and session:
        session.reason = value
    return value


def _store_option(*, expose: bool) -> Callable[[CommandT], CommandT]:
    return click.option(
        "--store",
        metavar="URL",
        expose_value=expose,
        callback=_store,
        help=_STORE_HELP if expose else "Where the registry is kept; see regctl --help.",
    )


def _artifacts_option(*, expose: bool) -> Callable[[CommandT], CommandT]:
    return click.option(
        "--artifacts",
        metavar="URL",
        expose_value=expose,
        callback=_artifacts,
        help=_ARTIFACTS_HELP if expose else "Where artifacts are kept; see regctl --help.",
    )


def _output_option(*, expose: bool) -> Callable[[CommandT], CommandT]:
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        expose_value=expose,
        callback=_output,
        help="How to print results.  [default: table]",
    )


_STORE_HELP = (
    "Where the registry is kept: sqlite:///FILE, postgresql://..., s3://BUCKET/PREFIX or "
    "http(s)://HOST.  [default: $REGISTRY_STORE, else $DATABASE_URL, else sqlite:///registry.db]"
)

_ARTIFACTS_HELP = (
    "Where the files of model versions are kept: s3://BUCKET/PREFIX, file:///DIRECTORY or none.  "
    "[default: $REGISTRY_ARTIFACTS, else beside a SQLite file or in the bucket]"
)

store_option = _store_option(expose=True)
"""`--store` of `regctl` itself, passed to its function."""

artifacts_option = _artifacts_option(expose=True)
"""`--artifacts` of `regctl` itself, passed to its function."""

gates_option = click.option(
    "--gates",
    metavar="FILE",
    help="An access file whose gates hold for what this command does to a store of its own. A "
    "server has gates itself.  [default: $REGISTRY_ACCESS_FILE, else none]",
)
"""`--gates` of `regctl` itself, passed to its function."""

output_option = _output_option(expose=True)
"""`--output` of `regctl` itself, passed to its function."""

on_store = _store_option(expose=False)
"""`--store` after a command's name, which wins over the one before it."""


def shows_results(command: CommandT) -> CommandT:
    """Let `--store` and `--output` also be written after the command's name."""
    return on_store(_output_option(expose=False)(command))


def on_artifacts(command: CommandT) -> CommandT:
    """Let `--artifacts` also be written after the command's name."""
    return _artifacts_option(expose=False)(command)


def name_argument(command: CommandT) -> CommandT:
    """Return the argument NAME: a registered model's."""
    return click.argument("name", metavar="NAME", shell_complete=complete_model)(command)


def list_options(command: CommandT) -> CommandT:
    """Return the options of every `list`: --filter, --order-by and --limit."""
    options = (
        click.option("--filter", "filter_text", metavar="TEXT", help=_FILTER_HELP),
        click.option(
            "--order-by",
            metavar="FIELD [ASC|DESC]",
            multiple=True,
            help="Sort by this; give it again to break ties.",
        ),
        click.option(
            "--limit", type=click.IntRange(min=1), metavar="N", help="Stop after N of them."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


_FILTER_HELP = (
    "Only those that match, in MLflow's filter language: \"name LIKE 'fraud%' AND tags.team = "
    "'risk'\"."
)

description_option = click.option(
    "--description", metavar="TEXT", required=True, help="The new text; '' erases it."
)

reason_option = click.option(
    "--reason",
    metavar="TEXT",
    expose_value=False,
    callback=_reason,
    help="Why you make this change.",
)
"""`--reason` of every command that changes the registry."""

idempotency_option = click.option(
    "--idempotency-key",
    metavar="KEY",
    help="Create it once under this key, however often the same command is run within a day.",
)
"""`--idempotency-key` of every command that creates a model or a version."""

yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def tag_pair(text: str) -> tuple[str, str]:
    """Return the key and value of a tag written `KEY=VALUE`.

    The value may be empty and contain `=`.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"'{text}' is not KEY=VALUE.")
    return key, value


tag_option = click.option(
    "--tag",
    "tags",
    type=tag_pair,
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a tag; may be given again.",
)


class Seconds(click.ParamType[float]):
    """A duration: seconds, or a number with `s`, `m`, `h`, `d` or `w` behind it."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds."""
        if isinstance(value, float | int):
            return float(value)
        match = _DURATION.match(value)
        if match is None:
            self.fail(f"'{value}' is not a duration such as 90, 30m, 24h or 7d.", param, ctx)
        return float(match["number"]) * _UNITS[match["unit"] or "s"]


_DURATION = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,3})?)(?P<unit>[smhdw]?)\Z", re.ASCII)


class VersionRef:
    """A model version as a user writes it: `NAME VERSION`, or a URI with or without `models:/`."""

    def __init__(self, *, name: str = "", version: str = "", uri: str | None = None) -> None:
        self.name = name
        self.version = version
        self.uri = uri

    def key(self, registry: Registry) -> tuple[str, int | str]:
        """Return name and number, looked up when the URI says `latest`, an alias or a stage."""
        if self.uri is None:
            return self.name, self.version
        parsed = registry_core.parse_model_uri(self.uri)
        if parsed.version is not None:
            return parsed.name, parsed.version
        resolved = registry.resolve(self.uri)
        return resolved.name, resolved.version


Target: TypeAlias = tuple[VersionRef, tuple[str, ...]]
"""What a command that takes a version receives: the version, and the words after it."""


def split_version(words: Sequence[str]) -> Target:
    """Return the version that an argument list starts with, and the words after it."""
    if words[0].startswith(_URI_SCHEME):
        return VersionRef(uri=words[0]), tuple(words[1:])
    # A name may hold "@" but no "/"; what follows an "@" is its version only if it is a number.
    numbered = len(words) > 1 and words[1].isdecimal()
    if "/" in words[0] or ("@" in words[0] and not numbered):
        return VersionRef(uri=_URI_SCHEME + words[0]), tuple(words[1:])
    if len(words) == 1:
        raise click.UsageError(f"Which version of '{words[0]}'? Write NAME VERSION or models:/...")
    return VersionRef(name=words[0], version=words[1]), tuple(words[2:])


def same_model(name: str, version: str, registry: Registry) -> int | str:
    """Return the number of a version of that model: itself, or a URI with or without a scheme."""
    if not version.startswith(_URI_SCHEME) and not {"@", "/"} & {*version}:
        return version
    uri = version if version.startswith(_URI_SCHEME) else _URI_SCHEME + version
    named, number = VersionRef(uri=uri).key(registry)
    if named != name:
        raise click.UsageError(f"'{version}' is not a version of '{name}'.")
    return number


def of_model(name: str | None, filter_text: str | None) -> str | None:
    """Return a filter for the versions of one model that also match the given filter, if any."""
    if name is None:
        return filter_text
    # A list is read with escapes, a plain value is not: only there may a name hold any quotes.
    clause = f"name IN ({name!r})" if "'" in name else f"name = '{name}'"
    # First, so that what is wrong with the user's own text is not blamed on it.
    return f"{clause} AND {filter_text}" if filter_text else clause


tracking_option = click.option(
    "--tracking-uri",
    metavar="URL",
    help="The MLflow server that resolves mlflow-artifacts:, runs: and models:/m-...  "
    "[default: MLFLOW_TRACKING_URI, or the store if it is a server]",
)


def version_argument(*rest: str) -> Callable[[CommandT], CommandT]:
    """Return a model version, then one word for each of `rest`; a last `X...` takes one or more.

    Click's arguments are of a fixed number of words, and a version is one or two: so this is one
    argument, split here. The command receives `target`, what `split_version` returns.
    """

    def split(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> Target:
        if ctx.resilient_parsing:  # for completion, which may see half a command
            return VersionRef(), words
        if ctx.params.get("filter_text"):
            return VersionRef(), words
        ref, others = split_version(words)
        many = bool(rest) and rest[-1].endswith("...")
        if len(others) < len(rest):
            raise click.UsageError(f"Missing argument '{rest[len(others)]}'.", ctx)
        if len(others) > len(rest) and not many:
            raise click.UsageError(f"Got an unexpected argument '{others[len(rest)]}'.", ctx)
        return ref, others

    return click.argument(
        "target",
        nargs=-1,
        required=True,
        metavar=" ".join(["{NAME VERSION | URI}", *rest]),
        callback=split,
        shell_complete=complete_version_and_stage if rest[:1] == ("STAGE",) else complete_version,
    )
