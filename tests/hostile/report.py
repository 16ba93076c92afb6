"""Verdicts as JSON, as text for a terminal, and as the tables in docs/evidence/reliability.md."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
import cattrs

from hostile.calm import KINDS
from hostile.floods import FLOODS
from hostile.targets import STORES
from hostile.verdicts import Verdict

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "evidence" / "reliability.md"
RESULTS = ROOT / "hostile-results"

BEFORE = Path(__file__).with_name("before.json")
"""What the floods did before anything bounded them."""

_MARKS = re.compile(r"(<!-- floods -->\n).*?(<!-- end of floods -->)", re.DOTALL)
_TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_NONE = "-"
_KINDS = [name for name in KINDS if name != "login"]

_converter = cattrs.Converter()
_converter.register_unstructure_hook(float, lambda value: round(value, 4))


@attrs.frozen(kw_only=True)
class Run:
    """The verdicts of one run, and under which circumstances they came about."""

    circumstances: str
    verdicts: Sequence[Verdict]


def save(run: Run, path: Path) -> None:
    """Adds the verdicts to those in a file, in place of older ones about the same."""
    kept = load(path).verdicts if path.exists() else ()
    verdicts = {(v.store, v.has_access, v.flood): v for v in (*kept, *run.verdicts)}
    path.parent.mkdir(exist_ok=True)
    lines = [json.dumps(_converter.unstructure(verdict)) for verdict in verdicts.values()]
    circumstances = json.dumps(run.circumstances)
    path.write_text(
        f'{{"circumstances": {circumstances}, "verdicts": [\n' + ",\n".join(lines) + "\n]}\n"
    )


def load(path: Path) -> Run:
    """The verdicts in a file."""
    return _converter.structure(json.loads(path.read_text()), Run)


def told(verdict: Verdict) -> str:
    """A verdict for a terminal."""
    where = f"{verdict.store}{', access on' if verdict.has_access else ''}"
    lines = [f"{verdict.flood} on {where}: {'held' if verdict.holds else 'BROKEN'}"]
    for kind, times in verdict.flooded.items():
        quiet = verdict.quiet.get(kind)
        before = f"{_ms(quiet.p50)} / {_ms(quiet.p99)}" if quiet else _NONE
        lines.append(
            f"  {KINDS[kind].what:12} p50 / p99 {_ms(times.p50)} / {_ms(times.p99)} ms, "
            f"quiet {before}"
        )
    lines.append(
        f"  memory {verdict.memory_before_mib:.0f} MiB before, {verdict.memory_most_mib:.0f} at "
        f"most, {verdict.memory_after_mib:.0f} after{', killed' if verdict.is_killed else ''}"
    )
    lines.append(f"  normal after {_after(verdict.recovery_seconds)} s; seen {verdict.seen}")
    return "\n".join([*lines, *(f"  BROKEN {sentence}" for sentence in verdict.broken)])


def write(run: Run, before: Run | None) -> None:
    """Replaces the tables in the documentation."""
    content = PAGE.read_text()
    block = f"{run.circumstances}\n\n{tables(run, before)}"
    PAGE.write_text(_MARKS.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", content))


def tables(run: Run, before: Run | None) -> str:
    """One table in Markdown for each store, and one with an access file.

    Every flood has a row for what was before there were bounds, and one for now.
    """
    earlier = {(v.store, v.flood): v for v in before.verdicts} if before else {}
    found = []
    for store in STORES:
        for has_access in (False, True):
            of_both = [v for v in run.verdicts if (v.store, v.has_access) == (store, has_access)]
            title = f"{_TITLES[store]}{', access on' if has_access else ''}"
            if of_both:
                found.append(_table(title, of_both, {} if has_access else earlier))
    return "\n\n".join(found)


def _table(
    title: str, verdicts: Sequence[Verdict], earlier: Mapping[tuple[str, str], Verdict]
) -> str:
    head = [
        title,
        *(f"{KINDS[kind].what}" for kind in _KINDS),
        "logins",
        "memory",
        "normal after",
    ]
    rows = [head, ["---", *["---:"] * (len(head) - 1)]]
    rows.append(["quiet", *_quiet(verdicts), _NONE, _NONE])
    for verdict in sorted(verdicts, key=lambda v: [*FLOODS].index(v.flood)):
        rows.append([FLOODS[verdict.flood].title, *_cells(verdict)])
        old = earlier.get((verdict.store, verdict.flood))
        if old is not None:
            rows.append(["- before there were bounds", *_cells(old)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _quiet(verdicts: Sequence[Verdict]) -> list[str]:
    """The medians of what was measured before the floods."""
    cells = []
    for kind in KINDS:
        found = [v.quiet[kind].p99 for v in verdicts if kind in v.quiet]
        cells.append(_ms(statistics.median(found)) if found else _NONE)
    return cells


def _cells(verdict: Verdict) -> list[str]:
    times = [verdict.flooded.get(kind) for kind in KINDS]
    memory = "over 3,072" if verdict.is_killed else f"{max(0.0, verdict.growth_mib):,.0f}"
    return [
        *(_ms(found.p99) if found else _NONE for found in times),
        memory,
        _after(verdict.recovery_seconds),
    ]


def _ms(seconds: float) -> str:
    if math.isinf(seconds):
        return "none"
    return f"{seconds * 1_000:,.{1 if seconds < 0.01 else 0}f}"


def _after(seconds: float) -> str:
    return "over 10" if math.isinf(seconds) else f"{seconds:.1f}"
