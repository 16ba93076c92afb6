"""How regctl fails: one exit code per kind of failure, one message, no traceback."""

from __future__ import annotations

from typing import Any

import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode, exit_code, exit_codes, message
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    BackendNotInstalledError,
    ConflictError,
    ContentionError,
    FilterSyntaxError,
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NoModelVersionsError,
    NotPermittedError,
    NoVersionInStageError,
    RegisteredModelNotFoundError,
    RegistryError,
    SchemaOutOfDateError,
    StoreBusyError,
    StoreCorruptedError,
    StoreUnavailableError,
    UnexpectedAnswerError,
    UnknownBackendError,
    UnsupportedBackendError,
)

CODES = [
    (InvalidArgumentError("bad"), 2),
    (FilterSyntaxError("bad", source="x", span=(0, 1)), 2),
    (UnknownBackendError("what?"), 2),
    (RegisteredModelNotFoundError("m"), 3),
    (ModelVersionNotFoundError("m", 1), 3),
    (AliasNotFoundError("m", "a"), 3),
    (NoModelVersionsError("m"), 3),
    (NoVersionInStageError("m", "Staging"), 3),
    (NotPermittedError("no"), 4),
    (AlreadyExistsError("m"), 5),
    (ConflictError("lost"), 5),
    (ContentionError("lost again"), 5),
    (StoreUnavailableError("down"), 9),
    (UnexpectedAnswerError("a login page"), 1),
    (StoreBusyError("full"), 9),
    (SchemaOutOfDateError("old"), 1),
    (BackendNotInstalledError("missing"), 1),
    (UnsupportedBackendError("cannot"), 1),
    (StoreCorruptedError("damaged"), 1),
    (RegistryError("else"), 1),
]


class _Fails:
    """A registry that answers everything with one error."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            return lambda: None
        raise self._error


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Regctl:
    """The command on a registry that always fails with the parameter."""
    monkeypatch.setattr("registry_core.open_registry", lambda _, **__: _Fails(request.param))
    return Regctl("memory:")


@pytest.mark.parametrize(
    ("failing", "code"),
    CODES,
    indirect=["failing"],
    ids=[type(error).__name__ for error, _ in CODES],
)
def test_each_error_has_its_exit_code(failing: Regctl, code: int) -> None:
    """Scripts tell failures apart by number; stdout stays empty."""
    result = failing.run("models", "get", "m")
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_the_table_is_of_errors_of_the_library() -> None:
    """And has a code for each: the last is for all that have none of their own."""
    assert all(issubclass(cls, RegistryError) for cls in exit_codes())
    assert RegistryError in exit_codes()


@pytest.mark.parametrize(
    "failing", [ZeroDivisionError("oops"), OSError(28, "No space left on device")], indirect=True
)
def test_an_unexpected_error_is_one_line(failing: Regctl) -> None:
    """Even a bug in regctl answers with a line, and says how to see more."""
    result = failing.run("models", "list")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "--traceback" in result.stderr


@pytest.mark.parametrize("failing", [ZeroDivisionError("oops")], indirect=True)
def test_traceback_shows_where(failing: Regctl) -> None:
    """The flag adds the traceback and changes nothing else."""
    result = failing.run("--traceback", "models", "list")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ZeroDivisionError: oops")


def test_an_error_of_no_registry_is_code_1() -> None:
    """Whatever a library may raise has an exit code."""
    assert exit_code(LookupError("x")) is ExitCode.ERROR


@pytest.mark.parametrize(
    ("option", "text", "expected"),
    [
        (
            "--filter",
            "name = 'a' AND name == 'b'",
            "  name = 'a' AND name == 'b'\n                      ^",
        ),
        ("--filter", "nome = 'x'", "  nome = 'x'\n  ^^^^"),
        ("--order-by", "nome DESC", "nome"),
    ],
)
def test_a_bad_filter_is_shown_with_a_caret(
    cli: Regctl, option: str, text: str, expected: str
) -> None:
    """The fault is pointed at, on stderr."""
    result = cli.run("models", "list", option, text)
    assert (result.exit_code, result.stdout) == (2, "")
    assert expected in result.stderr


def test_unknown_commands_and_options_are_usage_errors(cli: Regctl) -> None:
    """Click's own code for these is ours for every mistake in usage."""
    assert cli.run("models", "destroy").exit_code == ExitCode.USAGE
    assert cli.run("models", "list", "--colour").exit_code == ExitCode.USAGE
    assert cli.run("models", "list", "--limit", "0").exit_code == ExitCode.USAGE
    assert cli.run("-o", "yaml", "models", "list").exit_code == ExitCode.USAGE


@pytest.mark.parametrize(("typed", "meant"), [("mdels list", "models"), ("models lsit", "list")])
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(
    cli: Regctl, typed: str, meant: str
) -> None:
    """Also one that is only loaded when it is used."""
    done = cli.run(*typed.split())
    assert done.exit_code == ExitCode.USAGE
    assert f"Did you mean '{meant}'?" in done.stderr


def test_secrets_in_a_store_url_are_not_shown() -> None:
    """A typing mistake in a URL does not print the password in it."""
    result = Regctl("postgrseql://user:hunter2@host/db").run("models", "list")
    assert result.exit_code == 2
    assert "hunter2" not in result.stderr


def test_the_lines_of_a_driver_are_indented_alike() -> None:
    """No tab of theirs is shown escaped."""
    assert message(StoreUnavailableError("down: refused\n\tIs it running?")) == (
        "down: refused\n  Is it running?"
    )


def test_a_check_of_a_server_is_refused() -> None:
    """It would look at nothing, and call that clean."""
    result = Regctl("http://127.0.0.1:1").run("store", "fsck")
    assert result.exit_code == ExitCode.USAGE
    assert "where it is kept" in result.stderr
