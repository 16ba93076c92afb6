"""The one pool of threads for calls that wait for disks and networks."""

from __future__ import annotations

import threading

import pytest

from registry_core.thread_pool import ThreadPool

SOON = 30.0


@pytest.fixture
def pool():
    with ThreadPool(2, name="two") as made:
        yield made


def test_results_are_in_the_order_of_the_arguments(pool):
    second_is_done = threading.Event()

    def work(number):
        if number == 1:
            assert second_is_done.wait(SOON)
        else:
            second_is_done.set()
        return number * 10

    assert pool.map(work, [1, 2]) == [10, 20]


def test_one_argument_needs_no_thread(pool):
    assert pool.map(lambda _: threading.current_thread(), [1]) == [threading.current_thread()]
    assert pool.map(lambda _: threading.current_thread(), []) == []


def test_no_more_threads_than_the_limit_and_all_have_its_name(pool):
    both = threading.Barrier(2)

    def work(_):
        both.wait(SOON)
        return threading.current_thread().name

    names = set(pool.map(work, range(10)))
    assert len(names) == 2
    assert all(name.startswith("two") for name in names)


def test_the_first_error_stops_what_has_not_begun():
    done = []

    def work(number):
        if number == 0:
            raise ValueError("the first")
        done.append(number)

    with ThreadPool(1, name="one") as pool, pytest.raises(ValueError, match="the first"):
        pool.map(work, range(20_000))
    assert len(done) < 20_000


def test_submit_waits_while_all_threads_are_busy(pool):
    go = threading.Event()
    futures = [pool.submit(lambda: go.wait(SOON)) for _ in range(2)]
    third = threading.Thread(target=lambda: futures.append(pool.submit(lambda: True)))
    third.start()
    third.join(0.1)
    assert third.is_alive()
    assert len(futures) == 2
    go.set()
    third.join(SOON)
    assert [future.result(SOON) for future in futures] == [True, True, True]


def test_a_failed_call_frees_its_place(pool):
    for _ in range(5):
        with pytest.raises(ZeroDivisionError):
            pool.submit(lambda: 1 // 0).result(SOON)
    assert pool.submit(lambda: 7).result(SOON) == 7


def test_a_closed_pool_starts_again(pool):
    pool.submit(lambda: None).result(SOON)
    pool.close()
    assert pool.map(lambda number: number, [1, 2]) == [1, 2]
