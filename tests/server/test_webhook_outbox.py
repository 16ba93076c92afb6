"""The outbox: when jobs run, how many at once, and what becomes of them at the end."""

from __future__ import annotations

import itertools
import logging
import threading
import time

import pytest

from registry_core.webhook_delivery import outbox as module
from registry_core.webhook_delivery.outbox import Outbox, OutboxFullError

SOON = 10


class Gate:
    """A job that runs until it is let go, and tells when it has started."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.release = threading.Event()

    def __call__(self) -> None:
        self.started.set()
        assert self.release.wait(SOON)


def test_outbox_runs_every_job_once():
    """More jobs than threads are no problem."""
    outbox, ran, lock = Outbox(threads=3), [], threading.Lock()

    def job(number):
        with lock:
            ran.append(number)

    for number in range(100):
        outbox.submit(f"k{number % 7}", lambda number=number: job(number))
    assert outbox.close(SOON) == 0
    assert sorted(ran) == list(range(100))


def test_outbox_starts_no_thread_before_it_is_needed():
    """A server without webhooks has none of this."""
    before = threading.active_count()
    outbox = Outbox()
    assert threading.active_count() == before
    assert outbox.close(SOON) == 0


def test_outbox_runs_a_job_again_after_the_pause_it_asked_for():
    """The pause is spent in no thread: others run meanwhile."""
    outbox = Outbox(threads=1)
    times, other = [], threading.Event()

    def job():
        times.append(time.monotonic())
        return 0.05 if len(times) < 3 else None

    outbox.submit("a", job)
    outbox.submit("b", other.set)
    assert other.wait(SOON)
    assert len(times) < 3
    assert outbox.close(SOON) == 0
    assert len(times) == 3
    assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(times))


def test_outbox_keeps_threads_free_of_one_key():
    """A receiver that does not answer takes a share of the threads and no more."""
    outbox = Outbox(threads=3, threads_per_key=2)
    stuck = [Gate() for _ in range(5)]
    for gate in stuck:
        outbox.submit("slow", gate)
    assert stuck[0].started.wait(SOON)
    assert stuck[1].started.wait(SOON)
    other = threading.Event()
    outbox.submit("quick", other.set)
    assert other.wait(SOON)
    assert not any(gate.started.is_set() for gate in stuck[2:])
    for gate in stuck:
        gate.release.set()
    assert outbox.close(SOON) == 0
    assert all(gate.started.is_set() for gate in stuck)


def test_outbox_refuses_more_than_its_share_of_one_key(monkeypatch):
    """What waits is in memory; a finished job makes room."""
    monkeypatch.setattr(module, "PENDING_PER_KEY", 2)
    outbox, gate, done = Outbox(threads=1), Gate(), threading.Event()
    outbox.submit("a", gate)
    outbox.submit("a", done.set)
    with pytest.raises(OutboxFullError):
        outbox.submit("a", gate)
    outbox.submit("b", lambda: None)
    gate.release.set()
    assert done.wait(SOON)
    assert outbox.close(SOON) == 0


def test_outbox_survives_a_job_that_fails(caplog):
    """The failure is logged; the thread and the key's place are free again."""
    outbox, done = Outbox(threads=1), threading.Event()
    with caplog.at_level(logging.ERROR):
        outbox.submit("a", lambda: 1 / 0)
        outbox.submit("a", done.set)
        assert done.wait(SOON)
    assert "ZeroDivisionError" in caplog.text
    assert outbox.close(SOON) == 0


def test_outbox_at_its_end_waits_for_pending_jobs_and_takes_no_more():
    """A job that is due later still runs if there is time."""
    outbox, ran = Outbox(), []
    outbox.submit("a", lambda: ran.append(1) or (0.02 if len(ran) < 2 else None))
    assert outbox.close(SOON) == 0
    assert len(ran) == 2
    with pytest.raises(OutboxFullError):
        outbox.submit("a", lambda: None)


def test_outbox_at_its_end_abandons_what_takes_too_long():
    """The number of abandoned jobs is told, running and waiting ones."""
    outbox, gate, never = Outbox(threads=1), Gate(), threading.Event()
    outbox.submit("a", gate)
    outbox.submit("a", never.set)
    assert gate.started.wait(SOON)
    started = time.monotonic()
    assert outbox.close(0.05) == 2
    assert time.monotonic() - started < SOON / 2
    gate.release.set()
    assert not never.is_set()
