"""What a store says about its own health: for stores that can damage, and repair, by halves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

import attrs

GRACE_SECONDS = 3600.0
"""Seconds after which what an operation left unfinished counts as left behind, not as under way.

Far longer than any operation lasts, so that a check can run, and repair, beside writers.
"""


@attrs.frozen(kw_only=True)
class Finding:
    """One thing that is not as it should be."""

    problem: str
    """A word for the kind of problem, such as `orphaned-value`; scripts may rely on it."""
    subject: str
    """What has it, by the name that the backend's own tools know."""
    detail: str
    """What is wrong, for people."""
    repairable: bool
    """Whether a repair puts it right without losing anything that was acknowledged."""
    repaired: bool = False


@attrs.frozen(kw_only=True)
class Report:
    """The outcome of a check."""

    findings: tuple[Finding, ...]
    checked: Mapping[str, int]
    """How many things of each kind were looked at; a kind of which there are none is here too."""
    not_checked: Mapping[str, int] = attrs.field(factory=dict)
    """How many things were not looked at, by the reason, such as `sources_elsewhere`."""
    notes: tuple[str, ...] = ()
    """What else was seen or done, without being wrong."""

    @property
    def clean(self) -> bool:
        """Whether something was looked at, and nothing of it is wrong any more."""
        return bool(self.checked) and all(finding.repaired for finding in self.findings)

    @classmethod
    def of(cls, reports: Iterable[Report]) -> Report:
        """Several reports as one."""
        listed = tuple(reports)
        return cls(
            findings=tuple(finding for report in listed for finding in report.findings),
            checked=_total(report.checked for report in listed),
            not_checked=_total(report.not_checked for report in listed),
            notes=tuple(note for report in listed for note in report.notes),
        )


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for kind, count in each.items():
            total[kind] = total.get(kind, 0) + count
    return total


@runtime_checkable
class Fsck(Protocol):
    """A store that can check itself."""

    def fsck(self, *, repair: bool = False, grace_seconds: float = GRACE_SECONDS) -> Report:
        """Return what is wrong with the stored data; change nothing unless `repair` is set.

        A repair loses nothing that was acknowledged. With less than the default grace it must run
        alone: what others are writing might be taken for left behind.
        """
        ...
