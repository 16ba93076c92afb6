"""The figures of a run, and its findings, as text for people."""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from differential.compare import Tally, differing

if TYPE_CHECKING:  # a cycle
    from differential.run import Finding, Settings

_PAGE = """\
# Differential replay

Generated call sequences, run on MLflow's own server and on this one over each store, every answer
compared: status, error code, message, body, order and pages. The sequences reach all 22 routes of
registered models and model versions, with valid, invalid and hostile values, searches with
generated filters and orders followed through all their pages, and prompts. What differs must be
listed in [deviations](../reference/deviations.md), and everything listed must happen; a difference
that is not listed is shrunk to its shortest sequence and fails the run. Run it again on each
release, with other seeds:

```console
$ nox -s differential -- --sequences 2400 --length 24 --seed 1
```

The last runs that were kept:
"""

_TITLE = "Differential replay against MLflow "
"""With what the run on a release begins, in a block of its own of the page."""


@attrs.frozen(kw_only=True)
class Report:
    """What a run has shown."""

    settings: Settings
    release: str
    """Of the MLflow whose server was the reference."""
    tallies: Mapping[str, Tally]
    findings: Sequence[Finding]
    counts: collections.Counter[tuple[str, ...]]
    seconds: float

    @property
    def unseen(self) -> dict[str, list[str]]:
        """The listed deviations that did not happen, by store."""
        found = {
            store: [d.id for d in tally.allowed if not tally.explained[d.id]]
            for store, tally in self.tallies.items()
        }
        return {store: ids for store, ids in found.items() if ids}

    @property
    def clean(self) -> bool:
        """Whether every difference is listed, and every listed one happened."""
        return not self.counts and not self.unseen

    @property
    def progress(self) -> str:
        """The figures of each store in one line."""
        return "; ".join(
            f"{store} {tally.sequences} sequences, {tally.calls} calls, {self._unlisted(store)} unlisted"
            for store, tally in self.tallies.items()
        )

    def __str__(self) -> str:
        lines = [f"{_TITLE}{self.release}, {datetime.now(UTC):%Y-%m-%d}", ""]
        lines += [f"seeds from {self.settings.seed}, {self.seconds:.0f} seconds", ""]
        lines += [line for store in self.tallies for line in self._figures(store)]
        for store, ids in self.unseen.items():
            lines += ["", f"{store}: listed, but did not happen: {', '.join(ids)}"]
        lines += [line for finding in self.findings for line in _shown(finding)]
        lines += ["", "unlisted differences, by kind:"] if self.counts else []
        lines += [f"{number:6}  {' | '.join(kind)}" for kind, number in self.counts.most_common()]
        return "\n".join([*lines, ""])

    def markdown(self, page: str = "") -> str:
        """The report as a page for readers, with the runs on other releases of a page there is."""
        runs = {
            each.partition(",")[0].removeprefix(_TITLE): each
            for each in re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        }
        runs[self.release] = str(self)
        blocks = [f"\n```text\n{run}```\n" for _, run in sorted(runs.items())]
        return _PAGE + "".join(blocks)

    def _unlisted(self, store: str) -> int:
        return sum(number for kind, number in self.counts.items() if kind[0] == store)

    def _figures(self, store: str) -> list[str]:
        tally = self.tallies[store]
        seen = ", ".join(f"{id_} {number}" for id_, number in tally.explained.most_common())
        return [
            f"{store}: {tally.sequences} sequences, {tally.calls} calls compared",
            f"    {tally.cut_short} sequences ended early by a listed deviation in a write",
            f"    {len(tally.cases)} distinct cases of route and outcome",
            f"    {self._unlisted(store)} unlisted differences",
            f"    listed deviations seen: {seen or 'none'}",
        ]


def _shown(finding: Finding) -> list[str]:
    difference = finding.difference
    origin = "a witness" if finding.seed is None else f"seed {finding.seed}"
    lines = ["", f"== {finding.store}, from {origin}"]
    lines += [f"   {step}" for step in difference.sequence]
    if difference.theirs.code == difference.ours.code and difference.theirs.ok:
        found = list(differing(difference.theirs.body, difference.ours.body))[:6]
        return lines + [
            f"     {path}: MLflow {_short(theirs)}; ours {_short(ours)}"
            for path, theirs, ours in found
        ]
    return [
        *lines,
        f"     MLflow {difference.theirs.status} {_short(difference.theirs.body)}",
        f"     ours   {difference.ours.status} {_short(difference.ours.body)}",
    ]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 600 else f"{text[:600]}..."
