"""The table of releases: which calls of which release of MLflow's client work, on which stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

STORES = ("SQLite", "PostgreSQL", "bucket")
"""Where the registry of a server is kept, in the order of the outcomes."""

WORKS, ABSENT = "✓", "-"

_HEADER = """\
# Releases of MLflow's client

Written by `uvx nox -s releases`. Each column is a release of MLflow's Python client, unchanged; each
row is a call that it makes over a socket on servers that keep their registry in SQLite, PostgreSQL
and a bucket. ✓ works on all three, `-` is no call of that release.
"""


def render(releases: Mapping[str, Sequence[Mapping[str, str | None]]]) -> str:
    """Return the page with the outcomes of each release, in the order of the stores."""
    calls = list(dict.fromkeys(call for each in releases.values() for call in each[0]))
    calls.sort(key=lambda call: (not call.startswith("MlflowClient."), call))
    rows = [_row(["call", *releases]), _row(["---"] * (len(releases) + 1))]
    rows += [
        _row([f"`{call}`", *(_cell(each, call) for each in releases.values())]) for call in calls
    ]
    counts = [str(len(each[0])) for each in releases.values()]
    return "\n".join([_HEADER, *rows, _row(["calls", *counts]), ""])


def _cell(outcomes: Sequence[Mapping[str, str | None]], call: str) -> str:
    if call not in outcomes[0]:
        return ABSENT
    failed = [store for store, one in zip(STORES, outcomes, strict=True) if one[call] is not None]
    return f"✗ {', '.join(failed)}" if failed else WORKS


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
