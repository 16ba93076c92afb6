"""Write what release 0.1.0 keeps of one registry: each kind of store, and its artifact root.

Needs that release and the services of its tests (`PYTHONPATH=<its checkout>/tests`), and a
`pg_dump` with the server of the same version in `REGISTRY_TEST_POSTGRES_BIN`. The files beside
this module are its output; nothing else has to run it again.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import boto3

from registry_core import Registry, models
from registry_core.backends import open_artifacts, open_store
from services import postgres, s3

ROOT = "@ROOT@"
"""Stands for the URL of the artifact root, which is restored somewhere else."""

LARGE = "A long card.\n" * 400
"""A description that a document in a bucket keeps beside itself."""

TRICKY = "Grüße \"quoted\" 'twice' 50%"

HERE = Path(__file__).parent / "0.1.0"


def fill(registry: Registry, folder: Path) -> None:
    """Everything that a registry of that release can have."""
    for name in ("churn", TRICKY, "empty", "gone", "before", "多言語"):
        text = None if name == "empty" else f"About {name}\n"
        tags = {"team": "risk", "k ey": "ü\n\\\"'"}
        registry.create_registered_model(name, description=text, tags=tags)
    registry.update_registered_model("churn", description=LARGE)
    fill_versions(registry)
    registry.create_model_version("多言語", source="models:/churn@champion")
    registry.create_model_version("多言語", source=os.fspath(folder), tags={"pushed": "yes"})
    registry.set_registered_model_alias("多言語", "champion", 2)
    registry.delete_registered_model_tag("empty", "team")
    registry.delete_registered_model_tag("empty", "k ey")
    registry.delete_registered_model("gone")
    registry.create_model_version("before", source="dbfs:/x", description="of the renamed")
    registry.set_registered_model_alias("before", "b", 1)
    registry.rename_registered_model("before", new_name="after")
    prompt = {"mlflow.prompt.is_prompt": "true"}
    registry.create_registered_model("greeting", tags=prompt)
    text = {"mlflow.prompt.text": "Hello {{ name }}, ü"}
    registry.create_model_version("greeting", source="prompt-template", tags={**prompt, **text})
    registry.set_registered_model_alias("greeting", "live", 1)
    registry.store.create_webhook(
        models.NewWebhook(
            webhook_id="0b6c1c4e-0000-4000-8000-000000000001",
            name="to chat",
            url="https://chat.example/hook",
            events=(
                models.WebhookEvent(
                    models.WebhookEntity.MODEL_VERSION, models.WebhookAction.CREATED
                ),
            ),
            description="tells of versions",
        )
    )


def fill_versions(registry: Registry) -> None:
    """Seven versions with two gaps, in stages, with tags and aliases."""
    for number in range(1, 8):
        registry.create_model_version(
            "churn",
            source=f"s3://elsewhere/{number}",
            run_id="r1" if number % 2 else None,
            run_link="https://runs.example/1" if number == 1 else None,
            model_id="m-1" if number == 2 else None,
            tags={"number": str(number)} if number % 3 else {},
            description="the fifth" if number == 5 else None,
            user_id="ann",
        )
    registry.delete_model_version("churn", 7)
    registry.delete_model_version("churn", 4)
    registry.transition_model_version_stage("churn", 3, stage="Production")
    registry.transition_model_version_stage("churn", 2, stage="Archived")
    registry.set_registered_model_alias("churn", "champion", 3)
    registry.set_registered_model_alias("churn", "challenger", 6)


def answers(registry: Registry) -> dict[str, Any]:
    """What the release says of all of it; times differ from store to store and stay with each."""
    versions = [*registry.iter_model_versions()]
    prompts = "tags.`mlflow.prompt.is_prompt` = 'true'"
    return {
        "models": [attrs.asdict(model) for model in registry.iter_registered_models()],
        "prompts": [attrs.asdict(each) for each in registry.iter_registered_models(prompts)],
        "versions": [attrs.asdict(version) for version in versions],
        "of a tag": [v.version for v in registry.iter_model_versions("tags.number = '5'")],
        "uris": {
            f"{v.name}/{v.version}": registry.get_model_version_download_uri(v.name, v.version)
            for v in versions
        },
        "webhooks": [attrs.asdict(webhook) for webhook in registry.store.list_webhooks()],
    }


@contextlib.contextmanager
def filled(store: str, root: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The answers of a registry that was filled, and is closed then."""
    with Registry(open_store(store), artifacts=open_artifacts(root)) as registry:
        fill(registry, folder)
        found = answers(registry)
    yield found


def written(kind: str, kept: Any, said: dict[str, Any], root: str) -> None:
    """Files of one kind of store, with the root's place left open."""
    text = kept if isinstance(kept, str) else json.dumps(kept, indent=1, sort_keys=True)
    suffix = "sql" if isinstance(kept, str) else "json"
    HERE.mkdir(exist_ok=True)
    (HERE / f"{kind}.{suffix}").write_text(text.replace(root, ROOT))
    said_text = json.dumps(said, indent=1, sort_keys=True, default=str, ensure_ascii=False)
    (HERE / f"{kind}-answers.json").write_text(said_text.replace(root, ROOT) + "\n")


def tree(root: Path) -> dict[str, str]:
    """Every file below a folder, in base 64."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): base64.b64encode(path.read_bytes()).decode()
        for path in files
    }


def of_sqlite(home: Path, folder: Path) -> None:
    """The embedded default, and the files beside it."""
    root = f"file://{home}/root"
    with filled(f"sqlite:///{home}/r.db", root, folder) as said:
        with contextlib.closing(sqlite3.connect(home / "r.db")) as connection:
            written("sqlite", "\n".join(connection.iterdump()) + "\n", said, root)
        (HERE / "sqlite-root.json").write_text(json.dumps(tree(home / "root"), indent=1) + "\n")


def of_postgresql(home: Path, folder: Path) -> None:
    """A database as `pg_dump` writes it."""
    root = f"file://{home}/pgroot"
    server = postgres.PostgresServer()
    server.start()
    with filled(server.url(), root, folder) as said:
        program = Path(os.environ["REGISTRY_TEST_POSTGRES_BIN"]) / "pg_dump"
        command = [program, "--inserts", "--no-owner", "--no-privileges", server.url()]
        dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        sql = re.sub(r"(?m)^(--.*|\\(un)?restrict .*)?\n", "", dump)
        written("postgresql", sql, said, root)
        (HERE / "postgresql-root.json").write_text(
            json.dumps(tree(home / "pgroot"), indent=1) + "\n"
        )
    server.stop()


def of_bucket(home: Path, folder: Path) -> None:
    """Every object of a bucket, the files of versions among them."""
    server = s3.S3Server(home)
    server.start()
    os.environ.update(server.environment())
    url = s3.store_url(server.endpoint_url, "team")
    root = url.replace("team", "team/artifacts")
    client = boto3.client("s3", endpoint_url=server.endpoint_url)
    client.create_bucket(Bucket=s3.BUCKET)
    with filled(url, root, folder) as said:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=s3.BUCKET)
        keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        kept = {}
        for key in sorted(keys):
            body = client.get_object(Bucket=s3.BUCKET, Key=key)["Body"].read()
            kept[key] = base64.b64encode(body).decode()
        written("bucket", kept, said, "nothing to leave open")
    server.kill()


def main() -> None:
    """Write all files."""
    home = Path(tempfile.mkdtemp())
    folder = home / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\nmodel_uuid: 1\n")
    (folder / "data").mkdir()
    (folder / "data" / "weights ü.bin").write_bytes(bytes(range(256)) * 8)
    for keep in (of_sqlite, of_postgresql, of_bucket):
        keep(home, folder)
        print(keep.__name__, file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
