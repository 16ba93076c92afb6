"""Of many who promote at one moment one wins, and the others hear who has it: on every store."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import pytest

from registry_core import open_registry, open_store
from registry_core.testing.racing import race_processes
from services.promoters import ALIAS, HOLDER, MODEL, Promoters
from services.registry_server import RegistryServer
from services.stores import store_url


@contextlib.contextmanager
def _url(kind: str, request: pytest.FixtureRequest) -> Iterator[str]:
    if kind != "server":
        with store_url(kind, request) as url:
            yield url
        return
    with (
        store_url("postgresql", request) as url,
        RegistryServer(url, workers=2, arguments=("--artifacts", "none")) as server,
    ):
        yield server.url


@pytest.mark.parametrize(
    ("processes", "promoters"),
    [(2, 8), pytest.param(4, 100, marks=pytest.mark.long)],
)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "s3", "server"])
def test_one_promoter_wins_and_the_others_hear_of_it(
    kind: str, processes: int, promoters: int, request: pytest.FixtureRequest
) -> None:
    """One winner; each loser's error names the version that the winner has promoted."""
    each = promoters // processes
    with _url(kind, request) as url:
        with open_registry(url, artifacts="none") as registry:
            registry.create_registered_model(MODEL)
            for number in range(promoters + 1):
                registry.create_model_version(MODEL, source=f"s3://bucket/{number}")
            registry.set_registered_model_alias(MODEL, ALIAS, HOLDER)
        works = [Promoters(HOLDER + 1 + i * each, each) for i in range(processes)]
        heard = []
        for outcome in race_processes(functools.partial(open_store, url), *works):
            assert outcome.error is None, outcome.error
            heard += outcome.value or []
        assert len(heard) == promoters
        (winner,) = [one for one in heard if one.refusal is None]
        refused = [one for one in heard if one.refusal is not None]
        assert {one.holder for one in refused} == {winner.version}
        sentence = f"'{ALIAS}' of model '{MODEL}' is {winner.version} and not {HOLDER}"
        assert all(sentence in str(one.refusal) for one in refused)
        with open_registry(url, artifacts="none") as registry:
            assert registry.get_registered_model(MODEL).aliases == {ALIAS: winner.version}
            moves = [event.after for event in registry.history(MODEL, alias=ALIAS)]
            assert moves == [winner.version, HOLDER]
