"""Approvals and gates over HTTP: our routes, MLflow's, another registry, and the pages."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from registry_core import Registry
from registry_core.errors import (
    ApprovalNotFoundError,
    ConflictError,
    GateRefusedError,
    NotPermittedError,
)
from registry_core.gates import parse_gates
from registry_core.store import approvals_of
from registry_core.stores.memory import MemoryStore
from registry_core.stores.rest import open_store
from registry_server import Settings, create_app
from services.in_process import InProcessServer
from services.pages_browser import Browser
from services.serving import serving_app

GATES = parse_gates({"gate": [{"name": "release", "aliases": ["champion"], "approvals": 1}]})
ALIAS = b"/api/2.0/mlflow/registered-models/alias"
APPROVALS = b"/api/registry/v1/models/churn/versions/1/approvals"
PEOPLE = ("ann", "bob")


@pytest.fixture
def registry() -> Registry:
    """A registry with a gate, and a model with two versions that ann has made."""
    registry = Registry(MemoryStore(), local_sources=False, gates=GATES)
    ann = registry.acting_as("ann")
    ann.create_registered_model("churn")
    for _ in range(2):
        ann.create_model_version("churn", source="s3://b/x")
    return registry


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a server with two users."""
    users = tmp_path / "users"
    users.write_text("".join(f"{name}:secret-{name}\n" for name in PEOPLE))
    users.chmod(0o600)
    return Settings(threads=2, auth_file=str(users))


@pytest.fixture
def server(registry: Registry, settings: Settings) -> Iterator[InProcessServer]:
    with InProcessServer(registry, settings) as server:
        yield server


def basic(name: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{name}:secret-{name}".encode())


def send(server: InProcessServer, who: str, method: str, path: bytes, **fields: Any) -> Any:
    """The answer to a request of a user."""
    headers = [(b"content-type", b"application/json"), (b"authorization", basic(who))]
    headers.append((b"x-registry-reason", b"looked at it"))
    body = b"" if method == "GET" else json.dumps(fields).encode()
    return server.send(method, path, body, headers)


def test_a_gate_refuses_over_http_in_the_shape_of_errors_and_with_a_code_of_its_own(
    server: InProcessServer, registry: Registry
) -> None:
    move = {"name": "churn", "alias": "champion", "version": "1"}
    refused = send(server, "ann", "POST", ALIAS, **move)
    assert refused.status == 409
    assert refused.json == {
        "error_code": "INVALID_STATE_TRANSITION",
        "message": "The alias 'champion' of model 'churn' cannot point at version 1, which needs 1 "
        "approval by others than ann and has 0",
        "missing": ["needs 1 approval by others than ann and has 0"],
    }
    assert registry.get_registered_model("churn").aliases == {}
    review = send(server, "bob", "GET", APPROVALS).json
    assert review["gates"][0]["missing"] == [
        "needs 1 approval by others than ann and bob and has 0"
    ]
    made = send(server, "bob", "POST", APPROVALS, digest=review["digest"])
    assert made.status == 200
    assert (
        made.json["approval"].items()
        >= {
            "version": 1,
            "actor": "bob",
            "is_authenticated": True,
            "reason": "looked at it",
        }.items()
    )
    assert send(server, "ann", "GET", APPROVALS).json["gates"][0]["missing"] == []
    assert send(server, "ann", "POST", ALIAS, **move).status == 200
    everything = send(server, "ann", "GET", b"/api/registry/v1/models/churn/approvals").json
    assert everything["approvals"] == [made.json["approval"]]
    assert send(server, "ann", "DELETE", APPROVALS).status == 404
    assert send(server, "bob", "DELETE", APPROVALS).status == 200
    wrong = send(server, "bob", "POST", APPROVALS, digest=f"sha256:{'0' * 64}")
    assert (wrong.status, wrong.json["error_code"]) == (409, "ABORTED")
    assert send(server, "bob", "POST", APPROVALS, digest="rubbish").status == 400


def test_who_has_no_name_approves_nothing(registry: Registry) -> None:
    with InProcessServer(registry) as server:
        answer = server.send("POST", APPROVALS, b"{}", [(b"content-type", b"application/json")])
        assert (answer.status, answer.json["error_code"]) == (403, "PERMISSION_DENIED")
    assert approvals_of(registry.store, "churn") == {}


def test_a_registry_behind_a_server_loses_nothing(
    registry: Registry, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving_app(create_app(registry, settings)) as serving:
        ann, bob = (
            Registry(open_store(f"http://{name}:secret-{name}@127.0.0.1:{serving.port}"))
            for name in PEOPLE
        )
        with pytest.raises(GateRefusedError) as refused:
            ann.set_registered_model_alias("churn", "champion", 1, expected=None)
        assert refused.value.missing == ("needs 1 approval by others than ann and has 0",)
        with pytest.raises(ApprovalNotFoundError):
            bob.withdraw_model_version_approval("churn", 1)
        approval = bob.approve_model_version("churn", 1, reason="AUC 0.91")
        assert (approval.actor, approval.is_authenticated) == ("bob", True)
        with pytest.raises(ConflictError):
            bob.approve_model_version("churn", 1, digest=f"sha256:{'0' * 64}")
        review = ann.review_model_version("churn", 1)
        assert (review.approvals, review.digest) == ((approval,), approval.digest)
        assert [verdict.passes for verdict in review.verdicts] == [True]
        ann.set_registered_model_alias("churn", "champion", 1)
        assert ann.snapshot("churn") == registry.snapshot("churn")
        with pytest.raises(NotPermittedError):
            ann.restore(ann.snapshot("churn"), on_conflict="replace")
        assert ann.verify_history("churn").problems == ()
        bob.withdraw_model_version_approval("churn", 1)
        assert approvals_of(registry.store, "churn") == {}
        for each in (ann, bob):
            each.close()


def test_a_version_is_approved_on_its_page_and_the_alias_moved(
    server: InProcessServer, registry: Registry
) -> None:
    ann, bob = Browser(server), Browser(server)
    for browser, name in ((ann, "ann"), (bob, "bob")):
        browser.headers["authorization"] = basic(name).decode()
    page = "/models/churn/versions/1"
    assert "needs 1 approval by others than ann and has 0" in ann.page(page).text
    refused = ann.submit(
        ann.form("/models/churn/aliases", "/aliases"), alias="champion", version="1"
    )
    assert refused.status == 409
    assert "cannot point at version 1" in refused.body.decode()
    answer = bob.submit(bob.form(page, "/approvals"), reason="AUC 0.91")
    assert answer.status == 303
    (approval,) = approvals_of(registry.store, "churn")[1]
    assert (approval.actor, approval.reason, approval.is_authenticated) == ("bob", "AUC 0.91", True)
    seen = ann.page(page)
    assert "passes" in seen.text
    assert "AUC 0.91" in seen.text
    ann.submit(ann.form("/models/churn/aliases", "/aliases"), alias="champion", version="1")
    assert registry.get_registered_model("churn").aliases == {"champion": 1}
    history = ann.page("/models/churn/history").text
    assert "passed the gate release for champion with version 1 (approved by bob)" in history
    assert "bob approved version 1" in history
    bob.submit(bob.form(page, "/withdraw"))
    assert approvals_of(registry.store, "churn") == {}


def test_a_form_approves_what_its_page_has_shown(
    server: InProcessServer, registry: Registry
) -> None:
    bob = Browser(server)
    bob.headers["authorization"] = basic("bob").decode()
    form = bob.form("/models/churn/versions/1", "/approvals")
    registry.set_model_version_tag("churn", 1, "mlflow.prompt.text", "another text")
    refused = bob.submit(form)
    assert refused.status == 409
    assert "look at it again" in refused.body.decode()
    assert approvals_of(registry.store, "churn") == {}


def test_pages_without_gates_and_approvals_do_not_speak_of_them() -> None:
    registry = Registry(MemoryStore())
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/x")
    with InProcessServer(registry) as server:
        assert "Approvals" not in Browser(server).page("/models/churn/versions/1").text


ACCESS = """
[user.ann]
tokens = ["sha256:{ann}"]
[user.bob]
groups = ["leads"]
tokens = ["sha256:{bob}"]
[user.cid]
tokens = ["sha256:{cid}"]
[[grant]]
users = ["ann", "cid"]
role = "writer"
[[grant]]
users = ["bob"]
permissions = ["read", "approve"]
[[gate]]
name = "release"
aliases = ["champion"]
approvals = 1
approvers = ["leads"]
"""


def bearer(server: InProcessServer, who: str, method: str, path: bytes, **fields: Any) -> Any:
    """The answer to a request of a user with a token."""
    headers = [
        (b"content-type", b"application/json"),
        (b"authorization", f"Bearer token-{who}".encode()),
    ]
    return server.send(method, path, json.dumps(fields).encode(), headers)


def test_gates_of_an_access_file_hold_and_change_with_it(tmp_path: Path) -> None:
    """Its groups say whose approvals count, and its grants who may approve."""
    digests = {
        who: hashlib.sha256(f"token-{who}".encode()).hexdigest() for who in ("ann", "bob", "cid")
    }
    access = tmp_path / "access.toml"
    text = ACCESS.format(**digests)
    access.write_text(text)
    access.chmod(0o600)
    registry = Registry(MemoryStore(), local_sources=False)
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/x")
    settings = Settings(threads=2, access_file=str(access))
    move = {"name": "churn", "alias": "champion", "version": "1"}
    with InProcessServer(registry, settings) as server:
        assert bearer(server, "cid", "POST", APPROVALS).status == 200
        refused = bearer(server, "ann", "POST", ALIAS, **move)
        assert (refused.status, refused.json["error_code"]) == (409, "INVALID_STATE_TRANSITION")
        approval = bearer(server, "bob", "POST", APPROVALS).json["approval"]
        assert (approval["actor"], approval["groups"]) == ("bob", ["leads"])
        assert bearer(server, "bob", "POST", ALIAS, **move).status == 403
        assert bearer(server, "ann", "POST", ALIAS, **move).status == 200
        assert bearer(server, "ann", "DELETE", ALIAS, name="churn", alias="champion").status == 200
        replace(access, f"{text}\n[[gate]]\naliases = ['champion']\nmin_age_seconds = 9999\n")
        until(lambda: len(registry.gates.rules) == 2)
        assert bearer(server, "ann", "POST", ALIAS, **move).status == 409
        replace(access, "[[gate]]\nalias = 'champion'\n")
        replace(access, text)
        until(lambda: len(registry.gates.rules) == 1)
        assert bearer(server, "ann", "POST", ALIAS, **move).status == 200


def test_the_form_is_for_who_may_approve_whatever_else_he_may(tmp_path: Path) -> None:
    """Bob may approve and change nothing, and dan the other way round."""
    digests = {
        who: hashlib.sha256(f"token-{who}".encode()).hexdigest()
        for who in ("ann", "bob", "cid", "dan")
    }
    access = tmp_path / "access.toml"
    access.write_text(
        ACCESS.format(**digests)
        + f"""
[user.dan]
tokens = ["sha256:{digests["dan"]}"]
[[grant]]
users = ["dan"]
permissions = ["read", "edit"]
"""
    )
    access.chmod(0o600)
    registry = Registry(MemoryStore(), local_sources=False)
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/x")
    page = "/models/churn/versions/1"
    settings = Settings(threads=2, access_file=str(access))
    with InProcessServer(registry, settings) as server:
        bob, dan = Browser(server), Browser(server)
        for browser, name in ((bob, "bob"), (dan, "dan")):
            browser.headers["authorization"] = f"Bearer token-{name}"
        assert "Approve it" not in dan.page(page).text
        assert "Edit the description" not in bob.page(page).text
        assert bob.submit(bob.form(page, "/approvals")).status == 303
        (approval,) = approvals_of(registry.store, "churn")[1]
        assert approval.actor == "bob"
    with InProcessServer(registry, attrs.evolve(settings, read_only_pages=True)) as server:
        bob = Browser(server)
        bob.headers["authorization"] = "Bearer token-bob"
        assert "Approve it" not in bob.page(page).text


def replace(path: Path, text: str) -> None:
    """Puts another file in the place of one, as editors do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.rename(path)


def until(holds: Callable[[], bool]) -> None:
    """Waits for what a thread does soon."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
