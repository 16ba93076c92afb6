"""A pipeline that pushes day after day, as the how-to says, each run a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.invoking import Regctl
from registry_core.testing.ages import DAY
from registry_core.testing.clocks import WallClock, moving_wall_clock

DAYS = 10


@pytest.fixture(params=["sqlite", "s3"])
def cli(request: pytest.FixtureRequest, tmp_path: Path) -> Regctl:
    if request.param == "sqlite":
        return Regctl(f"sqlite:///{tmp_path / 'registry.db'}")
    return Regctl(request.getfixturevalue("s3_url"))


@pytest.fixture
def clock() -> Iterator[WallClock]:
    with moving_wall_clock() as clock:
        yield clock


def test_a_daily_push_goes_on_for_days(cli: Regctl, clock: WallClock, tmp_path: Path) -> None:
    """`push --create` makes the model once; then it is a push."""
    model = tmp_path / "model"
    model.mkdir()
    for day in range(1, DAYS + 1):
        (model / "weights").write_text(f"of day {day}")
        pushed = cli.run("models", "push", "churn", str(model), "--create", "--alias", "champion")
        assert pushed.exit_code == 0, (day, pushed.stderr)
        clock.advance(DAY)
    created = cli.run("models", "create", "churn")
    assert (created.exit_code, created.stderr) == (
        5,
        "Error: Registered Model (name=churn) already exists.\n",
    )
    assert cli.names("versions", "list", "churn") == [
        f"models:/churn/{day}" for day in range(DAYS, 0, -1)
    ]
    out = tmp_path / "out"
    assert cli.run("models", "pull", "churn@champion", "-o", str(out)).exit_code == 0
    assert (out / "weights").read_text() == f"of day {DAYS}"


def test_champions_change_places_for_days(cli: Regctl, clock: WallClock) -> None:
    """A model is renamed away, and another takes its name, again and again."""
    for day in range(DAYS):
        cli.done("models", "create", "churn", "--tag", f"day={day}")
        clock.advance(DAY)
        cli.run("models", "rename", "churn", "churn-old")
        clock.advance(DAY)
        found = cli.json("models", "get", "churn-old")["registered_model"]
        assert found["tags"] == [{"key": "day", "value": str(day)}]
        cli.run("models", "delete", "churn-old", "--yes")
        clock.advance(DAY)
