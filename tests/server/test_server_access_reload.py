"""An access file that changes while its server is at work: all of it counts, and none of the old."""

from __future__ import annotations

import asyncio
import base64
import threading
from pathlib import Path

import pytest

from registry_core.access import AccessFile
from registry_core.errors import BackendNotInstalledError
from registry_core.gating import Gates
from registry_server import Settings
from registry_server.access import issuers, rules
from registry_server.access.callers import Caller
from registry_server.access.credentials import Credentials
from registry_server.access.passwords import scrypted
from registry_server.access.rules import Access
from registry_server.access.users import Users
from registry_server.http.responses import RequestRefusedError

from .test_server_access import digest, write_access_file

FILE = '[user.{name}]\ntokens = ["sha256:{digest}"]\n'


def written(path: Path, name: str, more: str = "") -> str:
    return write_access_file(path, FILE.format(name=name, digest=digest(name)) + more)


def test_the_older_of_two_files_is_never_put_in_force_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.toml"
    access = Access(Settings(access_file=written(path, "first")))
    reading, go = threading.Event(), threading.Event()
    real = rules._loaded

    def loaded(name: str) -> AccessFile:
        found = real(name)
        if "older" in found.users:
            reading.set()
            assert go.wait(60)
        return found

    monkeypatch.setattr(rules, "_loaded", loaded)
    written(path, "older")
    looking = threading.Thread(target=access.look)
    looking.start()
    assert reading.wait(60)
    # As at SIGHUP, while the thread that looks once a second is at it.
    written(path, "newer")
    access.look()
    go.set()
    looking.join()
    assert access.users.credentials.knows("newer")
    assert not access.users.credentials.knows("older")
    access.close()


def test_a_file_whose_library_is_missing_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "access.toml"
    access = Access(Settings(access_file=written(path, "first")))
    access.start(Gates())

    def missing() -> None:
        raise BackendNotInstalledError("pip install it")

    monkeypatch.setattr(issuers, "load_library", missing)
    monkeypatch.setattr(rules, "load_library", missing, raising=False)
    written(path, "second", '[issuer.company]\nissuer = "https://e.com"\naudience = "r"\n')
    assert not access.look()
    assert access.users.credentials.knows("first")
    assert access.issuers.is_empty
    access.close()


def basic(secret: str) -> bytes:
    return b"Basic " + base64.b64encode(f"carol:{secret}".encode())


async def proved(users: Users, secret: str) -> bool:
    caller = Caller({"client": ("10.0.0.1", 1), "headers": []}, None)  # type: ignore[arg-type, typeddict-item]
    try:
        return await users.authenticate(basic(secret), caller) == "carol"
    except RequestRefusedError:
        return False


def test_a_password_that_was_replaced_is_not_remembered_by_a_guess_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = (Credentials.of_lines([f"carol:{scrypted(each, n=2**4)}"]) for each in "ab")
    users = Users(old)
    real = users._passwords.replace

    def replacing(keys: object) -> None:
        # The thread of the event loop comes in between.
        meanwhile.append(asyncio.run(proved(users, "a")))
        real(keys)  # type: ignore[arg-type]

    meanwhile: list[bool] = []
    monkeypatch.setattr(users._passwords, "replace", replacing)
    users.replace(new)
    assert meanwhile == [True]
    assert not asyncio.run(proved(users, "a"))
    assert asyncio.run(proved(users, "b"))
    users.close()
