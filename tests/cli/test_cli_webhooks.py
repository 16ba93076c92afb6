"""`regctl webhooks`: on a store, and through a server."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from cryptography.fernet import Fernet

from cli.invoking import Regctl
from registry_core import open_registry
from registry_core.outbox import outbox_of
from services.receivers import Receiver
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer

ALIASES = ("--event", "model_version_alias.created", "--event", "MODEL_VERSION_ALIAS.DELETED")


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/registry.db"
    open_registry(url).close()
    return url


@pytest.fixture
def regctl(url: str, monkeypatch: pytest.MonkeyPatch) -> Regctl:
    monkeypatch.setenv("REGISTRY_WEBHOOK_SCHEMES", "http")
    monkeypatch.setenv("REGISTRY_WEBHOOK_PRIVATE_ADDRESSES", "true")
    return Regctl(url)


def create(regctl: Regctl, *options: str, to: str = "http://127.0.0.1:9/hook") -> str:
    """The id of a new webhook for aliases."""
    (webhook_id,) = regctl.names("webhooks", "create", "ci", "--url", to, *ALIASES, *options)
    return webhook_id


def test_webhook_is_created_shown_changed_and_deleted(regctl: Regctl) -> None:
    webhook_id = create(regctl, "--description", "CI")
    shown = regctl.json("webhooks", "get", webhook_id)["webhook"]
    assert (shown["name"], shown["status"], shown["description"]) == ("ci", "ACTIVE", "CI")
    assert len(shown["events"]) == 2
    regctl.ok(
        "webhooks", "update", webhook_id, "--disabled", "--description", "",
        "--event", "registered_model.created",
    )  # fmt: skip
    table = regctl.ok("webhooks", "list")
    assert "DISABLED" in table
    assert "registered_model.created" in table
    assert "alias" not in table
    assert "Deleted webhook 'ci'" in regctl.says("webhooks", "delete", webhook_id, "--yes")
    assert regctl.run("webhooks", "get", webhook_id).exit_code == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "ci", "--url", "http://127.0.0.1/", "--event", "nothing.created"),
        ("create", "ci", "--url", "http://127.0.0.1/", "--event", "registered_model.melted"),
        ("create", "ci", "--url", "ftp://127.0.0.1/", *ALIASES),
        ("create", "ci", *ALIASES),
        ("redeliver", "x"),
        ("redeliver", "x", "y", "--all"),
    ],
)
def test_what_cannot_be_meant_is_refused(regctl: Regctl, arguments: tuple[str, ...]) -> None:
    """With the exit code of a wrong call, and nothing is created."""
    assert regctl.run("webhooks", *arguments).exit_code == 2
    assert regctl.names("webhooks", "list") == []


def test_url_is_judged_as_a_server_would(regctl: Regctl, monkeypatch: pytest.MonkeyPatch) -> None:
    """Private addresses are for those who have allowed them."""
    monkeypatch.delenv("REGISTRY_WEBHOOK_PRIVATE_ADDRESSES")
    refused = regctl.run("webhooks", "create", "ci", "--url", "http://127.0.0.1/", *ALIASES)
    assert refused.exit_code == 2
    assert "non-public" in refused.stderr


def test_secret_is_read_from_a_file_and_never_shown(
    regctl: Regctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secret"
    file.write_text("correct horse\n")
    keyless = regctl.run("webhooks", "create", "ci", "--url", "http://h/", *ALIASES,
                         "--secret-file", str(file))  # fmt: skip
    assert (keyless.exit_code, "REGISTRY_WEBHOOK_SECRET_KEY" in keyless.stderr) == (2, True)
    monkeypatch.setenv("REGISTRY_WEBHOOK_SECRET_KEY", Fernet.generate_key().decode())
    webhook_id = create(regctl, "--secret-file", str(file))
    assert "horse" not in regctl.ok("webhooks", "get", webhook_id)
    with open_registry(regctl.store) as registry:
        assert registry.store.get_webhook(webhook_id).secret not in (None, "correct horse")


def test_deliveries_are_shown_and_made_again(regctl: Regctl) -> None:
    """What waits, what was given up and why; and the latter is queued anew."""
    webhook_id = create(regctl)
    regctl.ok("models", "create", "churn")
    regctl.ok("versions", "create", "churn", "s3://bucket/1")
    for alias in ("champion", "challenger"):
        regctl.says("models", "alias", "churn", alias, "1")
    with open_registry(regctl.store) as registry:
        outbox = outbox_of(registry.store)
        (taken,) = outbox.take(webhook_id, limit=9, lease_seconds=60)
        outbox.dead(attrs.evolve(taken, failures=4), problem="status 503")
    dead, queued = regctl.json("webhooks", "deliveries", webhook_id)["deliveries"]
    assert (dead["problem"], dead["failures"], dead["event"]["key"]) == (
        "status 503",
        4,
        "champion",
    )
    assert (queued["problem"], queued["event"]["key"]) == (None, "challenger")
    table = regctl.ok("webhooks", "deliveries", webhook_id)
    assert "given up" in table
    assert "queued" in table
    assert regctl.names("webhooks", "deliveries", webhook_id, "--dead") == [dead["delivery_id"]]
    unknown = regctl.run("webhooks", "redeliver", webhook_id, "unknown")
    assert (unknown.exit_code, unknown.stderr) == (1, "Queued 0 of 1 deliveries.\n")
    said = regctl.says("webhooks", "redeliver", webhook_id, "--all")
    assert said == "Queued 1 of 1 deliveries.\n"
    assert regctl.names("webhooks", "deliveries", webhook_id, "--dead") == []
    assert regctl.run("webhooks", "deliveries", "unknown").exit_code == 3
    assert regctl.run("webhooks", "test", webhook_id).exit_code == 1


def test_all_of_it_goes_through_a_server(url: str) -> None:
    """Which sends samples, too, and makes a delivery again at once."""
    settings = {**WEBHOOKS_ON_LOOPBACK, "REGISTRY_WEBHOOK_RETRIES": "0"}
    with RegistryServer(url, environment=settings) as server:
        regctl = Regctl(server.url)
        with Receiver() as receiver:
            webhook_id = create(regctl, to=receiver.url)
            result = regctl.ok("-o", "json", "webhooks", "test", webhook_id)
            assert json.loads(result)["response_status"] == 200
            assert receiver.next().event == "model_version_alias.created"
        failed = regctl.run("webhooks", "test", webhook_id)
        assert (failed.exit_code, "Connection" in failed.stdout) == (1, True)
        regctl.ok("models", "create", "churn")
        regctl.ok("versions", "create", "churn", "s3://bucket/1")
        regctl.says("models", "alias", "churn", "champion", "1")
        dead: list[str] = []
        while not dead:
            dead = regctl.names("webhooks", "deliveries", webhook_id, "--dead")
        with Receiver() as receiver:
            regctl.ok("webhooks", "update", webhook_id, "--url", receiver.url)
            assert "1 of 1" in regctl.says("webhooks", "redeliver", webhook_id, *dead)
            assert receiver.next().headers["x-mlflow-delivery-id"] == dead[0]
