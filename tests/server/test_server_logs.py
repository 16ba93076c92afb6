"""The server's log: other people's texts are shown in it, and neither obeyed nor believed."""

from __future__ import annotations

import io
import logging

from registry_server.process.logs import Formatter, escaped


def logged(write) -> str:
    """What a logger with the server's format has written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Formatter())
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
