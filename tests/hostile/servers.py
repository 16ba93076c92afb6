"""Servers to be flooded: real processes over a store that is filled, with a limit of open files."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
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

OTHERS = 1_000
"""Grants of an access file that are of nobody who calls."""

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
    """A server that may open so many files, and asks its callers who they are.

    With `access` an access file says what each of them may do: no more than they need here.
    """

    def __init__(
        self,
        store: str,
        directory: Path,
        *,
        open_files: int | None = None,
        workers: int = 1,
        logins: int = 0,
        access: bool = False,
    ) -> None:
        users = directory / ("access.toml" if access else "users")
        secrets = _secrets(logins)
        lines = _access_lines(secrets) if access else map(":".join, secrets.items())
        users.write_text("\n".join(lines))
        users.chmod(0o600)
        flag = "--access-file" if access else "--auth-file"
        arguments = (flag, str(users), "--artifacts", f"file://{directory}/artifacts")
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


def _secrets(logins: int) -> Mapping[str, str]:
    """The hashed secret of each user."""
    pairs = (login(number) for number in range(logins))
    return {
        CALM_USER: f"sha256:{hashlib.sha256(CALM_SECRET.encode()).hexdigest()}",
        GUESSED: scrypted(secrets.token_urlsafe()),
        **{name: scrypted(password) for name, password in pairs},
    }


def _access_lines(hashed: Mapping[str, str]) -> Iterator[str]:
    """An access file in which nobody may see or do everything, and most grants are of others."""
    for name, secret in hashed.items():
        kind = "tokens" if secret.startswith("sha256:") else "passwords"
        yield f'[user.{name}]\n{kind} = ["{secret}"]'
        models = ["calm-*"]
        if name == CALM_USER:
            # Artifacts are of the model by whose name their folder is called.
            models += ["calm", "stalled", "elements", LOCKED, "large-*"]
            models += [f"team-{number}-*" for number in range(20)]
        role = "writer" if name == CALM_USER else "reader"
        listed = ", ".join(f'"{each}"' for each in models)
        yield f'[[grant]]\nusers = ["{name}"]\nrole = "{role}"\nmodels = [{listed}]'
    for number in range(OTHERS):
        yield f'[[grant]]\nusers = ["erin{number}"]\nrole = "writer"\nmodels = ["erin{number}-*"]'


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
