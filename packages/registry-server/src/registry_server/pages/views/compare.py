"""The page that compares two versions of a model."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping

import attrs

from registry_core import ModelVersion, RegisteredModel, Registry
from registry_core.artifacts import Manifest
from registry_core.search import AttributeRef, Comparison, Entity, Op
from registry_core.validation import PROMPT_TEXT_TAG
from registry_core.wire import Json, payloads
from registry_server.pages import formats, links, mlmodel, rendering
from registry_server.pages.answers import Redirect, View
from registry_server.pages.mlmodel import Card, Column
from registry_server.pages.requests import PageRequest
from registry_server.pages.views import finding
from registry_server.pages.views.files import card_of, files_of
from registry_server.pages.views.model import ORDERS, newest_version

DIFF_MAX_LINES = 1_000
"""Lines of a text that are compared one by one; that takes time which grows with their square."""

ROWS_SHOWN = 500
"""Rows that a page lists; how many more there are is said."""

_CONTEXT_LINES = 3

_DIGITS = 19
"""Of the largest number that a version can have."""

_FROM_THE_START = re.compile(r"@@ -[01]\b")


@attrs.frozen(kw_only=True)
class Row:
    """One thing of two versions; None where one of them does not have it."""

    label: str
    one: str | None
    other: str | None
    is_code: bool = False
    is_file: bool = False
    """Whether it is a file: its digest in hex, and its size."""
    is_content: bool = False
    """Whether a difference in it is what one looks for, and not only to be expected."""

    @property
    def is_same(self) -> bool:
        """Whether both have the same."""
        return self.one == self.other


@attrs.frozen
class Line:
    """A line of a text that was compared: added, removed, kept, or a gap."""

    kind: str
    text: str


def show(request: PageRequest, registry: Registry, name: str) -> View | Redirect:
    """Two versions side by side: those that the address names, else the newest two."""
    first, second = request.query.get("a", ""), request.query.get("b", "")
    if not first or not second:
        return _chosen(registry, name, first, second)
    one, other = registry.get_model_version(name, first), registry.get_model_version(name, second)
    before, after = files_of(registry, one), files_of(registry, other)
    rows = [
        row
        for row in (
            *_facts(one, other),
            *_tags(one, other),
            *_card(card_of(registry, before), card_of(registry, after)),
        )
        if row.one or row.other
    ]
    files = [*_files(before.manifest, after.manifest)]
    only = request.query.get("only") == "differences"
    shown = [row for row in (*rows, *files) if not only or not row.is_same]
    context = {
        "name": name,
        "one": one,
        "other": other,
        "only": only,
        "rows": shown[:ROWS_SHOWN],
        "more": max(0, len(shown) - ROWS_SHOWN),
        "description": diff(one.description or "", other.description or ""),
        "prompt": diff(one.tags.get(PROMPT_TEXT_TAG, ""), other.tags.get(PROMPT_TEXT_TAG, "")),
        "is_prompt": PROMPT_TEXT_TAG in one.tags or PROMPT_TEXT_TAG in other.tags,
    }
    return View(
        template="compare.html",
        context=context,
        data=lambda: _data(one, other, [*rows, *files]),
    )


def _chosen(registry: Registry, name: str, first: str, second: str) -> Redirect:
    """The comparison of a first version with the newest, or of a second with the one before it.

    Of neither, that of the newest two.
    """
    model = registry.get_registered_model(name)
    newest = newest_version(model)
    after = second or (str(newest.version) if newest else "1")
    before = first if first and first != after else _before(registry, model, after)
    address = links.model(name, "compare")
    return Redirect(to=links.with_query(address, [("a", before), ("b", after)]))


def _before(registry: Registry, model: RegisteredModel, number: str) -> str:
    """The newest version before another one, which need not have the number before its number."""
    if not number.isdecimal() or len(number) > _DIGITS:
        return number  # it is refused where it is compared
    query = finding.query(
        Entity.MODEL_VERSION,
        (
            *finding.versions_of(model.name, is_prompt=model.is_prompt),
            Comparison(AttributeRef("version"), Op.LT, int(number)),
        ),
        order=ORDERS["newest"],
        max_results=1,
        page_token=None,
    )
    versions = registry.store.search_model_versions(query).items
    return str(versions[0].version) if versions else number


def _data(one: ModelVersion, other: ModelVersion, rows: Iterable[Row]) -> Json:
    return {
        "model_versions": payloads.latest_versions((one, other))["model_versions"],
        "differences": [
            {"label": row.label, "before": row.one, "after": row.other}
            for row in rows
            if not row.is_same
        ],
    }


def _facts(one: ModelVersion, other: ModelVersion) -> Iterable[Row]:
    def row(label: str, pick: str, *, is_code: bool = False) -> Row:
        a, b = getattr(one, pick), getattr(other, pick)
        return Row(
            label=label,
            one=None if a is None else str(a),
            other=None if b is None else str(b),
            is_code=is_code,
        )

    yield Row(
        label="registered",
        one=formats.exact(one.creation_timestamp),
        other=formats.exact(other.creation_timestamp),
    )
    yield row("by", "user_id")
    yield row("status", "status")
    if one.current_stage != other.current_stage:
        yield row("stage", "current_stage")
    yield row("source", "source", is_code=True)
    yield row("run", "run_id", is_code=True)


def _tags(one: ModelVersion, other: ModelVersion) -> Iterable[Row]:
    before, after = rendering.shown_tags(one.tags), rendering.shown_tags(other.tags)
    for key in sorted({*before, *after}):
        yield Row(label=key, one=before.get(key), other=after.get(key), is_content=True)


def _card(one: Card, other: Card) -> Iterable[Row]:
    """What the models say: their columns by name, and their requirements by package."""
    for part in sorted({*one.signature, *other.signature}):
        before, after = _columns(one.signature.get(part)), _columns(other.signature.get(part))
        yield from _rows(f"{part.removesuffix('s')} ", before, after)
    yield from _rows("needs ", _needs(one), _needs(other))
    yield from _rows("flavour ", _flavors(one), _flavors(other))


def _rows(label: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterable[Row]:
    for key in dict.fromkeys((*before, *after)):
        yield Row(
            label=label + key,
            one=before.get(key),
            other=after.get(key),
            is_code=True,
            is_content=True,
        )


def _columns(columns: Iterable[Column] | None) -> Mapping[str, str]:
    return {
        column.name: column.type
        + (f" = {column.default}" if column.default is not None else "")
        + ("" if column.is_required or column.default is not None else ", optional")
        for column in columns or ()
    }


def _flavors(card: Card) -> Mapping[str, str]:
    return {name: release or "yes" for name, release in card.flavors}


def _needs(card: Card) -> Mapping[str, str]:
    return {mlmodel.requirement_name(line): line for line in card.requirements}


def _files(one: Manifest | None, other: Manifest | None) -> Iterable[Row]:
    before, after = _described(one), _described(other)
    for path in sorted({*before, *after}):
        yield Row(
            label=path,
            one=before.get(path),
            other=after.get(path),
            is_content=True,
            is_file=True,
        )


def _described(manifest: Manifest | None) -> Mapping[str, str]:
    files = () if manifest is None else manifest.files
    return {file.path: f"{file.sha256} {formats.size(file.size)}" for file in files}


def diff(before: str, after: str) -> tuple[Line, ...] | None:
    """Return the lines that differ, with some around them; empty if none does, None of too many."""
    if before == after:
        return ()
    one, other = before.splitlines(), after.splitlines()
    if max(len(one), len(other)) > DIFF_MAX_LINES:
        return None
    lines = list(difflib.unified_diff(one, other, n=_CONTEXT_LINES, lineterm=""))[2:]
    if lines and _FROM_THE_START.match(lines[0]):
        del lines[0]
    kinds = {"+": "added", "-": "removed", "@": "gap"}
    return tuple(
        Line(kinds.get(line[:1], "kept"), "⋯" if line.startswith("@@") else line[1:])
        for line in lines
    )
