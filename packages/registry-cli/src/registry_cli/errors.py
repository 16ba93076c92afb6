"""What each failure means to a script that runs regctl: one table of exit codes."""

from __future__ import annotations

import enum
from collections.abc import Mapping

import registry_core


class ExitCode(enum.IntEnum):
    """The exit codes of regctl; `docs/reference/regctl.md` lists them for users."""

    OK = 0
    ERROR = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_PERMITTED = 4
    CONFLICT = 5
    DAMAGED = 6
    REFUSED = 7
    INCOMPLETE = 8
    UNAVAILABLE = 9
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def exit_codes() -> Mapping[type[BaseException], ExitCode]:
    """Exit codes by class of error; the most specific class of an error wins."""
    return {
        registry_core.InvalidArgumentError: ExitCode.USAGE,
        registry_core.UnknownBackendError: ExitCode.USAGE,
        registry_core.NotFoundError: ExitCode.NOT_FOUND,
        registry_core.NotPermittedError: ExitCode.NOT_PERMITTED,
        registry_core.AlreadyExistsError: ExitCode.CONFLICT,
        registry_core.ConflictError: ExitCode.CONFLICT,
        registry_core.ArtifactExistsError: ExitCode.CONFLICT,
        registry_core.ArtifactImmutableError: ExitCode.CONFLICT,
        registry_core.ArtifactMismatchError: ExitCode.DAMAGED,
        registry_core.GateRefusedError: ExitCode.REFUSED,
        registry_core.StoreUnavailableError: ExitCode.UNAVAILABLE,
        # Somebody else answers, most likely: a script that tries again would do so forever.
        registry_core.UnexpectedAnswerError: ExitCode.ERROR,
        registry_core.RegistryError: ExitCode.ERROR,
    }


def exit_code(error: BaseException) -> ExitCode:
    """Return the exit code for an error; `ERROR` for what no registry raises."""
    codes = exit_codes()
    return next((codes[cls] for cls in type(error).__mro__ if cls in codes), ExitCode.ERROR)


def message(error: BaseException) -> str:
    """Return what users read: the sentence of a registry's error, and below it what it points at.

    Further lines are indented, so that no text in an error can begin a line of its own.
    """
    if not isinstance(error, registry_core.RegistryError):
        return _indented(f"{type(error).__name__}: {error} (--traceback shows where)")
    if isinstance(error, registry_core.ArtifactMismatchError):
        lines = [f"{error.subject} is not what was registered:", *error.problems]
        return _indented("\n".join(lines))
    if not isinstance(error, registry_core.FilterSyntaxError):
        return _indented(str(error))
    caret = (f"  {line}" for line in error.caret().splitlines())
    return "\n".join([_indented(str(error)), *caret])


def _indented(text: str) -> str:
    # Drivers speak in several lines, some of them indented.
    return "\n  ".join(line.strip() for line in text.splitlines())
