"""What is replayed: sequences of steps, as plain data that can be printed, kept and shrunk."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

MARK = "@@"
"""Stands for a text of letters and digits that is unique to one replay of a sequence, so that a
sequence sees only what it made itself, on servers that are never emptied."""


@attrs.frozen(kw_only=True)
class Step:
    """One request, or with `walk` a search followed through all its pages."""

    method: str
    path: str
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    """In the order they are sent: the query of a GET, the JSON body of anything else."""
    as_body: bool = False
    """Send the fields of a GET as a JSON body."""
    raw: str | None = None
    """A body to send instead of the fields."""
    content_type: str | None = "application/json"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    walk: bool = False
    shared: bool = False
    """The search may find what other sequences made: compare only this one's, without pages."""

    @property
    def route(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"

    @property
    def reads(self) -> bool:
        """Whether the request can change nothing."""
        return self.method in ("GET", "HEAD") or self.path.endswith("/get-latest-versions")

    def __str__(self) -> str:
        values = {
            attribute.name: value
            for attribute in attrs.fields(Step)
            if attribute.name not in ("method", "path")
            and (value := getattr(self, attribute.name)) != _DEFAULTS[attribute.name]
        }
        shown = values.pop("fields", {})
        notes = f"  {values}" if values else ""
        return f"{self.route} {_abridged(shown)}{notes}"


_DEFAULTS = attrs.asdict(Step(method="", path=""), recurse=False)

Sequence: TypeAlias = tuple[Step, ...]


def replace_texts(value: Any, change: Callable[[str], str]) -> Any:
    """The value with each text in it changed, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(k): replace_texts(v, change) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [replace_texts(item, change) for item in value]
    return value


def marked(step: Step, mark: str) -> Step:
    """The step with `MARK` replaced."""
    if MARK not in f"{step.fields}{step.raw}":
        return step
    return attrs.evolve(
        step,
        fields=replace_texts(step.fields, lambda text: text.replace(MARK, mark)),
        raw=None if step.raw is None else step.raw.replace(MARK, mark),
    )


def _abridged(fields: Any) -> str:
    def short(text: str) -> str:
        return text if len(text) <= 200 else f"{text[:20]}...({len(text)} characters)"

    return json.dumps(replace_texts(fields, short), ensure_ascii=True)
