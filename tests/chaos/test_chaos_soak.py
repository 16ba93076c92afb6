"""A few seconds at full load, and what the half hour of `nox -s soak` would find."""

from __future__ import annotations

import attrs
import pytest

from chaos.soak import Load, Report, Sample, soak, sqlite

FLAT = Sample(
    requests=500,
    p50_ms=10.0,
    p99_ms=50.0,
    memory_mib=200.0,
    files=80,
    database_connections=15,
    cpu_us=700.0,
    data_mib=5.0,
    others_percent=50.0,
)


def report(**last) -> Report:
    """A report whose last third differs from the rest in these figures."""
    samples = [FLAT] * 20 + [attrs.evolve(FLAT, **last)] * 10
    return Report("sqlite", samples, files_before=60, files_after=70, database_connections_most=32)


@pytest.mark.long
def test_a_server_at_full_load_answers_as_it_should() -> None:
    """Whoever expects a 200, a 400 or a 404 gets one, and every figure is measured."""
    with sqlite() as database:
        found = soak(database, Load(seed=1, minutes=0.05, clients=2, sample_seconds=0.5))
    assert found.failures == 0
    assert found.table().count("\n") == 10
    assert all(sample.memory_mib > 0 and sample.files > 0 for sample in found.samples)
    assert found.median(2, "requests") > 1
    assert found.median(2, "database_connections") >= 1


def test_what_does_not_grow_is_no_finding() -> None:
    """A little noise is none either."""
    assert report().findings() == []
    assert report(memory_mib=209.0, p50_ms=12.0, cpu_us=750.0).findings() == []


@pytest.mark.parametrize(
    ("last", "what"),
    [
        ({"memory_mib": 211.0}, "memory_mib grew from 200.0 to 211.0"),
        ({"p50_ms": 13.0}, "p50_ms grew"),
        ({"p99_ms": 63.0}, "p99_ms grew"),
        ({"cpu_us": 780.0}, "cpu_us grew"),
        ({"files": 81}, "files grew from 80 to 81"),
        ({"database_connections": 16}, "database_connections grew"),
    ],
)
def test_what_grows_is_found(last, what: str) -> None:
    """Memory from 5 % on, one file or connection that stays open."""
    (finding,) = report(**last).findings()
    assert what in finding


def test_what_is_left_open_without_clients_is_found() -> None:
    """Beyond the connections to the database that are kept."""
    left = attrs.evolve(report(), files_after=93, failures=1)
    assert left.findings() == [
        "93 files are open without a client",
        "1 requests had an answer that they should not have",
    ]
