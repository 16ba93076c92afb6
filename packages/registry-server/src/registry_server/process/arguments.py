"""The command line of a server, and the settings that it and the environment give together."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import attrs

from registry_core.redaction import redacted
from registry_server.process.setting_values import flag, url
from registry_server.process.settings import OPTIONS, Option, Settings, SettingsError

if TYPE_CHECKING:
    import click

PROGRAM = "registry-server"

DEFAULT = "default"
"""The origin of a value that neither a flag nor a variable has set."""


class FlagError(SettingsError):
    """A flag has a value that cannot be used."""


@attrs.frozen
class ParsedSettings:
    """Settings, and where each one's value comes from: a flag, a variable, or `DEFAULT`."""

    settings: Settings
    origins: Mapping[str, str]


def from_arguments(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """Return the settings that flags and environment give together.

    Raises:
        SettingsError: a flag or variable has a value that cannot be used.
    """
    return parse(arguments, environ).settings


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> ParsedSettings:
    """As `from_arguments`, with the origin of each value."""
    parsed = given(command(), PROGRAM, arguments)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        said = parsed[option.field]
        text = ("true" if said else None) if option.parse is flag else said
        origin = option.flag
        for variable in option.variables:
            if text is None and environ.get(variable):
                text, origin = environ[variable], variable
        origins[option.field] = DEFAULT if text is None else origin
        if text is not None:
            try:
                values[option.field] = option.parse(text)
            except ValueError as error:
                shown = redacted(text) if option.parse is url else text
                kind = FlagError if origin == option.flag else SettingsError
                raise kind(f"{origin} {error}, not '{shown}'") from None
    return ParsedSettings(Settings(**values), origins)


def command() -> click.Command:
    """Return the command line: an option for each setting."""
    import click  # noqa: PLC0415 workers have no command line

    defaults = attrs.fields_dict(Settings)
    options: list[click.Parameter] = [
        click.Option(
            [option.flag],
            metavar=None if option.parse is flag else _metavar(option),
            is_flag=option.parse is flag,
            hidden=option.hidden,
            help=_help(option, defaults[option.field].default),
        )
        for option in OPTIONS
    ]
    return click.version_option(package_name="registry-server", prog_name=PROGRAM)(
        click.Command(
            PROGRAM,
            params=options,
            help=(
                "Serve a model registry over MLflow's REST API, with pages for browsers.\n\n"
                "Every option can be given by the environment instead; the option wins. "
                "With `config show` before them nothing is served: it shows every setting, and "
                "where it is from. `hash` hashes a secret."
            ),
            epilog="Example: registry-server --store postgresql://registry@db/registry --workers 4",
            context_settings={"help_option_names": ["-h", "--help"]},
        )
    )


def given(of: click.Command, program: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Return the options of a command.

    It ends the process after help, and with 2 after a mistake.
    """
    import click  # noqa: PLC0415 as above

    try:
        return of.make_context(program, list(arguments)).params
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.UsageError as error:
        usage = "" if error.ctx is None else error.ctx.get_usage()
        _exit_with(error.format_message(), usage, program)


def exit_with_usage(fault: str) -> NoReturn:
    """Say what is wrong with the server's command line, and how one is written; end with 2."""
    import click  # noqa: PLC0415 as above

    _exit_with(fault, click.Context(command(), info_name=PROGRAM).get_usage(), PROGRAM)


def _exit_with(fault: str, usage: str, program: str) -> NoReturn:
    import click  # noqa: PLC0415 as above

    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in fault)
    # The fault first: it is what people look for.
    click.echo(f"Error: {shown}\n\n{usage}\nTry '{program} --help' for help.", err=True)
    sys.exit(click.UsageError.exit_code)


_METAVARS = {
    "store": "URL",
    "artifacts": "URL",
    "host": "ADDRESS",
    "port": "PORT",
    "log_level": "LEVEL",
    "log_format": "FORMAT",
    "tls_cert": "FILE",
    "tls_key": "FILE",
    "metrics_address": "ADDRESS",
    "direct_transfers": "MODE",
}


def _metavar(option: Option) -> str:
    """What stands for the value in the help: what it is by its unit, kind or type."""
    ends = {"file": "FILE", "root": "DIRECTORY", "url": "URL", "seconds": "SECONDS"}
    default = attrs.fields_dict(Settings)[option.field].default
    last = option.field.rpartition("_")[2]
    if option.field in _METAVARS or last in ends:
        return _METAVARS.get(option.field) or ends[last]
    if "bytes" in option.field:
        return "BYTES"
    return "LIST" if isinstance(default, tuple) else "N" if isinstance(default, int) else "VALUE"


def _help(option: Option, default: object) -> str:
    notes = [f"env: {', '.join(option.variables)}"]
    if isinstance(default, str | int) and default:
        notes.append(f"default: {default}")
    # The table has what follows "is"; people read a sentence.
    return f"{option.help[0].upper()}{option.help[1:]}.  [{'; '.join(notes)}]"
