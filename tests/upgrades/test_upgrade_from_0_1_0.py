"""What release 0.1.0 kept is all there after an upgrade, and has a history from then on."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

from registry_core import Registry, open_registry
from registry_core.errors import SchemaOutOfDateError
from registry_core.stores.sql import upgrade
from services import s3

KEPT = Path(__file__).parent / "0.1.0"
ROOT = "@ROOT@"

STORES = ("sqlite", "postgresql", "bucket")


@attrs.frozen
class Kept:
    """A registry of that release, restored, and what the release said of it."""

    url: str
    root: str
    answers: dict[str, Any]

    @property
    def has_schema(self) -> bool:
        """Whether it is a database."""
        return not self.url.startswith("s3:")


def read(name: str, root: str) -> str:
    """A file that the release left, for a root at another place."""
    return (KEPT / name).read_text().replace(ROOT, root)


def restore_files(kind: str, root: Path) -> None:
    """The files of versions."""
    for path, text in json.loads((KEPT / f"{kind}-root.json").read_text()).items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(base64.b64decode(text))


def restore_bucket(server: Any, prefix: str) -> None:
    """Every object, below another prefix than the one of then."""
    client = server.client()
    for key, text in json.loads((KEPT / "bucket.json").read_text()).items():
        body = base64.b64decode(text).replace(b"registry-test/team/", moved(prefix).encode())
        client.put_object(
            Bucket=s3.bucket_name(), Key=key.replace("team/", f"{prefix}/", 1), Body=body
        )


def moved(prefix: str) -> str:
    return f"{s3.bucket_name()}/{prefix}/"


@pytest.fixture(params=STORES)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """What the release left in a store of each kind."""
    kind, root = request.param, (tmp_path / "root").as_uri()
    if kind == "bucket":
        server, prefix = (request.getfixturevalue(name) for name in ("s3_server", "s3_prefix"))
        restore_bucket(server, prefix)
        text = read("bucket-answers.json", root).replace("registry-test/team/", moved(prefix))
        url = s3.store_url(server.endpoint_url, prefix)
        return Kept(url, f"s3://{moved(prefix)}artifacts", json.loads(text))
    restore_files(kind, tmp_path / "root")
    dump = read(f"{kind}.sql", root)
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'registry.db'}"
        with contextlib.closing(sqlite3.connect(tmp_path / "registry.db")) as connection:
            connection.executescript(dump)
    else:
        url = request.getfixturevalue("empty_postgres_url")
        with psycopg.connect(url) as connection:
            connection.execute(dump)
    return Kept(url, root, json.loads(read(f"{kind}-answers.json", root)))


@pytest.fixture
def registry(kept: Kept) -> Iterator[Registry]:
    """The registry after the upgrade."""
    if kept.has_schema:
        upgrade(kept.url)
    root = None if kept.url.startswith("s3:") else kept.root
    with open_registry(kept.url, artifacts=root) as registry:
        yield registry.acting_as("ann")


def as_then(entity: Any, said: dict[str, Any]) -> dict[str, Any]:
    """The fields of an entity that the release knew, as its answers spell them."""
    now = json.loads(json.dumps(attrs.asdict(entity), default=str, sort_keys=True))
    return {
        key: [as_then_value(each, then) for each, then in zip(now[key], value, strict=True)]
        if isinstance(value, list)
        else now[key]
        for key, value in said.items()
    }


def as_then_value(now: Any, said: Any) -> Any:
    return {key: now[key] for key in said} if isinstance(said, dict) else now


def test_everything_answers_as_before(kept: Kept, registry: Registry) -> None:
    """Models, prompts, versions, searches, download URIs and webhooks, field for field."""
    said = kept.answers
    models = [*registry.iter_registered_models()]
    assert [as_then(m, s) for m, s in zip(models, said["models"], strict=True)] == said["models"]
    prompts = [*registry.iter_registered_models("tags.`mlflow.prompt.is_prompt` = 'true'")]
    assert [as_then(p, s) for p, s in zip(prompts, said["prompts"], strict=True)] == said["prompts"]
    versions = [*registry.iter_model_versions()]
    shown = [as_then(v, s) for v, s in zip(versions, said["versions"], strict=True)]
    assert shown == said["versions"]
    found = registry.iter_model_versions("tags.number = '5'")
    assert [version.version for version in found] == said["of a tag"]
    for place, uri in said["uris"].items():
        assert registry.get_model_version_download_uri(*place.rsplit("/", 1)) == uri
    webhooks = registry.webhooks.list_webhooks()
    shown = [as_then(w, s) for w, s in zip(webhooks, said["webhooks"], strict=True)]
    assert shown == said["webhooks"]


def test_files_are_whole_and_nothing_is_damaged(registry: Registry, tmp_path: Path) -> None:
    """Pulled and verified by the manifest of then."""
    registry.pull_model_version("多言語", 2, tmp_path / "pulled")
    assert (tmp_path / "pulled" / "data" / "weights ü.bin").read_bytes() == bytes(range(256)) * 8
    report = registry.fsck()
    assert report.findings == ()
    assert report.clean
    assert sum(report.checked.values()) > 20


def test_changes_go_on_where_the_release_stopped(registry: Registry) -> None:
    """Numbers are not given again, and the first change knows what was before it."""
    assert registry.create_model_version("churn", source="s3://elsewhere/8").version == 8
    registry.set_registered_model_alias("churn", "champion", 8, expected=3, reason="better")
    newest = next(iter(registry.history("churn")))
    assert (newest.before, newest.after, newest.actor, newest.reason) == (3, 8, "ann", "better")
    registry.rollback_registered_model_alias("churn", "champion")
    assert registry.get_model_version_by_alias("churn", "champion").version == 3
    for name in ("churn", "after", "empty", "greeting"):
        registry.set_registered_model_tag(name, "seen", "yes")
        assert registry.verify_history(name).problems == ()
    registry.delete_registered_model("after")
    registry.restore_registered_model("after")
    assert registry.get_model_version_by_alias("after", "b").source == "dbfs:/x"


@pytest.mark.parametrize("kept", ["sqlite", "postgresql"], indirect=True)
def test_a_database_is_not_opened_before_its_upgrade(kept: Kept) -> None:
    """And the error says what to do."""
    with pytest.raises(SchemaOutOfDateError, match="regctl db upgrade"):
        open_registry(kept.url, artifacts=kept.root).get_registered_model("churn")
