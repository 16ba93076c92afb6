"""What the kit does in other processes: works that are picklable and load quickly."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection

import attrs

from registry_core.models import NewModelVersion, Stage
from registry_core.testing.calls import Calls
from registry_core.testing.racing import Opener, take_environment

TAGS = {"k": "v"}
"""Tags of every version created here."""


@attrs.frozen
class CreateVersions:
    """Creates some versions of a model and gives their numbers."""

    name: str
    count: int

    def __call__(self, store: Calls) -> list[int]:
        return [_create(store, self.name) for _ in range(self.count)]


def write_until_killed(
    opener: Opener, acknowledge: Connection, environment: Mapping[str, str]
) -> None:
    """Makes each of `ENDLESS` in a thread, and sends its name after each acknowledged write.

    The thread's model must exist, named like it, with two versions.
    """
    take_environment(environment)
    store = Calls(opener())
    sending = threading.Lock()

    def run(name: str) -> None:
        for _ in ENDLESS[name](store, name):
            with sending:
                acknowledge.send(name)

    threads = [threading.Thread(target=run, args=(name,)) for name in ENDLESS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _creations(store: Calls, name: str) -> Iterator[None]:
    while True:
        _create(store, name)
        yield


def _transitions(store: Calls, name: str) -> Iterator[None]:
    for version in itertools.cycle((1, 2)):
        store.transition_model_version_stage(
            name, version, stage=Stage.PRODUCTION, archive_existing_versions=True
        )
        yield


def _renames(store: Calls, name: str) -> Iterator[None]:
    for old, new in itertools.cycle(((name, f"{name} away"), (f"{name} away", name))):
        store.rename_registered_model(old, new_name=new)
        yield


ENDLESS: Mapping[str, Callable[[Calls, str], Iterator[None]]] = {
    "created": _creations,
    "staged": _transitions,
    "renamed": _renames,
}
"""Writes without end, each of which touches more than one row, object or key."""


def _create(store: Calls, name: str) -> int:
    new = NewModelVersion(name=name, source="s3://bucket/path", tags=TAGS)
    return store.create_model_version(new).version
