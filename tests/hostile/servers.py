"""Servers to be flooded: real processes over a store that is filled, with a limit of open files."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from bench.load import family
from hostile.targets import (
    CALM_FILE,
    CALM_MODELS,
    CALM_SECRET,
    CALM_USER,
    GUESSED,
    LARGE_MODELS,
    LARGE_TAG,
    LOCKED,
    Target,
    calm_model,
    login,
)
from registry_core import open_registry
from registry_server.access.passwords import scrypted
from services.postgres import PostgresServer
from services.registry_server import RegistryServer

MEMORY_CEILING_BYTES = 3 * 2**30
"""Growth at which a server is killed, so that the machine does not run out of memory."""

_SAMPLE_SECONDS = 0.05
_FAMILY_SECONDS = 0.5


@contextlib.contextmanager
def filled_store(kind: str) -> Iterator[tuple[str, Path]]:
    """The URL of a store with everything that floods and well-behaved clients need.

    Beside it, a directory for artifacts.
    """
    with contextlib.ExitStack() as stack:
        directory = Path(mkdtemp(prefix="registry-hostile-"))
        stack.callback(shutil.rmtree, directory)
        url = f"sqlite:///{directory}/registry.db"
        if kind == "postgresql":
            url = stack.enter_context(PostgresServer()).url()
        _fill(url, directory)
        yield url, directory


def _fill(url: str, directory: Path) -> None:
    file = directory / "artifacts" / CALM_FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(secrets.token_bytes(4_096))
    with open_registry(url) as registry:
        for number in range(CALM_MODELS):
            name = calm_model(number)
            registry.create_registered_model(name)
            registry.create_model_version(name, source="s3://bucket/path")
            registry.set_registered_model_alias(name, "champion", "1")
        registry.create_registered_model(LOCKED)
        for number in range(LARGE_MODELS):
            registry.create_registered_model(f"large-{number}", tags={"bulk": LARGE_TAG})


class FloodedServer(RegistryServer):
    """A server that may open so many files, and asks its callers who they are."""

    def __init__(
        self,
        store: str,
        directory: Path,
        *,
        open_files: int | None = None,
        workers: int = 1,
        logins: int = 0,
    ) -> None:
        users = directory / "users"
        users.write_text("\n".join(_users(logins)))
        users.chmod(0o600)
        arguments = ("--auth-file", str(users), "--artifacts", f"file://{directory}/artifacts")
        super().__init__(store, workers=workers, arguments=arguments)
        self.target = Target(port=self.port, store=store, logins=logins)
        if open_files is not None:
            limited = 'ulimit -n "$0" && exec "$@"'
            self._command = ["sh", "-c", limited, str(open_files), *self._command]

    def ends_in_order(self) -> bool:
        """Whether SIGTERM ends the server in time and with success; it has ended in any case."""
        try:
            return self.stop() == 0
        except AssertionError:
            return False


def _users(logins: int) -> Sequence[str]:
    digest = hashlib.sha256(CALM_SECRET.encode()).hexdigest()
    users = [f"{CALM_USER}:sha256:{digest}", f"{GUESSED}:{scrypted(secrets.token_urlsafe())}"]
    pairs = (login(number) for number in range(logins))
    return users + [f"{name}:{scrypted(password)}" for name, password in pairs]


class MemoryWatch:
    """Looks at the memory of a server's processes for as long as the context lasts.

    Pages that processes share are counted for each. A server that grows by `MEMORY_CEILING_BYTES`
    is killed.
    """

    def __init__(self, server: RegistryServer) -> None:
        self._server = server
        self._pid = server.pid
        self._pids: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.before = resident_bytes(family(self._pid))
        self.most = self.before
        self.after = self.before
        self.is_killed = False

    @property
    def growth(self) -> int:
        """Bytes that it took more at some time than at the beginning."""
        return self.most - self.before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        looked = float("-inf")
        while not self._ended.wait(_SAMPLE_SECONDS) and not self.is_killed:
            if time.monotonic() - looked > _FAMILY_SECONDS:
                self._pids, looked = family(self._pid), time.monotonic()
            self.after = resident_bytes(self._pids)
            self.most = max(self.most, self.after)
            if self.growth > MEMORY_CEILING_BYTES:
                self.is_killed = True
                self._server.kill()


def resident_bytes(pids: Sequence[int]) -> int:
    """The memory that processes have, those of them that there are."""
    pages = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4_096
