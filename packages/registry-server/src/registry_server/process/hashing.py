"""`registry-server hash`: lines for an access file, of a new token or of a password."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Sequence

COMMAND = "hash"
"""The first argument that asks for it, in place of options of the server."""

_HELP = """\
Makes a token, and says how the access file has it. With --password, asks for a
password that somebody has chosen, or reads it from stdin, and hashes that.
"""


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    options = argparse.ArgumentParser(prog=f"registry-server {COMMAND}", description=_HELP)
    options.add_argument("--password", action="store_true", help="hash a password")
    return options


def run(arguments: Sequence[str]) -> int:
    """Print the secret's line; the secret itself, if it is new, goes to stderr. The exit code."""
    if not parser().parse_args(arguments).password:
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
