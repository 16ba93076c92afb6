"""The HTTP habits of MLflow's clients in other languages, as requests of one table.

None of these clients runs here. What they send is known: the Java client has Apache's HTTP client or
the JDK's and writes protobuf's JSON, the R client has curl and writes what a list of R becomes, and
programs in Go have `net/http`. Each row is one request, byte by byte, and what has to come back.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import attrs
import pytest

from services.artifacts import memory_registry, serving

V = "/api/2.0/mlflow"
OLD = "/api/2.0/preview/mlflow"

JAVA = (
    "User-Agent: mlflow-java-client/2.22.0",
    "Accept-Encoding: gzip,deflate",
    "Connection: Keep-Alive",
)
JDK = (
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAABgAABgA",
    "Upgrade: h2c",
    "User-Agent: Java-http-client/17.0.9",
)
R = (
    "User-Agent: mlflow-r-client/2.22.0",
    "Accept-Encoding: deflate, gzip, br, zstd",
    "Accept: application/json, text/xml, application/xml, */*",
)
GO = ("User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip")
PYTHON_1 = ("User-Agent: mlflow-python-client/1.30.1", "Accept: */*", "Connection: keep-alive")
OF_JSON = "Content-Type: application/json"


@attrs.frozen
class Habit:
    """A request, and what answers it: a status, and members of the JSON object."""

    name: str
    method: str
    path: str
    headers: tuple[str, ...]
    body: str = ""
    status: int = 200
    answer: dict[str, Any] = attrs.field(factory=dict)
    is_chunked: bool = False

    def sent(self) -> bytes:
        """All of it, as it goes over the wire."""
        body = self.body.encode()
        head = [f"{self.method} {self.path} HTTP/1.1", "Host: 127.0.0.1", *self.headers]
        if self.is_chunked:
            # As a writer in Go flushes them.
            cut = len(body) // 2
            pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
            head.append("Transfer-Encoding: chunked")
            body = (
                b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            )
        elif body or self.method != "GET":
            head.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*head, "", ""]).encode() + body


HABITS = [
    Habit(
        "java: a charset, and int64 as a text",
        "POST",
        f"{V}/registered-models/create",
        (*JAVA, "Content-Type: application/json; charset=UTF-8"),
        '{\n  "name": "x-java"\n}',
        answer={"registered_model": {"name": "x-java"}},
    ),
    Habit(
        "java: pages by a text that is a number",
        "GET",
        f"{V}/model-versions/search",
        (*JAVA, OF_JSON),
        json.dumps(
            {"filter": "name = 'm'", "max_results": "1", "order_by": ["version_number ASC"]}
        ),
        answer={"model_versions": [{"version": "1"}]},
    ),
    Habit(
        "java: protobuf's names of optional fields",
        "POST",
        f"{V}/model-versions/create",
        (*JAVA, OF_JSON),
        '{"name": "m", "source": "s3://b/p", "runId": "r1", "runLink": "https://r/1"}',
        answer={"model_version": {"run_id": "r1", "run_link": "https://r/1"}},
    ),
    Habit(
        "java: latest versions of stages, in a body",
        "POST",
        f"{V}/registered-models/get-latest-versions",
        (*JAVA, OF_JSON),
        '{"name": "m", "stages": ["Production"]}',
        answer={"model_versions": [{"version": "1", "current_stage": "Production"}]},
    ),
    Habit(
        "java: a version that is a number is refused, as MLflow does, and says which",
        "PATCH",
        f"{V}/model-versions/update",
        (*JAVA, OF_JSON),
        '{"name": "m", "version": 1}',
        400,
        {"error_code": "INVALID_PARAMETER_VALUE"},
    ),
    Habit(
        "jdk: an offer of HTTP/2 with a body",
        "POST",
        f"{V}/registered-models/set-tag",
        (*JDK, OF_JSON),
        '{"name": "m", "key": "k", "value": "v"}',
    ),
    Habit(
        "jdk: an offer of HTTP/2 without one",
        "GET",
        f"{V}/registered-models/get?name=m",
        JDK,
        answer={"registered_model": {"name": "m"}},
    ),
    Habit(
        "r: a query whose blanks are %20, and a number that is written as R does",
        "GET",
        f"{V}/registered-models/search?filter=name%20%3D%20%27m%27&max_results=1e2",
        (*R, OF_JSON),
        status=400,
        answer={"error_code": "INVALID_PARAMETER_VALUE"},
    ),
    Habit(
        "r: an empty list is left out, and a null is none",
        "POST",
        f"{V}/registered-models/create",
        (*R, OF_JSON),
        '{"name":"x-r","tags":[],"description":null}',
        answer={"registered_model": {"name": "x-r"}},
    ),
    Habit(
        "r: a deletion with a body",
        "DELETE",
        f"{V}/registered-models/delete-tag",
        (*R, OF_JSON),
        '{"name":"m","key":"gone"}',
    ),
    Habit(
        "r: stages in another case, and what is archived",
        "POST",
        f"{V}/model-versions/transition-stage",
        (*R, OF_JSON),
        '{"name":"m","version":"2","stage":"staging","archive_existing_versions":true}',
        answer={"model_version": {"current_stage": "Staging"}},
    ),
    Habit(
        "r: a list of models, before 2.0",
        "GET",
        f"{OLD}/registered-models/list?max_results=1",
        (*R, OF_JSON),
        answer={"registered_models": [{"name": "m"}]},
    ),
    Habit(
        "go: a body in chunks",
        "POST",
        f"{V}/model-versions/set-tag",
        (*GO, OF_JSON),
        '{"name":"m","version":"1","key":"k","value":"é"}',
        is_chunked=True,
    ),
    Habit(
        "go: GET with a body",
        "GET",
        f"{V}/model-versions/get",
        (*GO, OF_JSON),
        '{"name":"m","version":"1"}',
        answer={"model_version": {"name": "m", "version": "1"}},
    ),
    Habit(
        "go: zero values of a struct",
        "POST",
        f"{V}/model-versions/create",
        (*GO, OF_JSON),
        '{"name":"m","source":"s3://b/p","run_id":"","tags":null,"run_link":"","description":""}',
        answer={"model_version": {"name": "m", "run_id": ""}},
    ),
    Habit(
        "go: a query in the order of its keys, with + for blanks",
        "GET",
        f"{V}/model-versions/search?filter=name+%3D+%27m%27&max_results=1&order_by=version_number+ASC",
        GO,
        answer={"model_versions": [{"version": "1"}]},
    ),
    Habit(
        "python 1.30: its prefix",
        "GET",
        f"{OLD}/registered-models/get",
        (*PYTHON_1, OF_JSON),
        '{"name": "m"}',
        answer={"registered_model": {"name": "m"}},
    ),
    Habit(
        "python 1.30: a body that is JSON in JSON",
        "POST",
        f"{OLD}/registered-models/create",
        (*PYTHON_1, OF_JSON),
        json.dumps('{"name": "x-python"}'),
        answer={"registered_model": {"name": "x-python"}},
    ),
]


@pytest.fixture(scope="module")
def port():
    """A server with a model of two versions, of which the first is in production."""
    with memory_registry(None) as registry, serving(registry) as port:
        registry.create_registered_model("m", tags={"gone": "x"})
        for _ in range(2):
            registry.create_model_version("m", source="s3://b/p")
        registry.transition_model_version_stage("m", 1, stage="Production")
        yield port


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.name)
def test_clients_of_other_languages_are_answered(port: int, habit: Habit) -> None:
    """In their own HTTP, and with what they asked for."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(habit.sent())
        answer = http.client.HTTPResponse(client, method=habit.method)
        answer.begin()
        answered = json.loads(answer.read())
    assert answer.status == habit.status, answered
    assert answer.headers["Content-Type"] == "application/json"
    assert covers(answered, habit.answer), answered


def covers(told: Any, wanted: Any) -> bool:
    """Whether an answer has everything that is wanted of it, and in lists nothing more."""
    if isinstance(wanted, dict):
        return all(key in told and covers(told[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(told) == len(wanted) and all(map(covers, told, wanted))
    return bool(told == wanted)
