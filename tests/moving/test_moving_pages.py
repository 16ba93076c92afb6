"""A server of any release of MLflow's is read page by page, also while its clients write.

The interpreters are those of `test_moving_releases`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from moving.test_moving_releases import PYTHONS
from registry_core import Page, Registry, open_registry
from registry_core.models import ModelVersion
from registry_core.moves import copying, mlflow_pages, sources, version_rows
from registry_core.search import Query, page_sizes
from registry_core.stores.rest import RestStore
from registry_core.stores.rest.transport import Transport
from services.registry_server import MlflowServer

pytestmark = pytest.mark.long

MODELS = 60
VERSIONS = 5
ROWS = 40
"""Of a page."""


@pytest.fixture(scope="module", params=PYTHONS)
def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """A server of the release with models, of which a fifth has no versions."""
    directory = tmp_path_factory.mktemp("mlflow")
    with (
        MlflowServer(directory, python=request.param) as server,
        closing(open_registry(server.url)) as registry,
    ):
        for number in range(MODELS):
            name = f"model {number:02}"
            registry.create_registered_model(name, tags={"n": str(number)})
            for version in range(1, VERSIONS + 1 if number % 5 else 1):
                registry.create_model_version(name, source=f"s3://b/{version}", tags={"ü": "ü"})
        yield registry


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Small pages, and how often each route was asked."""
    monkeypatch.setattr(page_sizes, "MOST_ROWS", ROWS)
    monkeypatch.setattr(page_sizes, "FIRST_ROWS", 10)
    monkeypatch.setattr(mlflow_pages, "MODELS_AT_A_LOOK", ROWS)
    asked: Counter[str] = Counter()
    read = Transport.read

    def counted(self: Transport, path: str, *arguments: object, **options: object) -> object:
        asked[path] += 1
        return read(self, path, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Transport, "read", counted)
    return asked


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Registry]:
    """Where copies go."""
    with closing(open_registry(f"sqlite:///{tmp_path}/registry.db")) as registry:
        yield registry


def test_the_number_of_requests_is_that_of_pages(
    source: Registry, target: Registry, asked: Counter[str]
) -> None:
    asked.clear()
    done = [*copying.copy(sources.StoreSource(source.store), target)]
    assert {each.outcome.value for each in done} == {"copied"}
    assert (len(done), sum(each.versions for each in done)) == (MODELS, MODELS * VERSIONS * 4 // 5)
    assert "/registered-models/get" not in asked
    # A list of the models, and a second look at them; and a list of the prompts.
    assert asked["/registered-models/search"] <= 2 * (MODELS // ROWS + 1) + 1
    pages = MODELS * VERSIONS // (ROWS - 1) + 1
    assert asked["/model-versions/search"] <= 1 + pages + version_rows.PAGES_AHEAD
    assert not [*copying.compare(_one_by_one(source), sources.StoreSource(target.store))]


def test_what_clients_change_between_pages_is_not_mixed(
    source: Registry, target: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows move in both directions, and a model changes after and before it is read."""
    changes: list[Callable[[], object]] = [
        lambda: source.delete_model_version("model 01", 1),
        lambda: source.delete_model_version("model 02", 3),
        lambda: source.create_model_version("model 01", source="s3://b/new"),
        lambda: source.set_registered_model_alias("model 01", "champion", 6),
        lambda: source.delete_registered_model("model 03"),
        lambda: source.rename_registered_model("model 04", new_name="a model"),
        lambda: source.create_model_version("model 58", source="s3://b/new"),
        lambda: source.set_registered_model_alias("model 58", "champion", 6),
        lambda: source.set_registered_model_tag("model 59", "n", "new"),
    ]
    versions_from = RestStore.versions_from

    def changing(self: RestStore, query: Query, start: int) -> Page[ModelVersion]:
        page = versions_from(self, query, start)
        if start >= ROWS:
            for change in [changes.pop(0) for _ in changes[:4]]:
                change()
        return page

    monkeypatch.setattr(RestStore, "versions_from", changing)
    monkeypatch.setattr(version_rows, "PAGES_AHEAD", 1)
    done = {
        each.name: each.outcome.value
        for each in copying.copy(sources.StoreSource(source.store), target)
    }
    assert not changes
    gone = {name for name, outcome in done.items() if outcome == "gone"}
    assert gone == {"model 03", "model 04"}
    found = [*copying.compare(_one_by_one(source), sources.StoreSource(target.store))]
    assert {each.name for each in found} == {"a model"}
    again = [*copying.copy(sources.StoreSource(source.store), target)]
    assert [each.name for each in again if each.outcome.is_written] == ["a model"]


def _one_by_one(source: Registry) -> sources.SnapshotSource:
    """The models, each read by itself."""
    return _OneByOne(source)


class _OneByOne:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def items(self, filter_text: str | None = None) -> Iterator[sources.Item]:
        for name in sources.StoreSource(self._registry.store).names(filter_text):
            yield name, lambda name=name: self._registry.open_snapshot(name)
