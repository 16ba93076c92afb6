"""The servers that are measured, as processes, each over a database of its own."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time

import psycopg

from bench.load import MLFLOW, Target, own_pss_mib, pss_mib
from services import postgres, registry_server
from services.ports import free_port
from services.registry_server import RegistryServer, ServerProcess

STARTS = 3
"""Starts of which the median is told."""


class Mlflow(ServerProcess):
    """MLflow's server on a database."""

    # It is measured on busy machines too.
    start_seconds = 300

    def __init__(self, url, *, workers=1):
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", str(workers), "--backend-store-uri", url]
        environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        super().__init__(command, port=port, environment=environment)


class Empty(ServerProcess):
    """Litestar with nothing to do, under the same HTTP server with the same settings."""

    ready_path = "/"

    def __init__(self):
        port = free_port()
        command = [sys.executable, "-m", "bench.empty", str(port)]
        super().__init__(command, port=port, environment={"PYTHONPATH": os.pathsep.join(sys.path)})


class Databases:
    """Empty databases of one kind; PostgreSQL keeps its promise of durability."""

    def __init__(self, stack, kind, directory):
        self._stack = stack
        self._directory = directory
        self._made = 0
        self.kind = kind
        self.server = None
        if kind == "postgresql":
            self.server = stack.enter_context(postgres.PostgresServer(durable=True))
            # As large an installation would have it: the default of 128 MB is of the last century.
            for setting in ("shared_buffers = '512MB'", "max_wal_size = '4GB'"):
                self.set(setting)
            self.server.restart()

    @classmethod
    def temporary(cls, stack, kind):
        """Databases that are gone with `stack`."""
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
        return cls(stack, kind, directory)

    def new(self):
        """The URL of one more."""
        if self.server is not None:
            return self._stack.enter_context(postgres.fresh_database(self.server))
        self._made += 1
        return f"sqlite:///{self._directory}/{self._made}.db"

    @property
    def pid(self):
        """The process of the database server, if there is one."""
        return None if self.server is None else self.server.pid

    def set(self, setting):
        """Sets a parameter of the database server."""
        with psycopg.connect(self.server.url(), autocommit=True) as admin:
            admin.execute(f"ALTER SYSTEM SET {setting}")
            admin.execute("SELECT pg_reload_conf()")

    @contextlib.contextmanager
    def counted(self):
        """A list that holds, afterwards, every statement that was sent meanwhile."""
        statements = []
        if self.server is None:
            yield statements
            return
        self.set("log_statement = 'all'")
        time.sleep(0.3)
        before = len(self.server.log)
        yield statements
        lines = self.server.log[before:].splitlines()
        self.set("log_statement = 'none'")
        time.sleep(0.3)
        sent = (line.partition("LOG:  ")[2] for line in lines)
        statements += [text for text in sent if text.startswith(("statement: ", "execute "))]


def ours(stack, databases, *, url=None, workers=1, name="ours"):
    """Our server under load, on a new database unless one is given."""
    url = url or databases.new()
    server = stack.enter_context(RegistryServer(url, workers=workers))
    return Target(name=name, url=server.url, pid=server.pid, database_pid=databases.pid), url


def mlflow(stack, databases, *, workers=1):
    """MLflow's server under load, on a new database of its own revision."""
    url = mlflow_url(databases)
    server = stack.enter_context(Mlflow(url, workers=workers))
    target = Target(name=MLFLOW, url=server.url, pid=server.pid, database_pid=databases.pid)
    return target, url.replace("+psycopg", "")


def mlflow_url(databases):
    """The URL of a new database with MLflow's tables in it."""
    url = databases.new().replace("postgresql://", "postgresql+psycopg://")
    subprocess.run(
        [sys.executable, "-m", "mlflow", "db", "upgrade", url],
        env={**os.environ, **registry_server.QUIET},
        capture_output=True,
        check=True,
    )
    return url


def empty(stack):
    """The empty handler under load."""
    server = stack.enter_context(Empty())
    return Target(name="empty", url=server.url, pid=server.pid)


def start_up(make):
    """Seconds until the first answer of a server, and its memory when nobody has asked yet."""
    seconds, memory, parents = [], [], []
    for _ in range(STARTS):
        server = make()
        began = time.monotonic()
        with server:
            seconds.append(time.monotonic() - began)
            # What was only needed to start is given back after a moment.
            time.sleep(1)
            memory.append(pss_mib(server.pid))
            parents.append(own_pss_mib(server.pid))
    return {
        "first_answer_seconds": round(statistics.median(seconds), 2),
        "pss_mib": round(statistics.median(memory), 1),
        "parent_pss_mib": round(statistics.median(parents), 1),
    }
