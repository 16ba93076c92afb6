"""The server as a process: starting, workers, sockets, signals."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from registry_core import open_registry
from registry_server import Settings
from registry_server.http.app import compose
from registry_server.process.prefork import HANGING_SECONDS
from registry_server.process.protocol import MAX_HEADERS_BYTES, MAX_URL_BYTES
from services import forking, pausing_store
from services.certificates import self_signed_certificate
from services.in_process import InProcessServer
from services.ports import free_port
from services.processes import children, wait_for
from services.registry_server import RegistryServer
from services.wire_client import API, WireClient

TESTS = Path(__file__).parents[1]

WEBHOOK = {
    "name": "w",
    "url": "http://127.0.0.1/",
    "events": [{"entity": "MODEL_VERSION", "action": "CREATED"}],
}
SETTINGS = Settings(webhook_schemes=("http",), webhook_private_addresses=True)


def refuse(*arguments):
    """The exit code and the only line of a server that does not start."""
    done = forking.run("registry_server", *arguments)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    return done.returncode, lines[0]


def raw(port, request, *, chunk=65_536):
    """Everything that the server answers to these bytes until it hangs up or has answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        try:
            for start in range(0, len(request), chunk):
                connection.sendall(request[start : start + chunk])
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has answered and hung up
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


@pytest.fixture(scope="module")
def memory():
    with RegistryServer("memory:") as server:
        yield server


# Starting


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--store", "nope:x"], "No backend answers to the store URL 'nope:***'"),
        (["--store", "sqlite:////nowhere/at/all.db"], "/nowhere/at/all.db"),
        (["--store", "memory:", "--host", "0.0.0.0"], "--allow-unauthenticated"),
        (["--store", "memory:", "--host", "::"], "--allow-unauthenticated"),
        (["--store", "memory:", "--host", "no.such.host.invalid"], "no.such.host.invalid"),
        (["--store", "memory:", "--workers", "2"], "cannot be shared by several workers"),
        (["--store", "memory:", "--auth-file", "/nowhere"], "the auth file /nowhere"),
        (["--store", "memory:", "--access-file", "/nowhere"], "the access file /nowhere"),
    ],
)
def test_server_that_cannot_start_says_why_in_one_line(arguments, part):
    """Not in a traceback; and the code is not 0."""
    code, line = refuse(*arguments)
    assert code == 1
    assert line.startswith("registry-server: ")
    assert part in line


def test_guide_quotes_why_a_public_address_is_refused():
    """Who meets the sentence looks for it."""
    _, line = refuse("--store", "memory:", "--host", "0.0.0.0")
    guide = Path(__file__).parents[2] / "docs/guides/server.md"
    assert f"| `{line.removeprefix('registry-server: ')}` |" in guide.read_text()


def test_taken_port_is_one_line(memory):
    """Before any worker is started."""
    code, line = refuse("--store", "memory:", "--port", str(memory.port))
    assert code == 1
    assert line == (
        f"registry-server: cannot listen on 127.0.0.1 port {memory.port}: Address already in use"
    )


def test_store_of_another_release_is_one_line(tmp_path):
    """It is found out before the socket is bound."""
    url = f"sqlite:///{tmp_path / 'r.db'}"
    with open_registry(url) as registry:
        registry.ping()
    with sqlite3.connect(tmp_path / "r.db") as database:
        database.execute("UPDATE registry_alembic_version SET version_num = 'from-the-future'")
    database.close()
    code, line = refuse("--store", url)
    assert code == 1
    assert "registry-server: " in line


def test_presigned_urls_alone_need_a_bucket():
    """A directory has none to give, so that no file could come or go."""
    code, line = refuse("--store", "memory:", "--direct-transfers", "only")
    assert code == 1
    assert "--direct-transfers only needs an artifact root in a bucket" in line


def test_server_says_where_it_serves(memory):
    """On stderr, the first thing."""
    assert memory.log.splitlines()[0] == (
        f"Serving a model registry at http://127.0.0.1:{memory.port}"
    )


def test_public_address_is_served_with_words_or_an_auth_file(tmp_path):
    """And then to those who are in the file."""
    users = tmp_path / "users"
    users.write_text("alice:secret\n")
    users.chmod(0o600)
    port = free_port()
    command = [sys.executable, "-m", "registry_server", "--store", "memory:", "--host", "0.0.0.0"]
    command += ["--port", str(port), "--auth-file", str(users)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            process.stderr.readline()
            with WireClient(f"http://127.0.0.1:{port}") as client:
                path = "/registered-models/search"
                assert client.call("GET", path).status == 401
                headers = {"Authorization": "Bearer secret"}
                assert client.call("GET", path, headers=headers).status == 200
        finally:
            process.terminate()
    assert process.returncode == 0


def test_importing_the_package_starts_nothing_and_loads_no_framework():
    """A parent of workers, and whoever reads settings, has no use for one."""
    code = "import sys, registry_server; print(sorted(m for m in sys.modules if m in BIG))"
    code = f"BIG = {{'litestar', 'uvicorn', 'sqlalchemy'}}; {code}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


# Sockets


def test_url_longer_than_the_parser_splits_is_served(memory):
    """A filter of 64 KiB is, percent-encoded, three times as long."""
    with WireClient(memory.url) as client:
        client.post("/registered-models/create", name="long-urls")
        long = "name = 'long-urls' AND name != '" + "é" * 65_536 + "'"
        answer = client.get("/registered-models/search", filter=long)
        assert answer.json["registered_models"][0]["name"] == "long-urls"
        answer = client.get("/registered-models/get", name="long-urls", unknown="x" * 100_000)
        assert answer.status == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET /" + b"x" * (MAX_URL_BYTES + 10) + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nX: " + b"x" * (MAX_HEADERS_BYTES + 10) + b"\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"X: yyyyyyyy\r\n" * 40_000 + b"\r\n",
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_no_http_is_a_json_400(memory, request_bytes):
    """Like every other refusal; the connection ends."""
    status, body = raw(memory.port, request_bytes)
    assert (status, body["error_code"]) == (400, "BAD_REQUEST")


def test_odd_but_legal_http_is_served(memory):
    """Chunks, pieces, pipelines, HTTP/1.0, a body on GET."""
    head = f"POST {API}/registered-models/create HTTP/1.1\r\nHost: localhost\r\n".encode()
    head += b"Content-Type: application/json\r\n"
    chunked = head + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"nam\r\n9\r\ne":"odd"}\r\n0\r\n\r\n'
    assert raw(memory.port, chunked, chunk=7)[0] == 200
    get = f"GET {API}/registered-models/get HTTP/1.1\r\nHost: localhost\r\n".encode()
    assert raw(memory.port, get + b'Content-Length: 14\r\n\r\n{"name":"odd"}')[0] == 200
    assert raw(memory.port, get.replace(b"1.1", b"1.0") + b"\r\n")[0] == 400
    with socket.create_connection(("127.0.0.1", memory.port), timeout=20) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3:
            received += connection.recv(65_536)


def test_client_that_hangs_up_early_harms_nobody(memory):
    """In the middle of headers, of a body, before the answer."""
    head = f"POST {API}/registered-models/create HTTP/1.1\r\nHost: localhost\r\n".encode()
    for piece in (
        b"PO",
        head,
        head + b"Content-Length: 100\r\n\r\n{",
        b"GET /health HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", memory.port), timeout=20) as connection:
            connection.sendall(piece)
    with WireClient(memory.url) as client:
        assert client.get("/registered-models/search").status == 200
    assert "Traceback" not in memory.log


# Workers and signals


def counted(text, group, operation):
    """How many requests of an operation the metrics say were answered with 200."""
    labels = f'{{group="{group}",operation="{operation}",status="200"}}'
    line = re.compile(rf"^registry_requests_total{re.escape(labels)} (\d+)$", re.MULTILINE)
    return int(line.search(text)[1])


def test_workers_share_a_socket_and_a_store(tmp_path):
    """Each sees what another wrote; metrics are those of all."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        for number in range(12):
            with WireClient(server.url) as client:
                assert client.post("/registered-models/create", name=f"m{number}").status == 200
            with WireClient(server.url) as client:
                assert client.get("/registered-models/get", name=f"m{number}").status == 200
        with WireClient(server.url) as client:
            connection = client._connection
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        assert counted(text, "registered-models", "createRegisteredModel") == 12
        assert counted(text, "registered-models", "getRegisteredModel") == 12


@pytest.mark.parametrize(("query", "where"), [("", "loop"), ("?threads", "thread")])
@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_answers_what_was_begun_and_ends_with_0(tmp_path, workers, query, where):
    """A write that was accepted is done and told, and new connections find nobody."""
    site = tmp_path / "site"
    pausing_store.install(site)
    path = os.pathsep.join([str(site), str(TESTS)])
    server = RegistryServer(
        f"pausing://{tmp_path}{query}", workers=workers, environment={"PYTHONPATH": path}
    )
    answers = []

    def create():
        with WireClient(server.url) as client:
            answers.append(client.post("/registered-models/create", name="slow"))

    with server:
        request = threading.Thread(target=create)
        request.start()
        wait_for((tmp_path / f"begun-in-{where}").exists)
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: not listens(server.port))
        assert answers == []
        (tmp_path / "go").touch()
        request.join(60)
        (answer,) = answers
        assert answer.status == 200
        # Leaving the block requires the exit code 0.
    with open_registry(f"sqlite:///{tmp_path / 'registry.db'}") as registry:
        assert registry.get_registered_model("slow").name == "slow"


def test_parent_of_workers_has_no_store_open(tmp_path):
    """Neither a connection nor a thread of its own can get into a worker, half done."""
    database = tmp_path / "r.db"
    with RegistryServer(f"sqlite:///{database}", workers=2) as server:
        assert database not in open_files(server.pid)
        # The server is there as soon as one of its workers is.
        wait_for(lambda: all(database in open_files(worker) for worker in children(server.pid)))
        assert len(list(Path(f"/proc/{server.pid}/task").iterdir())) == 1


def test_application_without_a_registry_serves_the_one_it_is_started_with(tmp_path):
    """All of it: models, webhooks, artifacts, probes and counts; and no other one afterwards."""
    url, artifacts = f"sqlite:///{tmp_path / 'r.db'}", str(tmp_path / "files")
    counters = tmp_path / "counters"
    counters.mkdir()
    with open_registry(url, artifacts=artifacts, local_sources=False) as registry:
        server = InProcessServer(registry, app=compose(SETTINGS))
        server.app.start(registry, counters=counters)
        with pytest.raises(RuntimeError, match="serves a registry already"):
            server.app.start(registry)
        with server:
            assert server.call("POST", "/registered-models/create", {"name": "m"}).status == 200
            assert server.call("POST", "/webhooks", WEBHOOK).status == 200
            path = b"/api/2.0/mlflow-artifacts/artifacts/a.txt"
            assert server.send("PUT", path, b"text").status == 200
            assert server.send("GET", b"/ready").status == 200
            paths = server.send("GET", b"/openapi.json").json["paths"]
            assert "/api/2.0/mlflow-artifacts/artifacts" in paths
            assert registry.get_registered_model("m").name == "m"
            assert len(registry.store.list_webhooks()) == 1
            assert (tmp_path / "files" / "a.txt").read_bytes() == b"text"
            text = server.send("GET", b"/metrics").body.decode()
    assert counted(text, "webhooks", "createWebhook") == 1
    assert len(list(counters.iterdir())) == 1


def test_dead_worker_is_replaced(tmp_path):
    """And its counts are kept."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        before = children(server.pid)
        assert len(before) == 2
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: len(set(children(server.pid)) - {before[0]}) == 2)
        with WireClient(server.url) as client:
            assert client.post("/registered-models/create", name="m").status == 200


def test_worker_that_dies_before_it_answers_its_parent_is_replaced_at_once(tmp_path):
    """The parent, which asks every half second, does not wait for it as for a slow one."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        worker = children(server.pid)[0]
        os.kill(worker, signal.SIGSTOP)
        time.sleep(2)
        os.kill(worker, signal.SIGKILL)
        began = time.monotonic()
        wait_for(lambda: len(set(children(server.pid)) - {worker}) == 2)
        assert time.monotonic() - began < HANGING_SECONDS / 2


def test_worker_that_hangs_is_replaced(tmp_path):
    """Its event loop stands still; the parent kills it, and the other one serves meanwhile."""
    with serving_with_hanging_seconds(tmp_path, 1.5) as server:
        stopped, other = children(server.pid)
        os.kill(stopped, signal.SIGSTOP)
        wait_for(lambda: stopped not in children(server.pid) and len(children(server.pid)) == 2)
        assert other in children(server.pid)
        assert "a worker has hung" in server.log


def test_workers_are_not_blamed_for_the_time_in_which_their_parent_stood_still(tmp_path):
    """As on a machine that is suspended: then nobody has moved."""
    with serving_with_hanging_seconds(tmp_path, 1.5) as server:
        workers = children(server.pid)
        everybody = [server.pid, *workers]
        for process in everybody:
            os.kill(process, signal.SIGSTOP)
        time.sleep(3)
        for process in everybody:
            os.kill(process, signal.SIGCONT)
        time.sleep(2)
        assert children(server.pid) == workers


def test_sighup_replaces_all_workers_and_loses_no_request(tmp_path):
    """One after the other, each when its successor serves."""
    with RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2) as server:
        before = set(children(server.pid))
        assert len(before) == 2
        os.kill(server.pid, signal.SIGHUP)
        statuses = set()

        def are_new():
            with WireClient(server.url) as client:
                statuses.add(client.get("/registered-models/search").status)
            workers = set(children(server.pid))
            return not workers & before and len(workers) == 2

        wait_for(are_new)
        assert statuses == {200}


def test_client_that_has_just_connected_is_answered_by_a_server_that_ends(tmp_path):
    """Its request is on its way when the server begins to stop."""
    (tmp_path / "sitecustomize.py").write_text(
        "import registry_server.process.protocol as p\np._FIRST_REQUEST_SECONDS = 20\n"
    )
    environment = {"PYTHONPATH": os.fspath(tmp_path)}
    with (
        RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", environment=environment) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as fresh,
    ):
        os.kill(server.pid, signal.SIGTERM)
        wait_for(lambda: not server.is_listening())
        fresh.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert fresh.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_ends_no_process_and_has_each_read_its_files(tmp_path, workers):
    """Neither the parent's nor a worker's: a terminal that closes sends it to all of them."""
    script = tmp_path / "served.py"
    script.write_text(RELOADING)
    # With a variable of Python's the script is run by an interpreter of its own.
    environment = {"PYTHONUNBUFFERED": "1"}
    url = f"sqlite:///{tmp_path / 'r.db'}"
    server = RegistryServer(url, workers=workers, environment=environment)
    server._command[1:3] = [str(script)]
    with server:
        everybody = {server.pid, *children(server.pid)}
        assert len(everybody) == (1 if workers == 1 else 3)
        os.kill(server.pid, signal.SIGHUP)
        wait_for(lambda: all(f"{pid} read it again" in server.log for pid in everybody))
        assert "what was to be read again is not used: broken" in server.log
        wait_for(lambda: workers == 1 or len(set(children(server.pid)) - everybody) == 2)
        for pid in children(server.pid):
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda pid=pid: f"{pid} read it again" in server.log)
        with WireClient(server.url) as client:
            assert client.get("/registered-models/search").status == 200
    assert "has died" not in server.log


RELOADING = """
import os, sys
from registry_server.http import probes
from registry_server.process.command import main
import attrs

def note():
    print(os.getpid(), "read it again", file=sys.stderr, flush=True)

def fail():
    raise OSError("broken")

probe_part = probes.probe_part
probes.probe_part = lambda *a, **k: attrs.evolve(probe_part(*a, **k), on_reload=(fail, note))
main()
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_metrics_have_an_address_of_their_own(tmp_path, workers):
    """There they need no credentials, and everything else is not there; elsewhere they are not."""
    users = tmp_path / "users"
    users.write_text("ann:secret\n")
    users.chmod(0o600)
    inner = free_port()
    arguments = ("--auth-file", str(users), "--metrics-address", f"127.0.0.1:{inner}")
    url = f"sqlite:///{tmp_path / 'r.db'}"
    with RegistryServer(url, workers=workers, arguments=arguments) as server:
        statuses = {
            (port, path): call(f"http://127.0.0.1:{port}{path}")[0]
            for port in (server.port, inner)
            for path in ("/metrics", "/ready", "/api/2.0/mlflow/registered-models/search", "/")
        }
        count = f"registry_workers {workers}\n".encode()
        # The server is there as soon as one of its workers is.
        wait_for(lambda: count in call(f"http://127.0.0.1:{inner}/metrics")[1])
    assert list(statuses.values()) == [404, 200, 401, 401, 200, 200, 404, 404]


def call(url, **options):
    """The status and body of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=30, **options) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_server_speaks_tls_and_takes_another_certificate(tmp_path):
    """Slow clients and all limits are as without; SIGHUP has new clients see the new files."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def renew():
        for path, text in zip((cert, key), self_signed_certificate("127.0.0.1"), strict=True):
            path.write_bytes(text)
        return ssl.create_default_context(cafile=str(cert))

    trusting = renew()
    arguments = ("--tls-cert", str(cert), "--tls-key", str(key))
    server = TlsServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2, arguments=arguments)
    with server:
        url = f"https://127.0.0.1:{server.port}"
        assert f"Serving a model registry at {url}" in server.log
        body = json.dumps({"name": "m", "description": "x" * 90_000}).encode()
        asked = urllib.request.Request(f"{url}{API}/registered-models/create", body)
        asked.add_header("Content-Type", "application/json")
        assert call(asked, context=trusting)[0] == 200
        # Another client that never finishes its handshake keeps nobody waiting.
        with socket.create_connection(("127.0.0.1", server.port)):
            got = call(f"{url}{API}/registered-models/get?name=m", context=trusting)
        assert json.loads(got[1])["registered_model"]["description"] == "x" * 90_000
        newer = renew()
        os.kill(server.pid, signal.SIGHUP)

        def is_new():
            with contextlib.suppress(ssl.SSLError, urllib.error.URLError):
                return call(f"{url}/health", context=newer)[0] == 200

        wait_for(is_new)


class TlsServer(RegistryServer):
    """Ours, which speaks TLS."""

    def _answers(self):
        with contextlib.suppress(OSError):
            context = ssl._create_unverified_context()
            return call(f"https://127.0.0.1:{self.port}/health", context=context)[0] == 200
        return False


@pytest.mark.parametrize("given", ["--tls-cert", "--tls-key", "both"])
def test_certificate_that_cannot_be_used_is_one_line(tmp_path, given):
    """A half, or a file that holds none."""
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("")
    names = ("--tls-cert", "--tls-key") if given == "both" else (given,)
    code, line = refuse(
        "--store", "memory:", *(part for name in names for part in (name, str(nothing)))
    )
    assert code == 1
    assert ("cannot be used" if given == "both" else "belong together") in line


def test_log_says_what_starts_and_what_has_ended(tmp_path):
    """As JSON every line is an object; no secret is in any of them."""
    url = f"sqlite:///{tmp_path / 'r.db'}"
    arguments = ("--log-format", "json", "--access-log")
    with RegistryServer(url, arguments=arguments) as server:
        with WireClient(server.url) as client:
            client.get("/registered-models/search")
        assert server.stop() == 0
        started, *others = [json.loads(line) for line in server.log.splitlines()]
    assert started["message"].startswith("the server starts: version ")
    assert (started["store"], started["workers"], started["access"]) == (url, 1, "this machine")
    assert started["artifacts"].endswith("registry-artifacts")
    assert started["url"] == server.url
    assert [one["target"] for one in others[:-1] if "search" in one["target"]]
    assert others[-1]["message"].startswith("the server has ended after ")


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """They would else keep the address, and the server could not be started again."""
    server = RegistryServer(f"sqlite:///{tmp_path / 'r.db'}", workers=2)
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        workers = children(server.start().pid)
        server.kill_parent()
        wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
        server.start()
        with WireClient(server.url) as client:
            assert client.post("/registered-models/create", name="m").status == 200


@pytest.mark.parametrize(
    ("store", "code", "part"),
    [
        ("postgresql://127.0.0.1:1/gone", 1, "a worker waits for the store"),
        ("nope:x", 3, "a worker cannot start"),
    ],
)
def test_worker_without_a_store_ends_so_that_its_parent_knows_why(store, code, part):
    """With 1 another one is tried, with uvicorn's 3 none; neither prints a traceback."""
    lines = (
        "import pathlib",
        "from registry_server import Settings",
        "from registry_server.http.app import compose",
        "from registry_server.process.command import start_in_worker",
        f"settings = Settings(store={store!r})",
        "start_in_worker(compose(settings), settings, pathlib.Path())",
    )
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code
    assert part in done.stderr
    assert "Traceback" not in done.stderr


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionError:  # and not a server that is too busy to take it
        return False
    return True


def open_files(pid):
    """What a process has open; sockets among it, by names that are no paths."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        # It may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            found.append(link.readlink())
    return found


@contextlib.contextmanager
def serving_with_hanging_seconds(tmp_path, seconds):
    """A server of two workers, which serve, whose parent is that impatient."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"import registry_server.process.prefork as p\np.HANGING_SECONDS = {seconds}\n"
    )
    environment = {"PYTHONPATH": os.fspath(site)}
    store = f"sqlite:///{tmp_path / 'r.db'}"
    with RegistryServer(store, workers=2, environment=environment) as server:
        database = tmp_path / "r.db"
        wait_for(lambda: len(children(server.pid)) == 2)
        wait_for(lambda: all(database in open_files(worker) for worker in children(server.pid)))
        time.sleep(1.5)  # each has shown that it goes on
        yield server
