"""The log: a line per record, in which other people's texts are shown and not obeyed."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


def escaped(text: str) -> str:
    """The text on one line: controls, line breaks and other format characters are escaped.

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
        """The line of a record."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 logging's name
        """The traceback; no line of it begins as a record does."""
        lines = super().formatException(ei).split("\n")  # type: ignore[arg-type]  # as it is given
        return "\n".join(f"  {escaped(line)}" for line in lines)
