"""Regctl as a process: terminals, pipes, signals, exit codes, and what a start costs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry_core import open_registry
from services import forking
from services.scripted_server import Response, ScriptedServer

HEAVY = ("sqlalchemy", "alembic", "psycopg", "boto3", "botocore", "litestar", "urllib3", "fsspec")
"""Modules that cost more to import than a help page may take to show."""

COMMAND = [sys.executable, "-m", "registry_cli"]


LONG = "x" * 99_000
"""A tag that makes a few models a listing far larger than a pipe's buffer."""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """The URL of a server that lists five models with long tags, whatever it is asked."""
    models = [
        {
            "name": f"m{number}",
            "creation_timestamp": 1,
            "last_updated_timestamp": 2,
            "tags": [{"key": "long", "value": LONG}],
        }
        for number in range(5)
    ]
    with ScriptedServer(Response(200, {"registered_models": models})) as server:
        yield server.url


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forking.run("registry_cli", *arguments)


@contextlib.contextmanager
def _terminal(*, columns: int = 80) -> Iterator[tuple[int, int]]:
    """The two ends of a terminal of that width: ours and the process's."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        for end in (ours, theirs):
            with contextlib.suppress(OSError):
                os.close(end)


def _all_of(terminal: int) -> str:
    """What a process wrote to its terminal before it closed it."""
    written = b""
    with contextlib.suppress(OSError):  # Linux: EIO once nobody has the other end
        while chunk := os.read(terminal, 65536):
            written += chunk
    return written.decode().replace("\r\n", "\n")


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["models", "--help"], ["models", "list", "--help"], ["db", "upgrade", "--help"]],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Help costs Python and Click: no module of the library is loaded, and no driver."""
    shown, modules = _modules_after(*arguments)
    assert shown.startswith("Usage: regctl")
    assert {name for name in modules if name.startswith("registry_core")} == {"registry_core"}
    assert not modules & {*HEAVY, "attrs", "cattrs"}


def _modules_after(*arguments: str) -> tuple[str, set[str]]:
    """What a command prints, and the modules that are loaded when it ends."""
    script = (
        "import sys\n"
        "from registry_cli.main import main\n"
        f"sys.argv = ['regctl', *{arguments!r}]\n"
        "try:\n    main()\n"
        "finally:\n    print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return result.stdout, set(result.stderr.split())


def test_reading_sqlite_imports_no_other_driver(tmp_path: Path) -> None:
    """A command pays for the store it uses, not for the others."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with open_registry(url) as registry:
        registry.create_registered_model("churn")
    shown, modules = _modules_after("--store", url, "-o", "name", "models", "list")
    assert shown == "churn\n"
    assert not modules & {"cattrs", "alembic", "psycopg", "boto3", "litestar", "urllib3", "fsspec"}


def test_the_console_script_is_installed() -> None:
    """`regctl` is the same program as `python -m registry_cli`."""
    script = Path(sys.executable).with_name("regctl")
    shown, same = (
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        for command in ([script], COMMAND)
    )
    assert shown.stdout == same.stdout
    assert shown.stdout.startswith("regctl, version ")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["models", "create", "m"], 0),
        (["models", "get", "none"], 3),
        (["models", "list", "--filter", "?"], 2),
    ],
)
def test_exit_codes_reach_the_shell(arguments: list[str], code: int) -> None:
    """The process ends with the code of the table."""
    assert _run("--store", "memory:", *arguments).returncode == code


def test_a_pipe_gets_every_character(store: str) -> None:
    """Nothing is shortened when no terminal limits the width, and nothing coloured."""
    result = _run("--store", store, "models", "list")
    assert result.stdout.count(LONG) == 5
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize(
    ("columns", "end", "said"),
    [
        (100, "…", ""),
        (60, "Z", "Left out, for lack of width: TAGS. -o json has everything.\n"),
    ],
)
def test_a_terminal_gets_lines_that_fit(store: str, columns: int, end: str, said: str) -> None:
    """On a terminal the widest column gives way, and is left out where too little of it fits."""
    with _terminal(columns=columns) as (ours, theirs):
        environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        with subprocess.Popen(
            [*COMMAND, "--store", store, "models", "list"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env=environment,
            text=True,
        ) as process:
            os.close(theirs)
            shown = _all_of(ours)
            assert process.stderr is not None
            assert process.stderr.read() == said
    lines = shown.splitlines()
    assert len(lines) == 6
    assert all(len(line) <= columns for line in lines)
    assert all(line.startswith(f"m{number}") for number, line in enumerate(lines[1:]))
    assert all(line.endswith(end) for line in lines[1:])


@pytest.mark.parametrize("format_name", ["table", "jsonl"])
def test_a_reader_that_goes_away_is_no_error(store: str, format_name: str) -> None:
    """`regctl models list | head -1` ends quietly."""
    with subprocess.Popen(
        [*COMMAND, "--store", store, "-o", format_name, "models", "list"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.read(1)
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_full_disk_is_one_line(store: str, size: str) -> None:
    """What could not be written is told, at the end too, without a traceback."""
    url = "memory:" if size == "small" else store
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [*COMMAND, "--store", url, "models", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )  # fmt: skip
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "No space left on device" in result.stderr


def test_ctrl_c_ends_quietly_with_130() -> None:
    """A command that waits for a server can be interrupted without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environment = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        with subprocess.Popen(
            [*COMMAND, "--store", url, "models", "list"], stderr=subprocess.PIPE, env=environment
        ) as process:
            connection, _ = silent.accept()
            with connection:
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 130
                assert process.stderr.read().strip() == b""


@pytest.mark.parametrize(("answer", "code"), [("y", 3), ("n", 1), ("", 130)])
def test_delete_asks_on_a_terminal(answer: str, code: int) -> None:
    """Yes goes on, here to a model that is not there; no, and Ctrl-C at the question, do not."""
    command = [*COMMAND, "--store", "memory:", "models", "delete", "churn"]
    with (
        _terminal() as (ours, theirs),
        subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process,
    ):
        os.close(theirs)
        asked = b""
        while b"[y/N]" not in asked:
            asked += os.read(ours, 1024)
        assert b"Delete registered model 'churn' with all its versions?" in asked
        if answer:
            os.write(ours, f"{answer}\n".encode())
        else:
            _interrupt(process)
        shown = _all_of(ours)
        assert process.wait(60) == code
    assert "Traceback" not in shown
    assert ("not found" in shown) == (code == 3)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C, as often as it takes: Python may miss one just before it waits for a line."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            return


def test_a_name_outside_the_terminals_encoding_is_no_error() -> None:
    """In a Latin-1 locale a Chinese name is shown escaped instead of failing."""
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    result = subprocess.run(
        [*COMMAND, "--store", "memory:", "-o", "name", "models", "create", "模型"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "\\u6a21\\u578b\n")
