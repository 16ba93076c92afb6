"""Two PostgreSQL servers, of which one follows the other and can take its place.

What the primary has acknowledged, the standby has applied: replication is synchronous. The old
primary is not repaired after a failover but made anew, as a standby of the new one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Self

import psycopg

from services.postgres import PostgresServer

SYNC_SECONDS = 60
"""Seconds for the standby to catch up."""


class Cluster:
    """The servers, while the context lasts."""

    def __init__(self) -> None:
        with contextlib.ExitStack() as stack:
            first = PostgresServer()
            stack.callback(first.close)
            first.start()
            second = PostgresServer(standby_of=first)
            stack.callback(second.close)
            second.start()
            self._stack = stack.pop_all()
        self.servers = (first, second)
        """In an order that does not change."""
        self.primary, self.standby = self.servers
        self._has_standby = True
        self._wait_for_each_other()

    @property
    def url(self) -> str:
        """The URL that names both, and asks for the one that accepts writes."""
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def kill(self) -> None:
        """The primary ends as if it had lost its power."""
        self._require_standby()
        self.primary.kill()

    def freeze(self) -> None:
        """The primary keeps its connections, takes others, and answers none."""
        self._require_standby()
        self.primary.freeze()

    def fence(self) -> None:
        """The primary refuses writes, as operators have it do before another one takes over."""
        self._require_standby()
        _alter(self.primary, "default_transaction_read_only", "on")
        # Writes that were under way are done, or are not: no transaction goes on.
        with _admin(self.primary) as admin:
            _until(admin, "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_xid IS NOT NULL")

    def promote(self) -> None:
        """The standby becomes the primary, and accepts writes when this returns."""
        with _admin(self.standby) as admin:
            assert admin.execute("SELECT pg_promote(true, 60)").fetchone() == (True,)
            _until(admin, "SELECT NOT pg_is_in_recovery()")
        self.primary, self.standby = self.standby, self.primary
        self._has_standby = False

    def _require_standby(self) -> None:
        if not self._has_standby:
            self.standby.kill()
            self.standby.follow(self.primary)
            self.standby.start()
            self._has_standby = True
            self._wait_for_each_other()

    def _wait_for_each_other(self) -> None:
        """Has the primary acknowledge nothing that the standby would not answer with."""
        _alter(self.primary, "synchronous_commit", "remote_apply")
        _alter(self.primary, "synchronous_standby_names", "*")
        with _admin(self.primary) as admin:
            _until(admin, "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'")
            # Commits wait for the standby when the checkpointer has read the setting, which one
            # that is busy has not: it reads it before it begins with another checkpoint.
            admin.execute("CHECKPOINT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextlib.contextmanager
def _admin(server: PostgresServer) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        yield admin


def _alter(server: PostgresServer, setting: str, value: str) -> None:
    with _admin(server) as admin:
        admin.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
        admin.execute("SELECT pg_reload_conf()")


def _until(admin: psycopg.Connection, query: str) -> None:
    deadline = time.monotonic() + SYNC_SECONDS
    while admin.execute(query).fetchone() != (True,):
        assert time.monotonic() < deadline, query
        time.sleep(0.02)
