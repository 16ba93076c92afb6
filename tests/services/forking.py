"""Processes of our commands that need not load them: they are forked from one that has.

`start` is as `subprocess.Popen` of `python -m MODULE`, for a hundredth of the processor's time: a
server loads for a second, and the tests start hundreds. PYTHONPATH and a `sitecustomize` on it work
as in a new interpreter, though what is loaded already is not loaded again. What a command does as it is
loaded, in what environment and how it ends then is for tests that start a real one.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import attrs

PRELOADED = (
    "anyio._backends._asyncio",
    "encodings.idna",
    "anyio.streams.stapled",
    "anyio.streams.tls",
    "litestar._kwargs",
    "litestar.exceptions.responses",
    "litestar.middleware._internal.exceptions",
    "litestar.middleware.allowed_hosts",
    "litestar.middleware.csrf",
    "litestar.middleware.response_cache",
    "registry_cli.applying",
    "registry_cli.approvals",
    "registry_cli.artifacts",
    "registry_cli.db",
    "registry_cli.events",
    "registry_cli.main",
    "registry_cli.models",
    "registry_cli.moves",
    "registry_cli.store",
    "registry_cli.event_views",
    "registry_cli.versions",
    "registry_cli.views",
    "registry_cli.webhook_views",
    "registry_cli.webhooks",
    "registry_core.artifacts.backends.local",
    "registry_core.stores.memory",
    "registry_core.stores.rest",
    "registry_core.stores.s3",
    "registry_core.stores.sql",
    "registry_server.artifacts",
    "registry_server.http.app",
    "registry_server.process.command",
    "registry_server.process.listener",
    "registry_server.process.prefork",
    "registry_server.process.protocol",
    "boto3",
    "psycopg",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvloop",
)
"""What servers and commands load, sooner or later."""

MESSAGE_BYTES = 1 << 20
"""The most that a request takes, its environment included."""

CODE = "-c"
"""In place of a module: the first argument is the code to run."""

POLL_SECONDS = 0.01

RUN_SECONDS = 60.0
"""Seconds for a command that ends by itself; it usually takes a tenth of one."""

STANDARD_STREAMS = (0, 1, 2)


class Forked:
    """A process as `subprocess.Popen` gives one, as far as tests need it."""

    def __init__(self, pid: int, server: ForkServer) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._server = server

    def poll(self) -> int | None:
        """The exit code, or minus the signal that ended it; None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ask({"ended": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once there is one.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            time.sleep(POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Signals the process, unless it has ended."""
        # Its number is not given to another process before it has been asked for its end.
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it at once."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """The tests' end of the process that forks."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        atexit.register(self._ours.close)
        with theirs:
            command = [sys.executable, "-c", "from services import forking; forking.serve()"]
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # an interrupt of the tests is not one of the processes
            )

    def ask(self, request: Mapping[str, Any], files: Sequence[int] = ()) -> Any:
        """The answer to one request."""
        with self._lock:
            socket.send_fds(self._ours, [json.dumps(request).encode()], [*files])
            answer = self._ours.recv(MESSAGE_BYTES)
        assert answer, "the process that forks has ended"
        return json.loads(answer)


@functools.cache
def _server() -> ForkServer:
    return ForkServer()


def start(
    module: str,
    arguments: Sequence[str],
    *,
    streams: tuple[int, int, int],
    environment: Mapping[str, str],
    directory: Path = Path(),
) -> Forked:
    """A process in a session of its own that runs a module with these standard streams."""
    request = {
        "module": module,
        "arguments": [*arguments],
        "environment": dict(environment),
        "directory": os.fspath(directory),
    }
    server = _server()
    return Forked(server.ask(request, streams), server)


@attrs.frozen
class Talking:
    """A process, and what it is told and tells, line by line."""

    process: Forked
    stdin: TextIO
    stdout: TextIO


@contextlib.contextmanager
def talking(module: str, *arguments: str) -> Iterator[Talking]:
    """A process that is spoken with; it has ended when the context is left, and nobody says more."""
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    with os.fdopen(ours_in, "w", 1) as stdin, os.fdopen(ours_out) as stdout:
        try:
            streams = (theirs_in, theirs_out, sys.__stderr__.fileno())
            process = start(module, arguments, streams=streams, environment=os.environ)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        try:
            yield Talking(process, stdin, stdout)
            stdin.close()
            process.wait(RUN_SECONDS)
        finally:
            process.kill()
            process.wait()


def run(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    directory: Path = Path(),
    seconds: float = RUN_SECONDS,
) -> subprocess.CompletedProcess[str]:
    """What a process that is given no input writes, and its exit code, once it has ended.

    With `CODE` for the module, the first argument is what `python -c` would be given.

    Its environment is that of the tests, with what `environment` adds.
    """
    with (
        Path(os.devnull).open("rb") as nothing,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        process = start(
            module,
            arguments,
            streams=(nothing.fileno(), out.fileno(), err.fileno()),
            environment={**os.environ, **(environment or {})},
            directory=directory,
        )
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess([module, *arguments], code, _text(out), _text(err))


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode()


# In the process that forks


def serve() -> None:
    """Forks until the tests have ended."""
    for module in PRELOADED:
        importlib.import_module(module)
    _do_once_what_each_would_do()
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as control:
        while True:
            message, files, _, _ = socket.recv_fds(control, MESSAGE_BYTES, len(STANDARD_STREAMS))
            if not message:
                return
            request = json.loads(message)
            if "ended" in request:
                answer = _code(request["ended"])
            else:
                answer = os.fork()
                if answer == 0:
                    control.close()
                    _run(request, files)
            for each in files:
                os.close(each)
            control.send(json.dumps(answer).encode())


def _do_once_what_each_would_do() -> None:
    """Compile all SQL and read what the SDK knows of S3: half a second's work for each store."""
    from registry_core import s3_location
    from registry_core.stores.sql import outbox
    from registry_core.stores.sql.postgresql import PostgresqlDriver
    from registry_core.stores.sql.sqlite import SqliteDriver
    from registry_core.stores.sql.statements import statements

    for driver in (SqliteDriver, PostgresqlDriver):
        statements(driver.dialect, driver.insert)
        outbox._compiled(driver.dialect)
    anywhere = s3_location.parse("s3://bucket?anonymous=true", environ={})
    s3_location.connect(anywhere, s3_location.METADATA).close()


def _code(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _run(request: dict[str, Any], files: list[int]) -> None:
    """What the forked process does, as `python -m` would."""
    code = 1
    try:
        os.setsid()
        os.chdir(request["directory"])
        os.environ.clear()
        os.environ.update(request["environment"])
        for ours, standard in zip(files, STANDARD_STREAMS, strict=True):
            os.dup2(ours, standard)
            os.close(ours)
        # Whether they are terminals, and how they are buffered, was found out for other files.
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
        sys.argv = [request["module"], *request["arguments"]]
        _look_on_path(request["environment"])
        if request["module"] == CODE:
            text = sys.argv.pop(1)
            sys.path.insert(0, "")
            exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})
        else:
            runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        code = _exit_code(ending)
    except BaseException:  # noqa: BLE001 as the interpreter does
        traceback.print_exc()
    finally:
        _end(code)


def _look_on_path(environment: Mapping[str, str]) -> None:
    """Has modules found where PYTHONPATH says, as an interpreter does when it starts."""
    added = [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]
    sys.path[:0] = [each for each in added if each not in sys.path]
    if any(Path(each, "sitecustomize.py").exists() for each in added):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")


def _exit_code(ending: SystemExit) -> int:
    if ending.code is None or isinstance(ending.code, int):
        return ending.code or 0
    print(ending.code, file=sys.stderr)
    return 1


def _end(code: int) -> None:
    """Ends as the interpreter does, though not what was there before the fork."""
    with contextlib.suppress(BaseException):
        threading._shutdown()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
