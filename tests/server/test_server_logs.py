"""The server's log: other people's texts are shown in it, and neither obeyed nor believed."""

from __future__ import annotations

import io
import json
import logging
import os
from base64 import b64encode
from datetime import UTC, datetime

import pytest

from registry_core import Registry
from registry_core.stores.memory import MemoryStore
from registry_server import Settings
from registry_server.http.access_log import AccessLog
from registry_server.process import logs
from registry_server.process.logs import ACCESS_LOGGER, Formatter, JsonFormatter, escaped
from services.in_process import InProcessServer


@pytest.fixture(autouse=True)
def _logging_as_before():
    """What a test configures is undone."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.getLogger(ACCESS_LOGGER).setLevel(logging.NOTSET)


def logged(write, formatter=None) -> str:
    """What a logger with the server's format has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or Formatter())
    logger = logging.getLogger("registry_server.test")
    logger.addHandler(handler)
    try:
        write(logger)
    finally:
        logger.removeHandler(handler)
    return stream.getvalue()


def _raise(error):
    raise error


def test_record_is_one_line_that_no_terminal_obeys():
    """A name cannot begin a record of its own, nor move the cursor."""
    evil = "m\n2026-01-01 00:00:00,000 ERROR 1 registry: stolen\x1b[2J\u202e\x9b"
    shown = logged(lambda logger: logger.warning("no model %s", evil))
    assert shown.count("\n") == 1
    assert shown.endswith(
        "no model m\\n2026-01-01 00:00:00,000 ERROR 1 registry: stolen\\x1b[2J\\u202e\\x9b\n"
    )


def test_traceback_keeps_its_lines_and_begins_no_record():
    """What an exception says is somebody's text, too."""

    def fail(logger):
        try:
            _raise(ValueError("a\nERROR b\x1b[31m"))
        except ValueError:
            logger.exception("failed")

    first, *rest = logged(fail).splitlines()
    assert first.endswith("failed")
    assert rest[0] == "  Traceback (most recent call last):"
    assert rest[-2:] == ["  ValueError: a", "  ERROR b\\x1b[31m"]
    assert all(line.startswith("  ") for line in rest)


def test_letters_of_any_language_stay():
    """Only what acts on a terminal is escaped."""
    assert escaped("naïve 模型 🎉") == "naïve 模型 🎉"


# Records of requests


@pytest.fixture
def records(caplog):
    """The records of requests, which are logged here."""
    caplog.set_level(logging.INFO, logger=ACCESS_LOGGER)
    return lambda: caplog.records


def test_request_is_one_record_with_its_actor_and_id(records, tmp_path):
    """As people read it, and with a field for each of its parts."""
    users = tmp_path / "users"
    users.write_text("ann:secret\n")
    users.chmod(0o600)
    settings = Settings(threads=2, auth_file=str(users))
    with InProcessServer(settings=settings) as server:
        answer = server.send(
            "GET",
            b"/api/2.0/mlflow/registered-models/get?name=m%0A1",
            headers=[
                (b"authorization", b"Basic " + b64encode(b"ann:secret")),
                (b"x-request-id", b"from-client.1"),
            ],
        )
    (record,) = records()
    assert answer.headers["x-request-id"] == "from-client.1"
    assert record.getMessage().startswith(
        '127.0.0.1 ann "GET /api/2.0/mlflow/registered-models/get?name=m%0A1" 404 '
    )
    known = {**record.fields}
    assert known.pop("milliseconds") > 0
    assert known == {
        "client": "127.0.0.1",
        "actor": "ann",
        "method": "GET",
        "target": "/api/2.0/mlflow/registered-models/get?name=m%0A1",
        "operation": "getRegisteredModel",
        "status": 404,
        "bytes": len(answer.body),
        "request_id": "from-client.1",
    }


def test_query_of_a_page_is_not_logged(records):
    """Where somebody signs in, it has what nobody else may know."""
    with InProcessServer() as server:
        server.send("GET", b"/models/?code=hunter2", headers=[(b"accept", b"text/html")])
    assert records()
    assert not any("hunter2" in str(vars(record)) for record in records())


def test_requests_are_logged_only_if_asked_for():
    """A line a request is not for everybody."""
    logs.configure("info", "text")
    assert not AccessLog().is_on
    logs.configure("error", "text", access=True)
    assert AccessLog().is_on


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"abc-1._:/+=@", "abc-1._:/+=@"),
        (b"a\tb\x1b[2J\xff\"'<>", "ab2J"),
        (b"x" * 500, "x" * 128),
    ],
)
def test_id_of_a_client_is_cleaned_and_bounded(sent, kept):
    """It is repeated in a header and in the log."""
    with InProcessServer() as server:
        answer = server.send("GET", b"/health", headers=[(b"x-request-id", sent)])
        assert answer.headers["x-request-id"] == kept


def test_requests_without_an_id_get_different_ones():
    """Also where nothing of the client's is left."""
    with InProcessServer() as server:
        ids = [
            server.send("GET", path, headers=headers).headers["x-request-id"]
            for path in (b"/health", b"/nope", b"/api/2.0/mlflow/registered-models/get?name=m")
            for headers in ((), [(b"x-request-id", b"\x80\x81")])
        ]
    assert len(set(ids)) == 6


class FailingStore(MemoryStore):
    """A store with a fault in its code."""

    def get_registered_model(self, *_, **__):
        raise ZeroDivisionError


def test_failure_is_logged_with_the_id_of_its_request(caplog):
    """So that somebody who was answered 500 can be helped."""
    with InProcessServer(Registry(FailingStore(), local_sources=False)) as server:
        answer = server.call("GET", "/registered-models/get", query=[("name", "m")])
    assert answer.status == 500
    (failed,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert failed.fields == {"request_id": answer.headers["x-request-id"]}
    assert (
        Formatter()
        .format(failed)
        .splitlines()[0]
        .endswith(f"request_id={answer.headers['x-request-id']}")
    )


# JSON


def test_json_is_one_object_a_line_that_no_terminal_obeys():
    """With the fields of the record, and its traceback in one of them."""

    def fail(logger):
        try:
            _raise(ValueError("a\nb\x1b"))
        except ValueError:
            logger.exception(
                "no %s", "m\x1b[2J\u202e", extra=logs.fields(request_id="i", none=None)
            )

    (line,) = logged(fail, JsonFormatter()).splitlines()
    assert line.isascii()
    assert line.isprintable()
    entry = json.loads(line)
    assert datetime.fromisoformat(entry.pop("time")).tzinfo is UTC
    assert "ValueError: a\nb\x1b" in entry.pop("traceback")
    assert entry == {
        "level": "error",
        "logger": "registry_server.test",
        "process": os.getpid(),
        "message": "no m\x1b[2J\u202e",
        "request_id": "i",
    }


def test_libraries_are_quiet_also_when_the_server_is_not():
    """At debug they log each request with its signature."""
    logs.configure("debug", "text")
    for name in ("botocore.auth", "boto3.resources", "urllib3.connectionpool", "s3transfer"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
