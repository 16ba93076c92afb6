"""How workers come by their connections: `python -m bench.sharing [--rounds N] [--seconds S]`.

Four ways, the same server otherwise, each round of all of them interleaved; medians of the rounds:

- `table`: one socket, and a table of who has how many (`registry_server.process.listener`).
- `one`: one socket; whoever comes first takes one, and looks again.
- `reuseport`: a socket for each worker; the kernel chooses by a hash of the addresses.
- `parent`: a parent that accepts, and passes each connection to the worker that has fewest.

`keep` is a load on connections that stay, `close` one of a connection for each request, and `pages` as
`keep`, of pages of 100 models: what takes a worker milliseconds shows what an uneven share costs. `fewest`
is what the worker with fewest connections had of its even share. `hung` is how many of 50 clients were
answered within 2 seconds while one of the workers stood still.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import select
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from registry_core import open_registry
from registry_server import Settings
from registry_server.http.app import compose
from registry_server.process import listener as sharing
from registry_server.process.limits import Limits
from registry_server.process.listener import Listener, WorkerConfig, WorkerServer
from registry_server.process.load_table import LoadTable

WORKERS = 2
CLIENTS = {"keep": (4, 8, 32), "pages": (4, 8), "close": (8,)}
WAYS = ("table", "one", "reuseport", "parent")
MODELS, VERSIONS = 100, 4
_API = "/api/2.0/mlflow/registered-models"
PATHS = {"pages": f"{_API}/search?max_results={MODELS}"}
GET = f"{_API}/get?name=m0"


class One(Listener):
    """Takes one connection and has the loop look again."""

    async def _take_what_waits(self):
        with contextlib.suppress(BlockingIOError):
            self._begin_to_serve(self._listening.accept()[0])


class All(Listener):
    """Takes all that waits, as event loops do."""

    async def _take_what_waits(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                self._begin_to_serve(self._listening.accept()[0])


class Passed(Listener):
    """Takes what the parent passes."""

    async def _take_what_waits(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                data, descriptors, *_ = socket.recv_fds(self._listening, 1, 1)
                if not data:
                    self._loop.remove_reader(self._listening)
                    self._is_closed = True
                    return
                self._begin_to_serve(socket.socket(fileno=descriptors[0]))


def listening(port=0, *, reuse=False):
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    found.listen(4_096)
    return found


class Server:
    """Two workers, and the way in which they come by connections."""

    def __init__(self, way, url):
        self.way = way
        self.loads = LoadTable()
        self.taken = [self.loads.take() for _ in range(WORKERS)]
        settings = Settings(store=url)
        self.app = compose(settings)
        self.settings, self.url = settings, url
        self.shared = None if way == "reuseport" else listening()
        own = [listening(reuse=True)] if way == "reuseport" else []
        if own:
            own += [listening(own[0].getsockname()[1], reuse=True) for _ in range(WORKERS - 1)]
        self.port = (self.shared or own[0]).getsockname()[1]
        pairs = [socket.socketpair() for _ in range(WORKERS)] if way == "parent" else []
        self.pids = []
        for index in range(WORKERS):
            pid = os.fork()
            if pid == 0:
                mine = pairs[index][1] if pairs else own[index] if own else self.shared
                for other in [*own, *(one for pair in pairs for one in pair)]:
                    if other is not mine:
                        other.close()
                self.work(mine, self.taken[index])
            self.pids.append(pid)
        self.dispatcher = None
        if way == "parent":
            self.dispatcher = os.fork()
            if self.dispatcher == 0:
                self.dispatch([pair[0] for pair in pairs])
        for one in [*own, *(one for pair in pairs for one in pair)]:
            one.close()
        if self.shared:
            self.shared.close()

    def work(self, mine, load):
        registry = open_registry(self.url)
        self.app.start(registry)
        config = WorkerConfig(
            self.app,
            interface="asgi3",
            http="registry_server.process.protocol:RegistryProtocol",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.limits = Limits.of(self.settings)
        if self.way == "parent":
            # It has no options of TCP.
            del sharing.socket.TCP_NOTSENT_LOWAT
        server = WorkerServer(config, load)
        server.listener = {"table": Listener, "one": One, "reuseport": All, "parent": Passed}[
            self.way
        ]
        with contextlib.suppress(BaseException):
            server.run(sockets=[mine])
        os._exit(0)

    def dispatch(self, workers):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        while True:
            select.select([self.shared], [], [])
            taken, _ = self.shared.accept()
            counts = [load._counts[load._index] for load in self.taken]
            worker = counts.index(min(counts))
            # What is under way counts already; the worker tells its own count soon after.
            self.taken[worker]._counts[self.taken[worker]._index] += 1
            socket.send_fds(workers[worker], [b"c"], [taken.fileno()])
            taken.close()

    def close(self):
        for pid in [*self.pids, *([self.dispatcher] if self.dispatcher else [])]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGTERM)
        for pid in [*self.pids, *([self.dispatcher] if self.dispatcher else [])]:
            os.waitpid(pid, 0)

    def ready(self):
        deadline = time.monotonic() + 30
        while not all(load.beats for load in self.taken):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def fewest(self, clients):
        counts = [load._counts[load._index] for load in self.taken]
        return min(counts) / (clients / WORKERS)


def load(server, kind, clients, seconds):
    """Requests a second, p50 and p99 in µs, and how evenly the connections were shared."""
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency"]
    if kind == "close":
        command += ["-H", "Connection: close"]
    command.append(f"http://127.0.0.1:{server.port}{PATHS.get(kind, GET)}")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as wrk:
        time.sleep(seconds * 0.6)
        fewest = server.fewest(clients) if kind != "close" else float("nan")
        text = wrk.communicate()[0]
    assert "Non-2xx" not in text, text
    return (
        float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        percentile(50, text),
        percentile(99, text),
        fewest,
    )


def percentile(percent, text):
    """A line of its own; a spread that ends in the same digits may come before it."""
    return microseconds(re.search(rf"^ +{percent}% +(\S+)$", text, re.MULTILINE)[1])


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7}[unit]


def answered_beside_a_hung_worker(server):
    """How many of 50 clients that come at once are answered, while one worker stands still."""
    os.kill(server.pids[0], signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(50):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            clients.append(client)
        deadline = time.monotonic() + 2
        waiting = set(clients)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for client in select.select(list(waiting), [], [], left)[0]:
                waiting.discard(client)
        answered = 50 - len(waiting)
    os.kill(server.pids[0], signal.SIGCONT)
    return answered


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as home:
        url = f"sqlite:///{Path(home) / 'r.db'}"
        with open_registry(url) as registry:
            for number in range(MODELS):
                registry.create_registered_model(f"m{number}")
                for version in range(VERSIONS):
                    registry.create_model_version(f"m{number}", source=f"s3://b/{version}")
        for number in range(options.rounds):
            for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
                server = Server(way, url)
                try:
                    server.ready()
                    for kind, counts in CLIENTS.items():
                        for clients in counts:
                            found = load(server, kind, clients, options.seconds)
                            figures.setdefault((kind, clients, way), []).append(found)
                    hung = answered_beside_a_hung_worker(server)
                    figures.setdefault(("hung", 50, way), []).append((hung,))
                finally:
                    server.close()
    report(figures)


def report(figures):
    print("| load | clients | way | requests/s | p50 µs | p99 µs | fewest |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (kind, clients, way), found in sorted(figures.items(), key=lambda one: one[0][:2]):
        medians = [statistics.median(column) for column in zip(*found, strict=True)]
        cells = [f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in medians]
        print(f"| {kind} | {clients} | {way} |", " | ".join(cells), "|")


if __name__ == "__main__":
    sys.exit(main())
