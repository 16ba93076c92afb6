"""What a history says about whoever was under fire."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from chaos import history, registry_model
from chaos.calls import names_of
from chaos.linearizability import UndecidedError, Violation, violation
from chaos.settling import settled


@attrs.frozen
class Verdict:
    """How much was looked at, and what cannot have happened."""

    calls: int
    acknowledged: int
    """Calls with an outcome."""
    violations: dict[str, Violation]
    """By family."""
    undecided: tuple[str, ...]
    """Families with too many calls at the same time: a run that has any is repeated, less wild."""

    @property
    def unknown(self) -> int:
        """Calls of which nobody knows whether they were carried out."""
        return self.calls - self.acknowledged

    @property
    def good(self) -> bool:
        return not self.violations and not self.undecided


def judge(directory: Path) -> Verdict:
    """The verdict on all logs in a directory."""
    recorded = [call for _, call in history.recorded(directory)]
    violations: dict[str, Violation] = {}
    undecided: list[str] = []
    for family, calls in history.read(directory).items():
        try:
            found = violation(
                [*settled(calls)],
                registry_model.apply,
                registry_model.EMPTY,
                is_idle=registry_model.is_idle,
            )
        except UndecidedError:
            undecided.append(family)
        else:
            if found is not None:
                violations[family] = found
    acknowledged = sum(call.known for call in recorded)
    return Verdict(len(recorded), acknowledged, violations, tuple(undecided))


def reads(family: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The calls that show all there is of a family, for a last look."""
    yield "list", ()
    for model in names_of(family):
        yield "get", (model,)
        yield "get_versions", (model,)


def keep_if_broken(run: Callable[[Path], bool]) -> bool:
    """Whether a run with its logs in a fresh directory was good; they are kept if it was not."""
    directory = Path(tempfile.mkdtemp(prefix="registry-chaos-"))
    good = False
    try:
        good = run(directory)
    finally:
        if good:
            shutil.rmtree(directory)
        else:
            print(f"the history is in {directory}")
    return good


def show(verdict: Verdict) -> None:
    """Prints what cannot have happened."""
    for family, found in verdict.violations.items():
        print(f"{family} is not linearizable: {found.explained} of {found.total} calls explained")
        print(f"  state: {found.state}")
        for call in found.stuck:
            print(f"  stuck: {call}")
    for family in verdict.undecided:
        print(f"{family} is too tangled to decide")
