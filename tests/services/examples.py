"""How much a test tries: some in the gate, all in `nox -s long`.

Tests say how many examples of Hypothesis the long form takes, by `examples` or by nothing, which is
100. The gate takes a share of them, anew in each run. Tests that go through all of something by
themselves are marked `scaled`, and ask `one_of`.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

GATE, LONG = "gate", "long"
"""The profiles; `--hypothesis-profile=long` chooses."""

GATE_SHARE = 10
"""The gate tries one example where the long form tries so many."""

FEWEST = 10
"""No test tries fewer in the gate, unless the long form does."""

DEFAULT = 100


def register() -> None:
    """Makes the profiles known. How long an example takes on a busy machine says nothing of it."""
    for name in (GATE, LONG):
        settings.register_profile(
            name,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            max_examples=_share(DEFAULT, name),
        )


def examples(number: int, *, gate: int | None = None) -> int:
    """How many to try now of so many in the long form; the gate's own number, if it has one."""
    profile = settings.get_current_profile_name()
    return gate if gate is not None and profile == GATE else _share(number, profile)


def one_of(number: int) -> int:
    """The stride of a loop: 1 in the long form, and so many in the gate."""
    return 1 if settings.get_current_profile_name() == LONG else number


def _share(number: int, profile: str) -> int:
    if profile == LONG:
        return number
    return max(number // GATE_SHARE, min(number, FEWEST))
