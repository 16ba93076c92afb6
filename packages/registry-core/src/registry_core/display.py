"""How entities look in a notebook and in a debugger, and their times as moments."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from registry_core.fields import fields_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CELL_MAX_LENGTH = 500
"""Characters of a text that a notebook shows. A tag may hold the whole text of a prompt."""


def moment(milliseconds: int) -> datetime:
    """Return a time in milliseconds since the epoch as a moment in UTC.

    Raises:
        OverflowError: It is after the year 9999.
    """
    return _EPOCH + timedelta(milliseconds=milliseconds)


class Timed:
    """What has a creation and a last update, in milliseconds since the epoch: also as moments."""

    __slots__ = ()

    @property
    def created_at(self) -> datetime:
        """When it was created, in UTC: `creation_timestamp`."""
        milliseconds: int = getattr(self, "creation_timestamp")  # noqa: B009 a field of what is timed
        return moment(milliseconds)

    @property
    def updated_at(self) -> datetime:
        """When it was last updated, in UTC: `last_updated_timestamp`."""
        milliseconds: int = getattr(self, "last_updated_timestamp")  # noqa: B009 as above
        return moment(milliseconds)


class Shown:
    """An entity with a short `repr`, and a table of its fields in notebooks."""

    __slots__ = ()

    def _facts(self) -> list[str]:
        """What of it stands in its `repr`, the most important first; empty ones are left out."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {', '.join(filter(None, self._facts()))}>"

    def _repr_html_(self) -> str:
        """The table; every text in it is escaped, since names and tags are other people's."""
        kind: Any = type(self)
        rows = [
            (each.label, _cell(each.name, getattr(self, each.name))) for each in fields_of(kind)
        ]
        cells = "".join(
            f'<tr><th style="text-align:left">{html.escape(label)}</th>'
            f'<td style="text-align:left">{cell}</td></tr>'
            for label, cell in rows
            if cell
        )
        return f"<table><caption>{kind.__name__}</caption>{cells}</table>"


def _cell(field: str, value: Any) -> str:
    if value is None:
        return ""
    if field.endswith("_timestamp"):
        try:
            return moment(value).isoformat(timespec="seconds")
        except OverflowError:
            return f"{value} ms"
    if isinstance(value, Mapping):
        return "<br>".join(_text(f"{key} = {each}") for key, each in value.items())
    if isinstance(value, tuple):
        return "<br>".join(_text(each) for each in value)
    return _text(value)


def _text(value: object) -> str:
    text = str(value)
    if len(text) > CELL_MAX_LENGTH:
        text = f"{text[:CELL_MAX_LENGTH]}…"
    return html.escape(text)
