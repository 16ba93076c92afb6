"""What a flood did to everybody else: figures from samples, and the bars that they are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import attrs

from hostile.calm import KINDS, Sample

MEMORY_BAR_MIB = 256.0
"""By so much a server may grow."""

RECOVERY_BAR_SECONDS = 5.0
"""After which, from the end of a flood, all has to be as it was."""

_STEP_SECONDS = 0.25
_MIB = 2**20


@attrs.frozen(kw_only=True)
class Phases:
    """Moments of one run on the monotonic clock."""

    quiet: float
    quiet_end: float
    flood: float
    """The flood is there: what it takes for that is no part of it."""
    flood_end: float
    over: float


@attrs.frozen(kw_only=True)
class Times:
    """How long calls of one kind took, in seconds; infinite for those without an answer."""

    p50: float
    p99: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Times | None:
        """The times of some samples; None of no samples."""
        found = sorted(sample.seconds for sample in samples)
        if not found:
            return None
        return cls(p50=_percentile(found, 0.5), p99=_percentile(found, 0.99))


def _percentile(found: Sequence[float], share: float) -> float:
    return found[math.ceil(share * len(found)) - 1]


@attrs.frozen(kw_only=True)
class Verdict:
    """What one flood did to a server on one store."""

    flood: str
    store: str
    quiet: Mapping[str, Times]
    """Of each kind of call, before the flood."""
    flooded: Mapping[str, Times]
    """Of each kind of call, during the flood."""
    memory_before_mib: float
    memory_most_mib: float
    memory_after_mib: float
    is_killed: bool
    """Whether the server took so much memory that it was stopped."""
    recovery_seconds: float
    """From the end of the flood until calls were as fast as they must be; infinite for never."""
    ends: bool
    """Whether SIGTERM ended the server afterwards, in time and with success."""
    seen: Mapping[str, int]
    """What the flood's clients saw."""
    has_access: bool = False
    """Whether an access file said what each caller may do."""

    @property
    def growth_mib(self) -> float:
        """Memory that the server took more at some time than before."""
        return self.memory_most_mib - self.memory_before_mib

    @property
    def broken(self) -> Sequence[str]:
        """The bars that do not hold, in words."""
        found = [
            f"{KINDS[kind].what}: p99 {_seconds(times.p99)}, "
            f"not {_seconds(KINDS[kind].bar_seconds)}"
            for kind, times in self.flooded.items()
            if times.p99 > KINDS[kind].bar_seconds
        ]
        if self.growth_mib > MEMORY_BAR_MIB:
            found.append(f"memory grew by {self.growth_mib:.0f} MiB, not {MEMORY_BAR_MIB:.0f}")
        if self.recovery_seconds > RECOVERY_BAR_SECONDS:
            found.append(
                f"normal after {_seconds(self.recovery_seconds)}, "
                f"not {_seconds(RECOVERY_BAR_SECONDS)}"
            )
        if not self.ends:
            found.append("SIGTERM did not end the server")
        return found

    @property
    def holds(self) -> bool:
        """Whether every bar does."""
        return not self.broken


def judge(
    samples: Sequence[Sample],
    phases: Phases,
    memory: Mapping[str, float],
    *,
    flood: str,
    store: str,
    is_killed: bool,
    ends: bool,
    seen: Mapping[str, int],
    has_access: bool = False,
) -> Verdict:
    """The verdict on one run; `memory` has the bytes `before`, at `most` and `after`."""
    return Verdict(
        flood=flood,
        store=store,
        quiet=_times(samples, phases.quiet, phases.quiet_end),
        flooded=_times(samples, phases.flood, phases.flood_end),
        memory_before_mib=memory["before"] / _MIB,
        memory_most_mib=memory["most"] / _MIB,
        memory_after_mib=memory["after"] / _MIB,
        is_killed=is_killed,
        ends=ends,
        recovery_seconds=recovery(samples, phases.flood_end, phases.over),
        seen=seen,
        has_access=has_access,
    )


def _times(samples: Sequence[Sample], since: float, until: float) -> Mapping[str, Times]:
    found = {
        kind: Times.of([s for s in samples if s.kind == kind and since <= s.due < until])
        for kind in KINDS
    }
    return {kind: times for kind, times in found.items() if times is not None}


def recovery(samples: Sequence[Sample], end: float, over: float) -> float:
    """Seconds from `end` after which every kind of call keeps its bar, up to `over`.

    Infinite where that is not so with the bar's time left to see it in.
    """
    for step in range(int((over - end) / _STEP_SECONDS)):
        since = end + step * _STEP_SECONDS
        times = _times(samples, since, over)
        if all(found.p99 <= KINDS[kind].bar_seconds for kind, found in times.items()):
            return since - end if over - since >= 1 else math.inf
    return math.inf


def _seconds(seconds: float) -> str:
    if math.isinf(seconds):
        return "none"
    return f"{seconds * 1_000:,.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
