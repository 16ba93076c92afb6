"""A registry moves into a stock MLflow server: what that can keep is there, the rest is said before."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import attrs
import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core import Registry, open_registry
from registry_core.calls.snapshots import OnConflict
from registry_core.models import Status
from registry_core.moves import mlflow_target
from registry_core.moves.outcomes import Copied, Outcome
from registry_core.moves.sources import StoreSource, snapshot_in
from registry_core.snapshots import ModelSnapshot
from registry_core.stores.memory import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture
def begin() -> str:
    """What the names of a test begin with: others use the server, too."""
    return f"into-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def source(begin: str, tmp_path: Path) -> str:
    """A registry with all that a model can have."""
    url = f"sqlite:///{tmp_path}/source.db"
    with open_registry(url) as registry:
        fill(registry, begin)
    return url


def fill(registry: Registry, begin: str) -> None:
    name = f"{begin} größe"
    registry.create_registered_model(name, tags={"ключ": "v"}, description="d")
    for number in range(1, 7):
        registry.create_model_version(
            name, source=f"s3://b/{number}", tags={"n": str(number)}, run_link="l", description="ü"
        )
    for number in (1, 3, 6):
        registry.delete_model_version(name, number)
    registry.transition_model_version_stage(name, 2, stage="Archived")
    registry.transition_model_version_stage(name, 4, stage="Production")
    registry.set_registered_model_alias(name, "champion", 4)
    # In the order of names before the one that it is made of.
    registry.create_registered_model(f"{begin} copy")
    registry.create_model_version(f"{begin} copy", source=f"models:/{name}/5")
    registry.create_registered_model(f"{begin} empty")
    marked = {"mlflow.prompt.is_prompt": "true"}
    registry.create_registered_model(f"{begin}-prompt", tags=marked)
    text = marked | {"mlflow.prompt.text": "Grüße, {{name}}"}
    registry.create_model_version(f"{begin}-prompt", source="dummy-source", tags=text)


@pytest.fixture
def theirs(mlflow_url: str) -> Any:
    """MLflow's client on its own server."""
    from mlflow import MlflowClient

    return MlflowClient(registry_uri=mlflow_url, tracking_uri=mlflow_url)


def test_what_mlflow_keeps_is_there_and_what_not_is_said_before(
    source: str, mlflow_url: str, begin: str, theirs: Any
) -> None:
    regctl = Regctl(source)
    asked = regctl.run("copy", source, mlflow_url)
    assert asked.exit_code == ExitCode.USAGE
    assert "It does not keep:" in asked.stderr
    assert all(loss in asked.stderr for loss in mlflow_target.LOSSES)
    would = regctl.run("copy", "--dry-run", source, mlflow_url)
    assert (would.exit_code, "Would be: 4 models (4 copied)" in would.stderr) == (0, True)
    assert not theirs.search_registered_models(f"name LIKE '{begin}%'")

    done = regctl.run("copy", "--yes", source, mlflow_url)
    assert (done.exit_code, "4 copied" in done.stderr) == (ExitCode.OK, True), done.stderr
    name = f"{begin} größe"
    found = {int(each.version): each for each in theirs.search_model_versions(f"name = '{name}'")}
    assert {number: each.current_stage for number, each in found.items()} == {
        2: "Archived",
        4: "Production",
        5: "None",
    }
    assert all(each.source == f"s3://b/{number}" for number, each in found.items())
    assert theirs.get_registered_model(name).aliases == {"champion": "4"}
    assert theirs.get_model_version(f"{begin} copy", "1").source == f"models:/{name}/5"
    assert theirs.get_prompt_version(f"{begin}-prompt", 1).template == "Grüße, {{name}}"
    # The number of the version that was deleted last is not used again.
    assert theirs.create_model_version(name, "s3://b/7").version in ("7", 7)
    theirs.delete_model_version(name, "7")

    again = regctl.run("copy", "--yes", source, mlflow_url)
    assert (again.exit_code, "4 unchanged), 0 versions" in again.stderr) == (0, True), again.stderr


def test_a_copy_that_died_goes_on_and_others_changes_stay(
    source: str, mlflow_url: str, begin: str, theirs: Any
) -> None:
    name, regctl = f"{begin} größe", Regctl(source)
    # What a killed run leaves: the first numbers, one of which stands for a gap.
    theirs.create_registered_model(name)
    theirs.create_model_version(name, mlflow_target.GAP_SOURCE)
    theirs.create_model_version(name, "s3://b/2", run_link="l")
    theirs.create_model_version(name, mlflow_target.GAP_SOURCE)
    done = regctl.run("copy", "--yes", source, mlflow_url)
    assert (done.exit_code, "1 updated" in done.stderr) == (ExitCode.OK, True), done.stderr
    created = theirs.get_registered_model(name).creation_timestamp

    theirs.set_model_version_tag(name, "4", "n", "mine")
    theirs.set_registered_model_alias(name, "mine", "5")
    for policy, word in (("fail", "failed"), ("skip", "skipped")):
        kept = regctl.run("copy", "--yes", "--on-conflict", policy, source, mlflow_url)
        assert (kept.exit_code, f"{word}: {name}" in kept.stderr) == (ExitCode.INCOMPLETE, True)
    assert theirs.get_model_version(name, "4").tags["n"] == "mine"
    replaced = regctl.run("copy", "--yes", "--on-conflict", "replace", source, mlflow_url)
    assert (replaced.exit_code, "1 replaced" in replaced.stderr) == (0, True), replaced.stderr
    # In place: nothing of it had to be made anew.
    assert theirs.get_registered_model(name).creation_timestamp == created

    theirs.delete_model_version(name, "2")
    for _ in range(2):
        lost = regctl.run("copy", "--yes", "--on-conflict", "replace", source, mlflow_url)
        assert (lost.exit_code, "4 unchanged" in lost.stderr) == (ExitCode.INCOMPLETE, True)
        assert f"models:/{name}/2: the target has later versions already" in lost.stderr


def test_what_mlflow_refuses_is_named_and_keeps_its_number(
    mlflow_url: str, begin: str, theirs: Any, tmp_path: Path
) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    with open_registry(source) as registry:
        registry.create_registered_model(begin)
        registry.create_model_version(begin, source="mlflow-artifacts:/not/of/a/run")
        registry.create_model_version(begin, source="s3://b/2")
    done = Regctl(source).run("copy", "--yes", source, mlflow_url)
    assert done.exit_code == ExitCode.INCOMPLETE
    assert f"models:/{begin}/1" in done.stderr
    assert [each.version for each in theirs.search_model_versions(f"name = '{begin}'")] in (
        ["2"],
        [2],
    )


def test_versions_without_files_and_models_of_many_gaps_are_left_out() -> None:
    """What needs no server to be seen: the plan."""
    source, target = Registry(MemoryStore()), Registry(MemoryStore())
    source.create_registered_model("m")
    source.create_model_version("m", source="s3://b/1")
    pending = source.store.get_model_version("m", 1)
    document = source.snapshot("m").without_history().document
    versions = {1: attrs.evolve(pending, status=Status.PENDING_REGISTRATION)}
    source.restore(
        ModelSnapshot(document=attrs.evolve(document, versions=versions)), on_conflict="replace"
    )
    many = attrs.evolve(document, name="many", versions={}, next_version=mlflow_target.GAPS_MAX + 2)
    source.restore(ModelSnapshot(document=many))
    found = {each.name: each for each in mlflow_target.copy(StoreSource(source.store), target)}
    assert found["m"].problems == ("models:/m/1: it is PENDING_REGISTRATION",)
    assert not found["m"].is_complete
    assert "1001 numbers are not in use" in found["many"].detail
    there = snapshot_in(target, "m")
    assert there is not None
    assert (not there.versions, there.document.next_version) == (True, 2)
    assert snapshot_in(target, "many") is None


def test_what_others_have_made_in_the_target_stays_unless_it_may_be_replaced() -> None:
    """An alias of a version that is not the source's, and a version that is not ready yet."""
    source, target = Registry(MemoryStore()), Registry(MemoryStore())
    for registry, place in ((source, "s3://b"), (target, "s3://theirs")):
        registry.create_registered_model("m")
        registry.create_model_version("m", source="s3://b/1")
        registry.create_model_version("m", source=f"{place}/2")
    source.create_model_version("m", source="s3://b/3")
    target.set_registered_model_alias("m", "live", 2)
    target.set_registered_model_alias("m", "mine", 2)

    def copied(on_conflict: OnConflict = "fail") -> Copied:
        (done,) = mlflow_target.copy(StoreSource(source.store), target, on_conflict=on_conflict)
        return done

    assert copied().outcome is Outcome.UPDATED
    model = target.get_registered_model("m")
    assert (model.aliases, target.get_model_version("m", 3).source) == (
        {"live": 2, "mine": 2},
        "s3://b/3",
    )
    source.set_registered_model_alias("m", "live", 3)
    assert copied().outcome is Outcome.FAILED
    assert target.get_registered_model("m").aliases == {"live": 2, "mine": 2}
    assert copied("replace").outcome is Outcome.REPLACED
    assert target.get_registered_model("m").aliases == {"live": 3}

    source.delete_model_version("m", 2)
    document = target.snapshot("m").without_history().document
    theirs = attrs.evolve(document.versions[2], status=Status.PENDING_REGISTRATION)
    document = attrs.evolve(document, versions={**document.versions, 2: theirs})
    target.restore(ModelSnapshot(document=document), on_conflict="replace")
    assert copied().outcome is Outcome.FAILED
    assert target.get_model_version("m", 2).source == "s3://theirs/2"
