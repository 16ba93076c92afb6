"""Webhooks in a copy: with everything but their secrets, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.invoking import Regctl
from registry_cli.errors import ExitCode
from registry_core import open_registry
from registry_core.errors import NotPermittedError
from registry_core.models import (
    NewWebhook,
    Webhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.stores.memory import MemoryStore
from services.live_server import LiveServer

EVENTS = (
    WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED),
    WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.RENAMED),
)
SECRET_URL = "http://10.0.0.1/hook?token=hidden"


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A registry with two webhooks, one with a secret; their hosts are in another network."""
    url = f"sqlite:///{tmp_path}/source.db"
    with open_registry(url) as registry:
        store = registry.store
        new = NewWebhook(
            webhook_id="one", name="ci", url=SECRET_URL, events=EVENTS, description="d"
        )
        store.create_webhook(new)
        other = NewWebhook(
            webhook_id="two",
            name="chat",
            url="https://chat.invalid/x",
            events=EVENTS[:1],
            status=WebhookStatus.DISABLED,
            secret="sealed",
        )
        store.create_webhook(other)
    return url


@pytest.fixture(params=["sqlite", "server"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """One that keeps ids, and one that gives its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/target.db"
        return
    with LiveServer() as server:
        server.serve(MemoryStore())
        yield server.url


def test_webhooks_come_along_without_their_secrets(source: str, target: str) -> None:
    regctl = Regctl(source)
    would = regctl.run("copy", "--dry-run", source, target)
    assert "Would be: 2 webhooks (2 copied)" in would.stderr
    first = regctl.run("copy", source, target)
    assert (first.exit_code, "2 webhooks (2 copied)" in first.stderr) == (0, True), first.stderr
    assert "without their secrets" in first.stderr
    with open_registry(target, create=False) as registry:
        found = {hook.name: hook for hook in registry.store.list_webhooks()}
    assert {*found} == {"ci", "chat"}
    assert set(found["ci"].events) == set(EVENTS)
    assert (found["ci"].url, found["ci"].description) == (SECRET_URL, "d")
    assert (found["chat"].status, found["chat"].secret) == (WebhookStatus.DISABLED, None)
    assert regctl.run("diff", source, target).exit_code == ExitCode.OK
    again = regctl.run("copy", source, target)
    assert (again.exit_code, "2 webhooks (2 unchanged)" in again.stderr) == (0, True)


def test_a_change_is_followed_unless_others_have_changed_the_copy(
    source: str, tmp_path: Path
) -> None:
    target, regctl = f"sqlite:///{tmp_path}/target.db", Regctl(source)
    assert regctl.run("copy", source, target).exit_code == ExitCode.OK
    with open_registry(source) as registry:
        registry.store.update_webhook("one", WebhookChanges(url="https://new.invalid/?t=hidden"))
    differs = regctl.run("diff", source, target)
    assert (differs.exit_code, differs.stdout) == (1, "webhook 'ci' (one): url differs\n")
    updated = regctl.run("copy", source, target)
    assert (updated.exit_code, "1 unchanged, 1 updated" in updated.stderr) == (0, True)
    with open_registry(target) as registry:
        # As who gives the copy the secret that it came without.
        changes = WebhookChanges(secret="given")
        registry.store.update_webhook("one", changes)
    with open_registry(source) as registry:
        registry.store.update_webhook("one", WebhookChanges(status=WebhookStatus.DISABLED))
    again = regctl.run("copy", source, target)
    assert (again.exit_code, "1 unchanged, 1 updated" in again.stderr) == (0, True), again.stderr
    with open_registry(target) as registry:
        registry.store.update_webhook("one", WebhookChanges(description="mine"))
    with open_registry(source) as registry:
        registry.store.update_webhook("one", WebhookChanges(status=WebhookStatus.ACTIVE))
    for policy, word in (("fail", "failed"), ("skip", "skipped")):
        kept = regctl.run("copy", "--on-conflict", policy, source, target)
        assert kept.exit_code == ExitCode.INCOMPLETE
        assert (
            f"{word}: webhook 'ci' (one): others have changed it in the target: description, status"
            in (kept.stderr)
        )
    replaced = regctl.run("copy", "--on-conflict", "replace", source, target)
    assert (replaced.exit_code, "1 replaced" in replaced.stderr) == (0, True)
    with open_registry(target) as registry:
        found = registry.store.get_webhook("one")
    assert (found.status, found.description, found.secret) == (WebhookStatus.ACTIVE, "d", "given")


def test_a_copy_follows_every_change_of_its_source(source: str, target: str) -> None:
    """What it has written itself is nobody else's change, also on a server."""
    regctl = Regctl(source)
    regctl.run("copy", source, target)
    for number in range(3):
        with open_registry(source) as registry:
            registry.store.update_webhook("one", WebhookChanges(events=EVENTS[1 - number % 2 :]))
            registry.store.update_webhook("two", WebhookChanges(description=str(number)))
        done = regctl.run("copy", source, target)
        assert (done.exit_code, "2 webhooks (2 updated)" in done.stderr) == (0, True), done.stderr
    assert regctl.run("diff", source, target).exit_code == ExitCode.OK


class _WithoutPermission(MemoryStore):
    """As a server shows it to a caller without the permission `webhooks`."""

    def list_webhooks(self) -> list[Webhook]:
        raise NotPermittedError("ann may not webhooks")


def test_what_may_not_be_seen_is_not_compared_and_said(source: str) -> None:
    """The exit code is that of what was compared, also after a copy without them."""
    with LiveServer() as server:
        server.serve(_WithoutPermission())
        regctl = Regctl(source)
        done = regctl.run("diff", source, server.url)
        assert (done.exit_code, done.stdout) == (ExitCode.OK, "")
        assert "Webhooks were not compared: ann may not webhooks" in done.stderr
        regctl.run("models", "create", "m")
        assert regctl.run("diff", source, server.url).exit_code == ExitCode.ERROR
        copied = regctl.run("copy", "--no-webhooks", source, server.url)
        assert copied.exit_code == ExitCode.OK
        copied = regctl.run("copy", source, server.url)
        assert (copied.exit_code, "Webhooks were not compared" in copied.stderr) == (
            ExitCode.INCOMPLETE,
            True,
        )


def test_webhooks_stay_behind_on_demand_and_with_a_filter(source: str, tmp_path: Path) -> None:
    target, regctl = f"sqlite:///{tmp_path}/target.db", Regctl(source)
    for options in (("--no-webhooks",), ("--filter", "name = 'x'")):
        done = regctl.run("copy", *options, source, target)
        assert (done.exit_code, "2 webhooks" in done.stderr) == (0, False)
        assert regctl.run("diff", *options, source, target).exit_code == ExitCode.OK
    assert regctl.run("diff", source, target).exit_code == ExitCode.ERROR
