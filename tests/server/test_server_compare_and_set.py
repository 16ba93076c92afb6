"""Tags and stages that are compared and set over HTTP, and through the REST store."""

from __future__ import annotations

import json

import pytest

from registry_core import StaleValueError, UnsupportedBackendError, open_registry
from registry_core.requirements import SHOWN_CHARACTERS
from registry_core.stores.memory import MemoryStore
from registry_core.validation import TAG_VALUE_MAX_LENGTH
from services.in_process import InProcessServer
from services.live_server import LiveServer
from services.scripted_server import Response, ScriptedServer

JSON = [(b"content-type", b"application/json")]
MODEL = "/api/registry/v1/models/m"
VERSION = f"{MODEL}/versions/1"


@pytest.fixture
def server():
    with InProcessServer() as server:
        server.registry.create_registered_model("m")
        server.registry.create_model_version("m", source="s3://b/1")
        yield server


def send(server, method, path, **fields):
    return server.send(method, path.encode(), json.dumps(fields).encode(), JSON)


@pytest.mark.parametrize("owner", [MODEL, VERSION])
def test_a_tag_is_set_only_if_it_is_what_is_expected(server, owner):
    """A key may have slashes, and a value may be empty: that is not the same as absent."""
    tags, key = f"{owner}/tags", "team/risk: a.b"
    assert send(server, "PUT", tags, key=key, value="", if_absent=True).status == 200
    taken = send(server, "PUT", tags, key=key, value="v", if_absent=True)
    assert (taken.status, taken.json["error_code"], taken.json["current"]) == (409, "ABORTED", "")
    assert send(server, "PUT", tags, key=key, value="1", if_current="").status == 200
    late = send(server, "PUT", tags, key=key, value="2", if_current="")
    assert (late.status, late.json["current"]) == (409, "1")
    assert late.json["message"].endswith("of model 'm' is '1' and not ''")
    assert send(server, "PUT", tags, key=key, value="2").status == 200
    assert send(server, "DELETE", tags, key=key, if_current="1").status == 409
    assert send(server, "DELETE", tags, key=key, if_absent=True).status == 409
    assert send(server, "DELETE", tags, key=key, if_current="2").status == 200
    gone = send(server, "DELETE", tags, key=key, if_current="2")
    assert (gone.status, gone.json["current"]) == (409, None)
    assert send(server, "DELETE", tags, key=key, if_absent=True).status == 200


def test_a_stage_is_changed_only_from_the_one_that_is_expected(server):
    moved = send(server, "PUT", f"{VERSION}/stage", stage="Staging", if_current="None")
    assert (moved.status, moved.json["model_version"]["current_stage"]) == (200, "Staging")
    late = send(server, "PUT", f"{VERSION}/stage", stage="Production", if_current="None")
    assert (late.status, late.json["current"]) == (409, "Staging")
    assert late.json["message"] == (
        "The stage of version 1 of model 'm' is 'Staging' and not 'None'"
    )
    assert server.registry.get_model_version("m", 1).current_stage == "Staging"
    assert send(server, "PUT", f"{VERSION}/stage", stage="Production").status == 200


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("PUT", f"{MODEL}/tags", {"value": "v"}, 400),
        ("PUT", f"{MODEL}/tags", {"key": "../k", "value": "v"}, 400),
        ("PUT", f"{MODEL}/tags", {"key": "k", "value": "v", "if_current": 1}, 400),
        ("PUT", f"{MODEL}/tags", {"key": "k", "if_current": "v", "if_absent": True}, 400),
        ("PUT", f"{MODEL}/tags", {"key": "k", "value": "v" * 100_001}, 400),
        ("PUT", f"{MODEL}/versions/x/tags", {"key": "k", "value": "v"}, 400),
        ("PUT", f"{MODEL}/versions/2/tags", {"key": "k", "value": "v"}, 404),
        ("DELETE", f"{MODEL}/versions/2/tags", {"key": "k", "if_absent": True}, 404),
        ("PUT", "/api/registry/v1/models/absent/tags", {"key": "k", "if_absent": True}, 404),
        ("PUT", f"{VERSION}/stage", {}, 400),
        ("PUT", f"{VERSION}/stage", {"stage": "Prod"}, 400),
        ("PUT", f"{VERSION}/stage", {"stage": "Production", "if_current": "Prod"}, 400),
        ("PUT", f"{MODEL}/versions/2/stage", {"stage": "Staging", "if_current": "None"}, 404),
    ],
)
def test_what_cannot_be_meant_changes_nothing(server, method, path, fields, status):
    before = len(list(server.registry.history("m")))
    assert send(server, method, path, **fields).status == status
    assert len(list(server.registry.history("m"))) == before


def test_the_rest_store_loses_nothing_of_it():
    """Nor of the value that it was instead, whatever is in it and however long it is."""
    nasty = "x' and not 'y\n" + "\N{SNAKE}" * (TAG_VALUE_MAX_LENGTH - 14)
    with LiveServer() as server, open_registry(server.url) as registry:
        server.serve(MemoryStore())
        registry.create_registered_model("m")
        registry.create_model_version("m", source="s3://b/1")
        registry.set_registered_model_tag("m", "a/b", nasty, expected=None, reason="why")
        with pytest.raises(StaleValueError) as raised:
            registry.set_registered_model_tag("m", "a/b", "v", expected="w")
        assert raised.value.current == nasty
        assert len(str(raised.value)) < 2 * SHOWN_CHARACTERS
        registry.delete_registered_model_tag("m", "a/b", expected=nasty)
        registry.delete_registered_model_tag("m", "a/b", expected=None)
        registry.set_model_version_tag("m", 1, "a/b", "v", expected=None)
        with pytest.raises(StaleValueError):
            registry.delete_model_version_tag("m", 1, "a/b", expected="w")
        registry.delete_model_version_tag("m", 1, "a/b", expected="v")
        with pytest.raises(StaleValueError, match="is 'None' and not 'Staging'"):
            registry.transition_model_version_stage("m", 1, stage="Production", expected="Staging")
        moved = registry.transition_model_version_stage("m", 1, stage="Staging", expected="None")
        assert moved.current_stage == "Staging"
        registry.delete_registered_model_alias("m", "absent", expected=None)
        assert [*registry.history("m", newest_first=False)][2].reason == "why"


def test_mlflows_own_server_is_said_to_compare_nothing():
    not_found = Response(404, b'{"error_code": "ENDPOINT_NOT_FOUND", "message": "no"}')
    with ScriptedServer(not_found) as server, open_registry(server.url) as registry:
        for call in (
            lambda: registry.set_registered_model_tag("m", "k", "v", expected=None),
            lambda: registry.set_model_version_tag("m", 1, "k", "v", expected="w"),
            lambda: registry.transition_model_version_stage(
                "m", 1, stage="Staging", expected="None"
            ),
        ):
            with pytest.raises(UnsupportedBackendError, match="compares nothing"):
                call()


@pytest.mark.parametrize("body", [b'{"if_current": 1', b"\x00", b"null"])
def test_an_expectation_that_cannot_be_read_is_not_taken_for_none(server, body):
    """MLflow takes what is not JSON for an empty request; here that would drop a condition."""
    server.registry.set_registered_model_alias("m", "champion", 1)
    answer = server.send("DELETE", f"{MODEL}/aliases/champion".encode(), body, JSON)
    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert server.registry.get_registered_model("m").aliases == {"champion": 1}
