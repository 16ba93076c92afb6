"""Connections and workers: who takes which."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import statistics
import time
from pathlib import Path

import pytest

from registry_server.process import listener
from registry_server.process.connections import Connections
from registry_server.process.listener import Listener
from registry_server.process.load_table import _WORKERS_MAX, LoadTable
from services.processes import children, wait_for
from services.registry_server import RegistryServer

ROUNDS = 5
"""Of which the median counts: on a busy machine a worker may be too late for its share."""

MOST_ROUNDS = 40
"""On a very busy machine a worker may be too late many times, but not always."""

_ESTABLISHED, _LISTENING = "01", "0A"
"""States of TCP in the kernel's table."""


@pytest.mark.parametrize("clients", [9, 48])
def test_clients_that_come_at_once_are_shared_out(tmp_path, clients):
    """They keep their connections: whoever had them all would have all the work."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=3) as server:
        fewest: list[int] = []
        while len(fewest) < ROUNDS or not is_fair(fewest, clients):
            assert len(fewest) < MOST_ROUNDS, fewest
            workers = idle_workers(server, 3)
            with connected(server, clients):
                fewest.append(min(connections(worker) for worker in workers))


def is_fair(fewest: list[int], clients: int) -> bool:
    """Whether in most of the last rounds every one of three workers had its share, or nearly."""
    return statistics.median(fewest[-ROUNDS:]) >= clients / 3 * 0.6


def test_connections_that_end_make_room(tmp_path):
    """Whoever has fewer left takes the next ones."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        fewest = []
        for _ in range(ROUNDS):
            workers = idle_workers(server, 2)
            with contextlib.ExitStack() as stack:
                for one in stack.enter_context(connected(server, 8)):
                    if one.getsockname()[1] in ports(workers[0]):
                        one.close()
                wait_for(lambda first=workers[0]: connections(first) == 0)
                stack.enter_context(connected(server, 4))
                fewest.append(min(connections(worker) for worker in workers))
        assert statistics.median(fewest) >= 3, fewest


def test_worker_that_hangs_keeps_no_connection_waiting(tmp_path):
    """It has the fewest for ever; the others wait for it a moment, and then no more."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        stopped, other = idle_workers(server, 2)
        os.kill(stopped, signal.SIGSTOP)
        try:
            began = time.monotonic()
            with connected(server, 50):
                assert time.monotonic() - began < 20
                assert connections(other) == 50
        finally:
            os.kill(stopped, signal.SIGCONT)


def test_worker_in_place_of_a_dead_one_takes_its_share(tmp_path):
    """Neither the dead one's count nor its place stays."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        dead, _ = idle_workers(server, 2)
        # It had none: were that still believed, the others would leave all to it, and then to none.
        os.kill(dead, signal.SIGKILL)
        wait_for(lambda: dead not in children(server.pid))
        fewest = []
        for _ in range(ROUNDS):
            workers = idle_workers(server, 2)
            assert dead not in workers
            with connected(server, 40):
                fewest.append(min(connections(worker) for worker in workers))
        assert statistics.median(fewest) >= 14, fewest


# Below a server


def test_a_share_knows_what_others_have():
    shares = LoadTable()
    one, other = shares.take(), shares.take()
    assert one.is_fair(5)
    one.publish(3)
    other.publish(3)
    assert one.is_fair(4)
    assert not one.is_fair(5)
    other.publish(40)
    one.publish(44)
    assert one.is_fair(46)
    assert not one.is_fair(47)
    other.leave()
    assert one.is_fair(44)


def test_a_share_that_is_given_back_is_taken_again():
    """And counts for nobody meanwhile, however often it is given back."""
    shares = LoadTable()
    one = shares.take()
    one.publish(0)
    shares.give_back(one)
    shares.give_back(one)
    assert shares.take() is one
    assert shares.take() is not one
    assert shares.take().is_fair(5)


def test_more_workers_than_shares_take_what_comes():
    shares = LoadTable()
    taken = [shares.take() for _ in range(_WORKERS_MAX)]
    assert len(set(taken)) == _WORKERS_MAX
    further = shares.take()
    further.publish(7)
    assert further.is_fair(7)
    assert taken[0].is_fair(100)
    shares.give_back(further)
    assert shares.take() is not further


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "no more connections can be taken"),
        (OSError(errno.ECONNABORTED, "Software caused connection abort"), ""),
        (MemoryError(), "connections could not be taken"),
    ],
)
def test_a_connection_that_cannot_be_taken_ends_nothing(monkeypatch, caplog, failure, told):
    """Whether it has gone away, or no more files may be opened, or nobody knows why."""
    monkeypatch.setattr(listener, "_EXHAUSTED_SECONDS", 0.01)

    async def main():
        with Listening(failures=[failure]) as listening:
            await listening.take_one()
            assert listening.failures == []
            await listening.end()

    asyncio.run(main())
    assert told in caplog.text
    assert bool(told) == bool(caplog.records)


def test_a_worker_that_can_take_none_leaves_them_to_others(monkeypatch):
    """Nobody waits for it, until it tries again."""
    monkeypatch.setattr(listener, "_EXHAUSTED_SECONDS", 0.5)

    async def main():
        with Listening(failures=[OSError(errno.EMFILE, "Too many open files")]) as listening:
            assert not listening.other.is_fair(2)
            taking = asyncio.create_task(listening.take_one())
            while not listening.other.is_fair(2):
                assert not taking.done()
                await asyncio.sleep(0.001)
            await taking
            assert not listening.other.is_fair(3)
            await listening.end()

    asyncio.run(main())


def test_many_that_wait_are_taken_together():
    """Requests that take long do not come between them; those being made count already."""

    async def main():
        with Listening() as listening, contextlib.ExitStack() as clients:
            for _ in range(10):
                clients.enter_context(socket.create_connection(listening.address))
            await listening.accepted.wait()
            assert len(listening.connections.beginning) == 10
            listening.other.publish(100)
            assert listening.other.is_fair(12)
            assert not listening.other.is_fair(13)
            await listening.end()
            assert len(listening.made) == 10
            assert not listening.connections.beginning

    asyncio.run(main())


@pytest.mark.parametrize(
    ("failure", "told"), [(ConnectionResetError, ""), (RuntimeError, "not be")]
)
def test_a_connection_that_cannot_be_served_ends_nothing(monkeypatch, caplog, failure, told):
    """As when the peer has gone away already."""

    async def fail(*_, **__):
        raise failure

    async def main():
        loop = asyncio.get_running_loop()
        with Listening() as listening:
            client = socket.create_connection(listening.address)
            client.setblocking(False)
            with client, monkeypatch.context() as patched:
                patched.setattr(loop, "connect_accepted_socket", fail)
                assert await asyncio.wait_for(loop.sock_recv(client, 1), 60) == b""
            assert not listening.connections.beginning
            await listening.take_one()
            await listening.end()

    asyncio.run(main())
    assert told in caplog.text
    assert bool(told) == bool(caplog.records)


def test_a_connection_without_a_protocol_is_closed(monkeypatch, caplog):
    """And others are taken."""
    monkeypatch.setattr(listener, "_EXHAUSTED_SECONDS", 0.01)

    def fail():
        raise RuntimeError

    async def main():
        with Listening() as listening:
            client = socket.create_connection(listening.address)
            client.setblocking(False)
            with client, monkeypatch.context() as patched:
                patched.setattr(listening.listener, "_protocol", fail)
                loop = asyncio.get_running_loop()
                assert await asyncio.wait_for(loop.sock_recv(client, 1), 60) == b""
            await listening.take_one()
            await listening.end()

    asyncio.run(main())
    assert "connections could not be taken" in caplog.text


def test_a_connection_counts_once():
    """Whether it is being made, or made, or both."""
    shares = LoadTable()
    connections, other = Connections(shares.take()), shares.take()
    other.publish(100)
    for change in (connections.begin, connections.add, connections.end):
        change("a connection")
        assert other.is_fair(2)
        assert not other.is_fair(3)
    connections.discard("a connection")
    assert not other.is_fair(2)


def test_a_connection_that_was_taken_while_closing_is_shut_down():
    """Nobody else would: those that were there have been."""

    async def main():
        with Listening() as listening:
            client = socket.create_connection(listening.address)
            with client:
                await listening.accepted.wait()
                listening.close()
                await listening.listener.wait_closed()
                (made,) = listening.made
                assert made.was_shut_down

    asyncio.run(main())


def test_a_closed_listener_takes_nothing():
    async def main():
        with Listening() as listening:
            listening.close()
            await listening.listener.wait_closed()
            with socket.create_connection(listening.address):
                await asyncio.sleep(0.05)
            assert listening.made == []

    asyncio.run(main())


class Listening:
    """A listener on a real socket, whose `accept` fails as the test wants; for one event loop."""

    def __init__(self, *, failures=()):
        self.failures = list(failures)
        self.accepted = asyncio.Event()
        self.made = []
        self._is_made = asyncio.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = self._socket.getsockname()
        shares = LoadTable()
        self.connections = Connections(shares.take())
        self.other = shares.take()
        self.listener = Listener(self, self._protocol, self.connections)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    async def take_one(self):
        """Connects, and waits until that is served."""
        self._is_made.clear()
        with socket.create_connection(self.address):
            await self._is_made.wait()

    async def end(self):
        self.close()
        await self.listener.wait_closed()

    def close(self):
        self.listener.close()

    # What a listener needs of a socket.

    def fileno(self):
        return self._socket.fileno()

    def settimeout(self, seconds):
        self._socket.settimeout(seconds)

    def accept(self):
        if self.failures:
            raise self.failures.pop()
        taken = self._socket.accept()
        self.accepted.set()
        return taken

    def _protocol(self):
        protocol = Served()
        self.made.append(protocol)
        self._is_made.set()
        return protocol


class Served(asyncio.Protocol):
    """What a listener needs of a connection."""

    was_shut_down = False

    def shutdown(self):
        self.was_shut_down = True


@contextlib.contextmanager
def connected(server, clients):
    """So many clients that come at once, each of which has been answered."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(clients):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", server.port))
            found.append(client)
        for client in found:
            client.settimeout(20)
            client.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for client in found:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        yield found


def idle_workers(server, count):
    """The workers, when all of them listen and have no connection."""
    wait_for(lambda: len(children(server.pid)) == count)
    workers = children(server.pid)
    # Before, others would not leave it anything.
    wait_for(lambda: all(is_listening(worker, server.port) for worker in workers))
    wait_for(lambda: not any(connections(worker) for worker in workers))
    return workers


def is_listening(pid, port):
    """Whether a process waits for connections to a port, which it shares with others."""
    of_port = [
        number
        for number, inode in sockets(pid)
        if (_LISTENING, inode, port) in {one[:3] for one in tcp(pid)}
    ]
    watched = []
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            lines = info.read_text().splitlines()
            watched += [int(line.split()[1]) for line in lines if line.startswith("tfd:")]
    return any(number in watched for number in of_port)


def connections(pid):
    return len(ports(pid))


def ports(pid):
    """The clients' ports of the connections that a process has."""
    inodes = {inode for _, inode in sockets(pid)}
    return {
        remote for state, inode, _, remote in tcp(pid) if state == _ESTABLISHED and inode in inodes
    }


def sockets(pid):
    """Descriptors and inodes of the sockets that a process has open."""
    found = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found.append((int(descriptor.name), target[8:-1]))
    return found


def tcp(pid):
    """State, inode, and the two ports of the sockets of the machine."""
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, state, *_, inode = line.split()[:10]
        yield state, inode, port_of(local), port_of(remote)


def port_of(address):
    return int(address.rpartition(":")[2], 16)
