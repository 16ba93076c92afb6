"""Whole registries between stores, into files and back."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core import Page, RegisteredModel, Registry, open_registry
from registry_core.moves.copying import compare
from registry_core.moves.sources import StoreSource
from registry_core.search import Query
from registry_core.stores.memory import MemoryStore
from services import forking
from services.live_server import LiveServer
from services.stores import store_url
from services.watched_copies import eventually, names_of

MODELS = 12


def fill(registry: Registry, models: int = MODELS) -> None:
    """Models with gaps, stages, aliases and tags, one of them large, and a prompt."""
    ann = registry.acting_as("ann", reason="because")
    for number in range(models):
        name = f"größe {number}"
        ann.create_registered_model(name, tags={"n": str(number), "large": "ü" * 3_000})
        for version in range(1, 5):
            ann.create_model_version(name, source=f"s3://b/{version}", tags={"v": str(version)})
        ann.delete_model_version(name, 2)
        ann.delete_model_version(name, 4)
        ann.transition_model_version_stage(name, 3, stage="Staging")
        ann.set_registered_model_alias(name, "champion", 3)
    ann.create_registered_model("prompt", tags={"mlflow.prompt.is_prompt": "true"})
    ann.create_model_version(
        "prompt", source="dummy-source", tags={"mlflow.prompt.is_prompt": "true"}
    )


@pytest.fixture
def source(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/source.db"
    with open_registry(url) as registry:
        fill(registry)
    return url


def test_a_round_through_all_stores_is_byte_identical(
    request: pytest.FixtureRequest, source: str, tmp_path: Path
) -> None:
    exported = tmp_path / "first.jsonl"
    Regctl(source).says("export", str(exported))
    with (
        store_url("postgresql", request) as postgresql,
        store_url("s3", request) as bucket,
        LiveServer() as server,
    ):
        server.serve(MemoryStore())
        urls = [source, bucket, server.url, postgresql]
        for one, other in itertools.pairwise(urls):
            done = Regctl(source).run("copy", one, other)
            assert done.exit_code == ExitCode.OK, done.stderr
            assert f"{MODELS + 1} copied" in done.stderr
            again = Regctl(source).run("copy", one, other)
            assert f"{MODELS + 1} unchanged" in again.stderr
        for number, url in enumerate(urls[1:]):
            file = tmp_path / f"{number}.jsonl"
            Regctl(url).says("export", str(file))
            assert file.read_bytes() == exported.read_bytes()
        with open_registry(postgresql) as registry:
            assert registry.verify_history("größe 3").is_true


def test_a_backup_is_restored(source: str, tmp_path: Path) -> None:
    backup, restored = tmp_path / "backup.jsonl.gz", f"sqlite:///{tmp_path}/restored.db"
    Regctl(source).says("export", str(backup))
    result = Regctl(restored).run("import", str(backup))
    assert (result.exit_code, f"{MODELS + 1} copied" in result.stderr) == (0, True)
    assert Regctl(source).run("diff", source, restored).exit_code == ExitCode.OK
    again = Regctl(restored).run("import", str(backup))
    assert f"{MODELS + 1} unchanged" in again.stderr


def test_a_file_that_was_cut_off_is_refused(source: str, tmp_path: Path) -> None:
    backup, cut = tmp_path / "backup.jsonl.gz", tmp_path / "cut.jsonl"
    Regctl(source).says("export", str(backup))
    lines = gzip.decompress(backup.read_bytes()).splitlines(keepends=True)
    cut.write_bytes(b"".join(lines[:-1]))
    result = Regctl(f"sqlite:///{tmp_path}/restored.db").run("import", str(cut))
    assert result.exit_code == ExitCode.USAGE
    assert "cut off" in result.stderr


def test_a_damaged_file_is_refused(source: str, tmp_path: Path) -> None:
    backup, damaged = tmp_path / "backup.jsonl.gz", tmp_path / "damaged.jsonl.gz"
    Regctl(source).says("export", str(backup))
    whole = backup.read_bytes()
    spoilt = {
        "cut": whole[:-100],
        "changed": whole[:200] + bytes(200) + whole[400:],
        "checksum": whole[:-8] + bytes(8),
        "not compressed": gzip.decompress(whole),
        "last line": gzip.compress(b'{"kind":"end_of_export","models":'),
    }
    for what, content in spoilt.items():
        damaged.write_bytes(content)
        result = Regctl(f"sqlite:///{tmp_path}/restored.db").run("import", str(damaged))
        assert result.exit_code == ExitCode.USAGE, what
        assert str(damaged) in result.stderr, what


def test_a_target_that_others_have_changed_is_kept_unless_told(source: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/target.db"
    regctl = Regctl(source)
    assert regctl.run("copy", "--dry-run", source, target).exit_code == ExitCode.OK
    assert regctl.run("diff", source, target).exit_code == ExitCode.ERROR
    regctl.run("copy", source, target)
    with open_registry(target) as registry:
        registry.set_registered_model_tag("größe 1", "mine", "yes")
    for policy, word in (("fail", "failed"), ("skip", "skipped")):
        result = regctl.run("copy", "--on-conflict", policy, source, target)
        assert result.exit_code == ExitCode.INCOMPLETE
        assert f"{word}: größe 1: the target has another model" in result.stderr
    with open_registry(target) as registry:
        assert registry.get_registered_model("größe 1").tags["mine"] == "yes"
    assert regctl.run("copy", "--on-conflict", "replace", source, target).exit_code == 0
    assert regctl.run("diff", source, target).exit_code == ExitCode.OK


def test_a_source_that_goes_on_is_followed(source: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/target.db"
    Regctl(source).run("copy", source, target)
    with open_registry(source) as registry:
        registry.create_model_version("größe 1", source="s3://b/later")
        registry.create_registered_model("new")
    result = Regctl(source).run("copy", source, target)
    assert result.exit_code == ExitCode.OK
    assert "1 copied, 12 unchanged, 1 updated" in result.stderr


def begin(said: Path, *arguments: str) -> forking.Forked:
    """`regctl` in a process of its own, which writes what it says into a file."""
    with Path(os.devnull).open("r+b") as nothing, said.open("wb") as stderr:
        streams = (nothing.fileno(), nothing.fileno(), stderr.fileno())
        return forking.start("registry_cli", arguments, streams=streams, environment=os.environ)


def test_killed_at_any_point_a_copy_goes_on(source: str, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/target.db"
    said = tmp_path / "said"
    began = time.monotonic()
    assert begin(said, "copy", source, f"sqlite:///{tmp_path}/whole.db").wait(120) == 0
    whole = time.monotonic() - began
    for part in (0.2, 0.5, 0.7, 0.9):
        copying = begin(said, "copy", source, target)
        try:
            copying.wait(whole * part)
        except subprocess.TimeoutExpired:
            copying.kill()
            copying.wait(120)
    assert begin(said, "copy", source, target).wait(120) == 0
    assert Regctl(source).run("diff", source, target).exit_code == ExitCode.OK
    again = Regctl(source).run("copy", source, target)
    assert f"{MODELS + 1} unchanged" in again.stderr


def test_a_difference_reaches_no_terminal_unescaped(tmp_path: Path) -> None:
    one, other = f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/other.db"
    with open_registry(one) as registry, open_registry(other):
        registry.create_registered_model("m\x1b[2J")
    found = Regctl(one).run("diff", one, other)
    assert (found.exit_code, "\x1b" in found.stdout) == (1, False)
    assert "m\\x1b[2J: only in the first" in found.stdout


class Backwards(MemoryStore):
    """A store that gives models in another order than that of their characters.

    It stands for a server of MLflow's whose database orders texts as a language does.
    """

    def search_registered_models(self, query: Query) -> Page[RegisteredModel]:
        page = super().search_registered_models(query)
        return Page(list(reversed(page.items)), page.next_page_token)


def test_models_are_compared_by_name_in_whatever_order_they_come() -> None:
    store, same = Backwards(), MemoryStore()
    for each in (store, same):
        fill(Registry(each), 3)
    pairs = compare(StoreSource(store), StoreSource(same))
    assert not [each for each in pairs if "only in" in each.difference]


def test_a_copy_follows_its_source_until_it_is_stopped(source: str, tmp_path: Path) -> None:
    """A writer makes, changes, renames and deletes models meanwhile; then both are the same."""
    target = f"sqlite:///{tmp_path}/target.db"
    heard = tmp_path / "said"
    with contextlib.ExitStack() as stack:
        copier = begin(heard, "copy", "--watch", "--interval", "0.2s", source, target)
        stack.callback(copier.kill)
        with open_registry(source) as writer, open_registry(target) as copied:
            eventually(lambda: names_of(copied) == names_of(writer))
            for number in range(5):
                writer.create_model_version("größe 1", source=f"s3://b/late{number}")
                writer.set_registered_model_alias("größe 2", "champion", 1 if number % 2 else 3)
            writer.create_registered_model("new")
            writer.delete_registered_model("größe 3")
            writer.rename_registered_model("größe 4", new_name="renamed")
            eventually(lambda: names_of(copied) == names_of(writer))
            writer.create_model_version("renamed", source="s3://b/after")
            writer.delete_registered_model("größe 5")
            writer.create_registered_model("größe 5")
        copier.send_signal(signal.SIGINT)
        code, said = copier.wait(120), heard.read_text()
        assert code == 0, said
    assert "Source and target are the same." in said
    assert "removed: größe 3" in said
    assert Regctl(source).ok("diff", source, target) == ""


@pytest.mark.long
def test_killed_at_twenty_points_a_copy_goes_on(source: str, tmp_path: Path) -> None:
    """At random ones, each counted from when the copy began to write; nothing is doubled then."""
    dice = random.Random(20)
    with open_registry(source) as registry:
        for number in range(300):
            registry.create_registered_model(f"more {number}")
            registry.create_model_version(f"more {number}", source="s3://b/1")
    began = time.monotonic()
    assert Regctl(source).run("copy", source, f"sqlite:///{tmp_path}/whole.db").exit_code == 0
    whole = time.monotonic() - began
    target, killed = f"sqlite:///{tmp_path}/target.db", 0
    while killed < 20:
        copying = begin(tmp_path / "said", "copy", source, target)
        try:
            copying.wait(whole * dice.uniform(0, 0.9))
        except subprocess.TimeoutExpired:
            copying.kill()
            copying.wait(120)
            killed += 1
            continue
        # It was through: the next one begins anew.
        (tmp_path / "target.db").unlink()
    assert Regctl(source).run("copy", source, target).exit_code == ExitCode.OK
    assert Regctl(source).run("diff", source, target).exit_code == ExitCode.OK
    again = Regctl(source).run("copy", source, target)
    assert f"{MODELS + 301} unchanged), 0 versions" in again.stderr
    files = [tmp_path / f"{name}.jsonl" for name in ("source", "target")]
    for url, file in zip((source, target), files, strict=True):
        Regctl(url).says("export", str(file))
    assert files[0].read_bytes() == files[1].read_bytes()
