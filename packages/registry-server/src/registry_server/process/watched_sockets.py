"""Sockets that calls in an event loop wait for, each until it is ready for the first time.

Strategy: the loop's own way of watching a socket costs many times as much, and each pause of a call
is another one. So all of them are watched by one descriptor, and the loop watches that.
"""

from __future__ import annotations

import contextlib
import select
import selectors
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Protocol


class Sockets(Protocol):
    """Sockets that are watched until they are ready for the first time.

    Itself ready for reading when one of them is ready.
    """

    def fileno(self) -> int:
        """Return the descriptor that a loop watches."""
        ...

    def watch(self, descriptor: int, events: int) -> None:
        """Watch a socket for any of the events of `selectors`."""
        ...

    def forget(self, descriptor: int) -> None:
        """Watch a socket no longer."""
        ...

    def ready(self) -> list[tuple[int, int]]:
        """Return those that have become ready, which ends their watch, and for which events."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


class Epoll:
    """Linux's way: watching a socket again is one system call, and it is forgotten by itself."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.fileno = self._epoll.fileno
        self.close = self._epoll.close

    def watch(self, descriptor: int, events: int) -> None:
        """See `Sockets`."""
        try:
            self._epoll.modify(descriptor, _EPOLL_EVENTS[events])
        except FileNotFoundError:
            # The first time. The kernel forgets a socket that is closed.
            self._epoll.register(descriptor, _EPOLL_EVENTS[events])

    def forget(self, descriptor: int) -> None:
        """See `Sockets`."""
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)

    def ready(self) -> list[tuple[int, int]]:
        """See `Sockets`."""
        # What is wrong with a socket is found out by reading or writing.
        return [
            (
                descriptor,
                (EVENT_READ if events & ~select.EPOLLOUT else 0)
                | (EVENT_WRITE if events & ~select.EPOLLIN else 0),
            )
            for descriptor, events in self._epoll.poll(0)
        ]


class Selector:
    """The way of other systems whose selectors are descriptors themselves."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close

    def fileno(self) -> int:
        """See `Sockets`."""
        return self._selector.fileno()

    def watch(self, descriptor: int, events: int) -> None:
        """See `Sockets`."""
        self._selector.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """See `Sockets`."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def ready(self) -> list[tuple[int, int]]:
        """See `Sockets`."""
        ready = [(key.fd, events) for key, events in self._selector.select(0)]
        for descriptor, _ in ready:
            self._selector.unregister(descriptor)
        return ready


if hasattr(select, "epoll"):
    make_sockets: Callable[[], Sockets] = Epoll
    _EPOLL_EVENTS = {
        EVENT_READ: select.EPOLLIN | select.EPOLLONESHOT,
        EVENT_WRITE: select.EPOLLOUT | select.EPOLLONESHOT,
        EVENT_READ | EVENT_WRITE: select.EPOLLIN | select.EPOLLOUT | select.EPOLLONESHOT,
    }
else:
    make_sockets = Selector
