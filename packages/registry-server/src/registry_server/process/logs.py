"""The log: a line per record, in which other people's texts are shown and not obeyed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"

ACCESS_LOGGER = "registry_server.access_log"
"""The logger of requests, one record each."""

_QUIET = ("aiobotocore", "asyncio", "boto3", "botocore", "s3transfer", "uvicorn.error", "urllib3")
"""Loggers that say nothing below a warning, at whatever level the server logs. They log each part
that starts, and at `debug` whole requests with their signatures."""

_FIELDS = "fields"
"""The attribute of a record that has further fields by their names."""


def fields(**values: object) -> Mapping[str, Any]:
    """Return what a logger takes as `extra`, so that a record has those of the fields not None.

    As text only `request_id` is shown, so the message says what the others say.
    """
    return {_FIELDS: {name: value for name, value in values.items() if value is not None}}


def configure(level: str, form: str, *, access: bool = False) -> None:
    """Send the log to stderr, one line per record: of the form `text` or `json`.

    Requests are logged if `access` says so, however severe the rest has to be.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else Formatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))
    logging.getLogger(ACCESS_LOGGER).setLevel(logging.INFO if access else logging.CRITICAL)


def escaped(text: str) -> str:
    """Return the text on one line: controls, line breaks and other format characters are escaped.

    Names, and what clients and servers say, reach the log. It is read on terminals, which would
    obey them, and by programs, which take a line for a record.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


class Formatter(logging.Formatter):
    """Escapes a record's message, and the lines of its traceback."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 logging's name
        """Return the line of a record."""
        line = super().formatMessage(record)
        request_id = _fields_of(record).get("request_id")
        return escaped(line if request_id is None else f"{line} request_id={request_id}")

    def formatException(self, ei: object) -> str:  # noqa: N802 logging's name
        """Return the traceback; no line of it begins as a record does."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]  # as it is given
        return "\n".join(f"  {escaped(line)}" for line in lines)


class JsonFormatter(logging.Formatter):
    """An object of JSON on a line of its own; ASCII, so that no terminal obeys it either."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, _FIELDS, {})
    return fields
