"""The deliberate differences from MLflow: how each is recognised, and a proof of each.

Strategy: a rule does not excuse a step, it removes one known difference from the two outcomes. What
is equal after all rules is explained by those that changed something, and anything that is left is
a finding, so a rule cannot hide a second difference in the same answer. The witness of a rule is a
sequence that must show the difference in every run: a deviation that no longer happens is an error
in `docs/reference/deviations.md`, as is one that is not listed there. What that document lists besides
registry calls has tests of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from differential import rules, values
from differential.filters import MARKER
from differential.replay import Outcome
from differential.routes import MV, RM
from differential.rules import Rule, softened, when
from differential.steps import Sequence, Step

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "deviations.md"


@attrs.frozen(kw_only=True)
class Deviation:
    """One row of the document."""

    id: str
    rule: Rule
    witness: Sequence
    needs: Callable[[Sequence], bool] = lambda _: True
    """What must have happened in a sequence, with the step itself, for the rule to be asked."""
    until: str | None = None
    """The first release of MLflow that answers as this registry does; None where none does yet."""


def _call(method: str, path: str, **fields: Any) -> Step:
    return Step(method=method, path=path, fields=fields)


_MODEL = _call("POST", f"{RM}/create", name="@@a")
_PROMPT = {"key": MARKER, "value": "true"}
_TAGGED = _call("POST", f"{RM}/create", name="@@\u00c9a", tags=[{"key": "k", "value": "a\\_b"}])
_VERSION = _call("POST", f"{MV}/create", name="@@a", source="s3://b/p")


def _version(**fields: Any) -> Step:
    return _call("POST", f"{MV}/create", name="@@a", **fields)


def _search(text: str, path: str = f"{RM}/search", **fields: Any) -> Step:
    return _call("GET", path, filter=f"name LIKE '%@@%' AND {text}", **fields)


def _marks_prompts(sequence: Sequence) -> bool:
    return any(text == MARKER for step in sequence for text in rules.texts(rules.sent(step)))


DEVIATIONS: tuple[Deviation, ...] = (
    Deviation(
        id="D-workspace-header",
        rule=when(rules.workspace_header),
        witness=(attrs.evolve(_MODEL, headers={"X-MLFLOW-WORKSPACE": "default"}),),
    ),
    Deviation(
        id="D-error-bodies",
        rule=when(rules.error_bodies),
        witness=(
            _call("GET", f"{RM}/get/", name="@@a"),
            _call("PUT", f"{RM}/create", name="@@a"),
        ),
    ),
    Deviation(
        id="D-body-no-object",
        rule=when(rules.body_no_object),
        witness=(attrs.evolve(_MODEL, raw="[1]"),),
    ),
    Deviation(
        id="D-field-types",
        rule=when(rules.field_types),
        witness=(_call("POST", f"{RM}/create", name="@@a", tags=[{"key": "k", "value": 1}]),),
    ),
    Deviation(
        id="D-max-results",
        rule=when(rules.max_results),
        witness=(
            _search("name = 'x'", max_results=0),
            _search("name = 'x'", max_results=" 1"),
            _search("name = 'x'", max_results="1_0"),
            attrs.evolve(_search("name = 'x'", max_results=None), as_body=True),
        ),
    ),
    Deviation(
        id="D-archive-inactive",
        rule=softened("is not an Active stage"),
        witness=(
            _MODEL,
            _VERSION,
            _call(
                "POST",
                f"{MV}/transition-stage",
                name="@@a",
                version="1",
                stage="None",
                archive_existing_versions=True,
            ),
        ),
    ),
    Deviation(
        id="D-duplicate-order-by",
        rule=softened("`order_by` contains duplicate fields"),
        witness=(_call("GET", f"{RM}/search", order_by=["name", "name DESC"]),),
    ),
    Deviation(
        id="D-unstorable-text",
        rule=when(rules.unstorable),
        witness=(_call("POST", f"{RM}/create", name="@@a", description="nul\x00"),),
    ),
    Deviation(
        id="D-control-characters",
        rule=when(rules.control_characters),
        witness=(
            _MODEL,
            _version(source="s3://b/\x1b[31mp"),
            _version(source="s3://b/p", run_link="http://h/\u202ep"),
        ),
    ),
    Deviation(
        id="D-lengths",
        rule=when(rules.lengths),
        witness=(
            _call("POST", f"{RM}/create", name=values.LONG_NAMES[0]),
            _MODEL,
            _version(source="s3://b/p", run_link="h" * 4097),
        ),
    ),
    Deviation(
        id="D-part-limits",
        rule=when(rules.part_limits),
        witness=(_call("POST", f"{RM}/create", name="@@a", tags=values.MANY_TAGS),),
    ),
    Deviation(
        id="D-version-digits",
        rule=when(rules.version_digits),
        witness=(_MODEL, _VERSION, _call("GET", f"{MV}/get", name="@@a", version="+1")),
    ),
    Deviation(
        id="D-version-size",
        rule=when(rules.version_size),
        witness=(_MODEL, _call("GET", f"{MV}/get", name="@@a", version="9" * 25)),
    ),
    Deviation(
        id="D-remote-sources",
        rule=when(rules.remote_sources),
        witness=(_MODEL, _version(source="https://h/p")),
    ),
    Deviation(
        id="D-logged-models",
        rule=when(rules.logged_models),
        witness=(_MODEL, _version(source="models:/m-1234")),
    ),
    Deviation(
        id="D-model-uri-queries",
        rule=when(rules.model_uri_queries),
        witness=(_MODEL, _VERSION, _version(source="models:/@@a/1?x=1")),
    ),
    Deviation(
        id="D-local-sources",
        rule=when(rules.local_sources),
        witness=(_MODEL, _version(source="/etc/x", run_id="r1")),
    ),
    Deviation(
        id="D-empty-stage",
        rule=when(rules.empty_stage),
        witness=(_MODEL, _version(source="models:/@@a/Production")),
    ),
    Deviation(
        id="D-file-host",
        rule=when(rules.file_host),
        witness=(_MODEL, _version(source="file://h/p")),
    ),
    Deviation(
        id="D-aliases-everywhere",
        rule=rules.aliases_everywhere,
        witness=(
            _MODEL,
            _VERSION,
            _call("POST", f"{RM}/alias", name="@@a", alias="a", version="1"),
            _call("GET", f"{RM}/get", name="@@a"),
            _search("name = '@@a'", f"{MV}/search"),
        ),
    ),
    Deviation(
        id="D-prompt-versions",
        rule=rules.prompt_versions,
        needs=_marks_prompts,
        witness=(
            _call("POST", f"{RM}/create", name="@@a", tags=[_PROMPT]),
            _VERSION,
            _call("POST", f"{RM}/create", name="@@b"),
            _call("POST", f"{MV}/create", name="@@b", source="dummy-source", tags=[_PROMPT]),
            _search("name LIKE '%'", f"{MV}/search", max_results=10),
        ),
    ),
    Deviation(
        id="D-no-sql",
        rule=when(rules.no_sql),
        witness=(
            _MODEL,
            _call("POST", f"{RM}/create", name="@@b"),
            _call("POST", f"{RM}/rename", name="@@a", new_name="@@b"),
        ),
    ),
    Deviation(
        id="D-search-sentences",
        rule=when(rules.search_sentences),
        witness=(_search("tag.k > 'v'", order_by=["name "]), _search("name = end")),
    ),
    Deviation(
        id="D-search-crashes",
        rule=when(rules.search_crashes),
        witness=(
            _search("name IS NULL"),  # a crash until 3.18.0
            _search("run_id IN (a, b)", f"{MV}/search"),
        ),
    ),
    Deviation(
        id="D-filter-accidents",
        rule=when(rules.filter_accidents),
        witness=(
            _search("tags.1 = 'v'"),
            _search("tags.from = 'v'"),
            _search("run_id IN ('a')run_id IN ('a')", f"{MV}/search"),
            _search("tags. k = 'v'"),
            _search("name = 'x'", order_by=["`name`"]),
        ),
    ),
    Deviation(
        id="D-page-tokens",
        rule=when(rules.page_tokens),
        witness=(_search("name = 'x'", page_token="eyJvZmZzZXQiOiAyfQ=="),),
    ),
    Deviation(
        id="D-like-escapes",
        rule=when(rules.like_escapes),
        witness=(_TAGGED, _search("tags.k LIKE 'a\\_b'")),
    ),
    Deviation(
        id="D-ilike-case",
        rule=when(rules.ilike_case),
        witness=(_TAGGED, _search("name ILIKE '%\u00e9%'")),
    ),
    Deviation(
        id="D-trailing-newline",
        rule=when(rules.trailing_newline),
        witness=(_MODEL, _call("POST", f"{RM}/set-tag", name="@@a", key="k\n", value="v")),
        until="3.18.0",
    ),
)


def from_release(release: str) -> tuple[Deviation, ...]:
    """The deviations from a release of MLflow."""
    return tuple(
        each for each in DEVIATIONS if each.until is None or _parts(release) < _parts(each.until)
    )


def _parts(release: str) -> list[int]:
    return [int(part) for part in release.split(".")]


def explain(
    sequence: Sequence,
    theirs: Outcome,
    ours: Outcome,
    allowed: tuple[Deviation, ...] = DEVIATIONS,
) -> tuple[bool, list[str]]:
    """Whether the outcomes of the last step agree but for allowed deviations, and for which."""
    used = []
    for deviation in allowed:
        if theirs == ours:
            break
        if not deviation.needs(sequence):
            continue
        changed = deviation.rule(sequence[-1], theirs, ours)
        if changed != (theirs, ours):
            used.append(deviation.id)
            theirs, ours = changed
    return theirs == ours, used


def listed(text: str) -> list[str]:
    """The ids in the document's table of registry calls."""
    table = text.partition("## Registry calls")[2].partition("\n## ")[0]
    return re.findall(r"^\|\s*`(D-[a-z0-9-]+)`\s*\|", table, re.MULTILINE)
