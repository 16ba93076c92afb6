"""MLflow's own client and a server of two processes: events of prompts, and what both know."""

from __future__ import annotations

import os

import pytest

from services.receivers import Receiver
from services.registry_server import QUIET, WEBHOOKS_ON_LOOPBACK, RegistryServer

pytestmark = [
    # MLflow's own.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

EVENTS = [
    "prompt.created", "prompt_version.created", "prompt_tag.set", "prompt_tag.deleted",
    "prompt_version_tag.set", "prompt_version_tag.deleted", "prompt_alias.created",
    "prompt_alias.deleted",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with two workers over one database."""
    path = tmp_path_factory.mktemp("webhooks") / "registry.db"
    # One attempt each: what is tried again, and when, is tested without a client.
    settings = {**WEBHOOKS_ON_LOOPBACK, "REGISTRY_WEBHOOK_RETRIES": "0"}
    with RegistryServer(f"sqlite:///{path}", workers=2, environment=settings) as server:
        yield server


@pytest.fixture
def client(server, monkeypatch):
    """MLflow's client, which here repeats nothing."""
    for key, value in QUIET.items():
        monkeypatch.setitem(os.environ, key, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=server.url, registry_uri=server.url)


def test_every_event_of_a_prompt_is_told_to_the_client_s_webhook(client):
    """Whichever worker a call reaches, the webhook that another one created is known."""
    with Receiver() as receiver:
        hook = client.create_webhook("prompts", receiver.url, EVENTS, secret="s")
        models = client.create_webhook("models", receiver.url, ["model_version_tag.set"])
        steps = [
            (lambda: client.create_prompt("p", "d", {"u": "1"}), "prompt.created"),
            (lambda: client.create_prompt_version("p", "Hi {{x}}"), "prompt_version.created"),
            (lambda: client.set_prompt_tag("p", "k", "v"), "prompt_tag.set"),
            (lambda: client.delete_prompt_tag("p", "k"), "prompt_tag.deleted"),
            (lambda: client.set_prompt_version_tag("p", "1", "k", "v"), "prompt_version_tag.set"),
            (lambda: client.delete_prompt_version_tag("p", "1", "k"), "prompt_version_tag.deleted"),
            (lambda: client.set_prompt_alias("p", "prod", 1), "prompt_alias.created"),
            (lambda: client.delete_prompt_alias("p", "prod"), "prompt_alias.deleted"),
        ]
        assert [event for _, event in steps] == EVENTS
        for step, event in steps:
            step()
            got = receiver.next()
            assert got.event == event
            assert got.told["data"]["name"] == "p"
            assert got.is_signed_with("s")
        client.update_webhook(hook.webhook_id, status="DISABLED")
        client.set_prompt_tag("p", "k", "v")
        client.create_registered_model("m")
        client.create_model_version("m", "s3://b/p")
        client.set_model_version_tag("m", "1", "k", "v")
        got = receiver.next()
        assert got.told["data"] == {"name": "m", "version": "1", "key": "k", "value": "v"}
        assert receiver.got_nothing_more()
        for made in (hook, models):
            client.delete_webhook(made.webhook_id)


def test_test_webhook_of_the_client(client):
    """Success, refusal and silence as the client's own class shows them."""
    with Receiver() as receiver:
        hook = client.create_webhook("t", receiver.url, ["registered_model.created"], secret="s")
        result = client.test_webhook(hook.webhook_id, "prompt_version.created")
        assert (result.success, result.response_status, result.response_body) == (True, 200, "done")
        got = receiver.next()
        assert got.told["data"]["template"] == "Hello {{name}}!"
        assert got.is_signed_with("s")
    client.update_webhook(hook.webhook_id, url="http://nobody.invalid/")
    result = client.test_webhook(hook.webhook_id)
    assert (result.success, result.response_status) == (False, None)
    assert "Cannot resolve Webhook URL hostname 'nobody.invalid'" in result.error_message
    client.delete_webhook(hook.webhook_id)
