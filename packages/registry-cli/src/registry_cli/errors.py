"""What each failure means to a script that runs regctl: one table of exit codes."""

from __future__ import annotations

import enum
from collections.abc import Mapping


class ExitCode(enum.IntEnum):
    """The exit codes of regctl; `docs/regctl.md` lists them for users."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_PERMITTED = 4
    CONFLICT = 5
    DAMAGED = 6
    UNAVAILABLE = 9
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES: Mapping[str, ExitCode] = {
    "InvalidArgumentError": ExitCode.USAGE,
    "UnknownBackendError": ExitCode.USAGE,
    "NotFoundError": ExitCode.NOT_FOUND,
    "NotPermittedError": ExitCode.NOT_PERMITTED,
    "AlreadyExistsError": ExitCode.CONFLICT,
    "ConflictError": ExitCode.CONFLICT,
    "ArtifactExistsError": ExitCode.CONFLICT,
    "ArtifactImmutableError": ExitCode.CONFLICT,
    "ArtifactMismatchError": ExitCode.DAMAGED,
    "StoreUnavailableError": ExitCode.UNAVAILABLE,
    # Somebody else answers, most likely: a script that tries again would do so for ever.
    "UnexpectedAnswerError": ExitCode.ERROR,
    "RegistryError": ExitCode.ERROR,
}
"""Exit codes by the name of an error class of `registry_core`; the most specific class wins.

By name, so that `regctl --help` need not import the library: that would double its time.
"""


def exit_code(error: BaseException) -> ExitCode:
    """The exit code for an error; `ERROR` for what no registry raises."""
    return next((EXIT_CODES[name] for name in _names(error) if name in EXIT_CODES), ExitCode.ERROR)


def message(error: BaseException) -> str:
    """What to tell the user: the sentence of a registry's error, and what it points at below it.

    Further lines are indented, so that no text in an error can begin a line of its own.
    """
    if "RegistryError" not in _names(error):
        return _indented(f"{type(error).__name__}: {error} (--traceback shows where)")
    if "ArtifactMismatchError" in _names(error):
        problems: tuple[str, ...] = getattr(error, "problems", ())
        lines = [f"{getattr(error, 'subject', '')} is not what was registered:", *problems]
        return _indented("\n".join(lines))
    caret = getattr(error, "caret", None)
    if caret is None:
        return _indented(str(error))
    return "\n".join([_indented(str(error)), *(f"  {line}" for line in caret().splitlines())])


def _indented(text: str) -> str:
    # Drivers speak in several lines, some of them indented.
    return "\n  ".join(line.strip() for line in text.splitlines())


def _names(error: BaseException) -> list[str]:
    return [cls.__name__ for cls in type(error).__mro__]
