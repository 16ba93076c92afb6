"""`registry-server hash`: lines for an access file, of a new token or of a password."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from registry_server.process.arguments import PROGRAM, given

if TYPE_CHECKING:
    import click

COMMAND = "hash"
"""The first argument that asks for it, in place of options of the server."""


def command() -> click.Command:
    """Return what the command takes."""
    import click  # noqa: PLC0415 workers have no command line

    return click.Command(
        COMMAND,
        params=[click.Option(["--password"], is_flag=True, help="Hash a password.")],
        help=(
            "Make a token, and print how the access file has it.\n\n"
            "With --password, ask for a password that somebody has chosen, or read it from stdin, "
            "and hash that."
        ),
        epilog=f"Example: {PROGRAM} {COMMAND} --password",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def run(arguments: Sequence[str]) -> int:
    """Print the secret's line; the secret itself, if it is new, goes to stderr. The exit code."""
    if not given(command(), f"{PROGRAM} {COMMAND}", arguments)["password"]:
        from registry_server.access.credentials import hashed_token  # noqa: PLC0415 not for the server

        token, line = hashed_token()
        _say(f"The token, which is shown only now: {token}")
    else:
        from registry_server.access.passwords import scrypted  # noqa: PLC0415 as above

        secret = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
        if not secret:
            _say("There is no password.")
            return 1
        line = scrypted(secret)
    print(line)  # noqa: T201 a command's result
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201 beside the result
