"""Races over HTTP: sixteen clients on two server processes that share one store."""

from __future__ import annotations

import collections
import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.registry_server import RegistryServer
from services.stores import store_url
from services.wire_client import Response, WireClient

CLIENTS = 16
ROUNDS = 2
"""Each race is run anew this often: a race that is lost once in a while is still lost."""


class Race:
    """Sixteen connections, half of them to each of two servers, that start together."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.clients = [WireClient(urls[number % len(urls)]) for number in range(CLIENTS)]
        self._pool = ThreadPoolExecutor(CLIENTS)
        self._together = threading.Barrier(CLIENTS)

    @property
    def one(self) -> WireClient:
        """A client for what comes before and after the race."""
        return self.clients[0]

    def run(self, call: Callable[[WireClient, int], Response]) -> list[Response]:
        """What each client got for its call; the second argument is the client's number."""

        def start(number: int) -> Response:
            self._together.wait()
            return call(self.clients[number], number)

        return list(self._pool.map(start, range(CLIENTS)))

    def close(self) -> None:
        """Closes the connections."""
        self._pool.shutdown()
        for client in self.clients:
            client.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "s3"])
def urls(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Where two server processes over one store answer."""
    with store_url(request.param, request) as store, contextlib.ExitStack() as stack:
        # One after the other: the first one makes the schema.
        yield [stack.enter_context(RegistryServer(store)).url for _ in range(2)]


@pytest.fixture(scope="module")
def race(urls: list[str]) -> Iterator[Race]:
    """The sixteen clients."""
    race = Race(urls)
    yield race
    race.close()


def new_model(race: Race, versions: int = 0) -> str:
    """The name of a new model with that many versions."""
    name = f"race-{uuid.uuid4().hex[:10]}"
    assert race.one.post("/registered-models/create", name=name).status == 200
    for _ in range(versions):
        assert race.one.post("/model-versions/create", name=name, source="s3://b/p").status == 200
    return name


def versions_of(race: Race, name: str) -> dict[str, str]:
    """The stage of each version."""
    answer = race.one.get("/model-versions/search", filter=f"name = '{name}'")
    return {v["version"]: v["current_stage"] for v in answer.json.get("model_versions", [])}


def clean(answers: Sequence[Response], codes: Sequence[str] = ()) -> None:
    """Every answer is a success or one of those errors, and none shows the database's inside."""
    for answer in answers:
        assert answer.status == 200 or answer.error_code in codes, (answer.status, answer.body)
        assert answer.status < 500
        assert b"SQL" not in answer.body


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_one_of_sixteen_creates_wins(race: Race, round_: int) -> None:
    """One client creates the model; the others are told that it exists."""
    name = f"race-{uuid.uuid4().hex[:10]}"
    answers = race.run(
        lambda client, number: client.post(
            "/registered-models/create", name=name, description=str(number)
        )
    )
    won = [number for number, answer in enumerate(answers) if answer.status == 200]
    lost = [answer for answer in answers if answer.status != 200]
    assert len(won) == 1
    assert {(a.status, a.error_code) for a in lost} == {(400, "RESOURCE_ALREADY_EXISTS")}
    assert {a.json["message"] for a in lost} == {f"Registered Model (name={name}) already exists."}
    model = race.one.get("/registered-models/get", name=name).json["registered_model"]
    assert model["description"] == str(won[0])


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_versions_created_at_once_are_numbered_without_a_gap(race: Race, round_: int) -> None:
    """Sixteen creations give sixteen versions, 1 to 16, each to one client."""
    name = new_model(race)
    answers = race.run(
        lambda client, number: client.post(
            "/model-versions/create", name=name, source=f"s3://b/{number}"
        )
    )
    clean(answers)
    made = {int(a.json["model_version"]["version"]): a.json["model_version"] for a in answers}
    assert sorted(made) == list(range(1, CLIENTS + 1))
    assert {version["source"] for version in made.values()} == {
        f"s3://b/{number}" for number in range(CLIENTS)
    }


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_transitions_that_archive_leave_one_version_in_the_stage(race: Race, round_: int) -> None:
    """Sixteen versions go to Production at once, each archiving the others: one stays."""
    name = new_model(race, versions=CLIENTS)
    answers = race.run(
        lambda client, number: client.post(
            "/model-versions/transition-stage",
            name=name,
            version=str(number + 1),
            stage="Production",
            archive_existing_versions=True,
        )
    )
    clean(answers)
    stages = collections.Counter(versions_of(race, name).values())
    assert stages == {"Production": 1, "Archived": CLIENTS - 1}


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_an_alias_set_and_deleted_at_once_ends_on_one_version(race: Race, round_: int) -> None:
    """Setting, moving and deleting an alias, and deleting its version, never collide."""
    name = new_model(race, versions=4)

    def call(client: WireClient, number: int) -> Response:
        version = str(number % 4 + 1)
        if number == 3:
            return client.delete("/model-versions/delete", name=name, version="4")
        if number % 5 == 4:
            return client.delete("/registered-models/alias", name=name, alias="a")
        return client.post("/registered-models/alias", name=name, alias="a", version=version)

    # The version that one client deletes may be gone when another gives it the alias.
    clean(race.run(call), ["RESOURCE_DOES_NOT_EXIST"])
    model = race.one.get("/registered-models/get", name=name).json["registered_model"]
    existing = versions_of(race, name)
    assert set(existing) == {"1", "2", "3"}
    assert all(alias["version"] in existing for alias in model.get("aliases", []))


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_tags_set_at_once_are_all_kept(race: Race, round_: int) -> None:
    """Each client sets a tag of its own and one that all set; nothing is lost."""
    name = new_model(race, versions=1)

    def call(client: WireClient, number: int) -> Response:
        key = "all" if number % 2 else f"k{number}"
        if number % 4 < 2:
            return client.post("/registered-models/set-tag", name=name, key=key, value=str(number))
        return client.post(
            "/model-versions/set-tag", name=name, version="1", key=key, value=str(number)
        )

    clean(race.run(call))
    model = race.one.get("/registered-models/get", name=name).json["registered_model"]
    version = race.one.get("/model-versions/get", name=name, version="1").json["model_version"]
    own, shared = {tag["key"]: tag["value"] for tag in model["tags"]}, version["tags"]
    assert {"k0": "0", "k4": "4", "k8": "8", "k12": "12"}.items() <= own.items()
    assert own["all"] in {"1", "5", "9", "13"}
    both = {tag["key"]: tag["value"] for tag in shared}
    assert {"k2": "2", "k6": "6", "k10": "10", "k14": "14"}.items() <= both.items()
    assert both["all"] in {"3", "7", "11", "15"}


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_renames_to_one_name_have_one_winner(race: Race, round_: int) -> None:
    """Two models are renamed to one name by many: one gets it, and no version is lost."""
    first, second, new_name = new_model(race, 2), new_model(race, 2), f"r-{uuid.uuid4().hex[:10]}"
    answers = race.run(
        lambda client, number: client.post(
            "/registered-models/rename", name=(first, second)[number // 2 % 2], new_name=new_name
        )
    )
    clean(answers, ["RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"])
    assert sum(answer.status == 200 for answer in answers) == 1
    found = {
        name: set(versions_of(race, name))
        for name in (first, second, new_name)
        if race.one.get("/registered-models/get", name=name).status == 200
    }
    assert new_name in found
    assert len(found) == 2
    assert all(versions == {"1", "2"} for versions in found.values())


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_writes_to_a_model_that_is_renamed_are_kept_or_refused(race: Race, round_: int) -> None:
    """A tag that was acknowledged is there after the rename, under whichever name."""
    name, new_name = new_model(race, 1), f"r-{uuid.uuid4().hex[:10]}"

    def call(client: WireClient, number: int) -> Response:
        if number == 5:
            return client.post("/registered-models/rename", name=name, new_name=new_name)
        return client.post(
            "/registered-models/set-tag", name=name, key=f"k{number}", value=str(number)
        )

    answers = race.run(call)
    clean(answers, ["RESOURCE_DOES_NOT_EXIST"])
    assert answers[5].status == 200
    model = race.one.get("/registered-models/get", name=new_name).json["registered_model"]
    kept = {tag["key"] for tag in model.get("tags", [])}
    written = {f"k{n}" for n, answer in enumerate(answers) if answer.status == 200 and n != 5}
    assert kept == written
