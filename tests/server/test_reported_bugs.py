"""What users of registries have reported as bugs, in public, each tried over HTTP as they met it.

Elsewhere are: downloads that break off (`tests/artifacts/test_artifact_served.py` and
`test_artifact_s3.py`), clients in other languages (`test_server_other_languages.py`), and long URLs
(`test_server_process.py`).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from registry_core import (
    AlreadyExistsError,
    InvalidArgumentError,
    NoModelVersionsError,
    NotFoundError,
    Registry,
    Stage,
    open_registry,
)
from registry_core.stores.memory import MemoryStore
from registry_server import Settings, create_app
from registry_server.access.users import Users
from registry_server.process.limits import Phase
from services import s3
from services.live_server import LiveServer
from services.processes import wait_for
from services.s3_proxy import Fault, S3Proxy
from services.serving import serving_app

DEADLINE_SECONDS = 60

BALANCER_SECONDS = 60
"""For which the balancers of clouds keep a connection to a server on which nothing happens."""

NAMES = [
    "it's", 'say "hi"', "both ' and \"", "a b", " edge ", "100%", "a%2Fb", "a@b", "a+b", "a&b=c?d#e",
    "--help", "模" * 250, "e\u0301", "\u00e9", "Churn", "churn", "back\\slash", "😀",
]  # fmt: skip
"""What people call their models; the last but few differ in one way only."""


@pytest.fixture(scope="module")
def live():
    with LiveServer() as server:
        yield server


@pytest.fixture
def registry(live, monkeypatch):
    """The library on the server, with an empty registry."""
    monkeypatch.setenv("NO_PROXY", "*")
    live.serve(MemoryStore())
    with open_registry(live.url) as registry:
        yield registry


def test_names_of_every_kind_stay_apart_and_come_back(registry):
    """Created, searched for, resolved, tagged and deleted, all in one registry."""
    for name in NAMES:
        registry.create_registered_model(name)
        registry.create_model_version(name, source="s3://b/m")
        registry.set_registered_model_alias(name, "live", 1)
        registry.set_model_version_tag(name, 1, "which", name)
    assert sorted(model.name for model in registry.iter_registered_models()) == sorted(NAMES)
    for name in NAMES:
        # A list is read by the rules of Python, in which any text can be written.
        (found,) = registry.search_registered_models(f"name IN ({name!r})")
        assert (found.name, found.aliases) == (name, {"live": 1})
        assert registry.get_model_version_by_alias(name, "live").tags == {"which": name}
        registry.delete_registered_model(name)
    assert len(registry.search_registered_models()) == 0


@pytest.mark.parametrize("name", ["a/b", "a:b", "", " ", ".", "../up", "a/../b", "模" * 257])
def test_names_that_cannot_be_are_refused_and_make_nothing(registry, name):
    """With a sentence, and no answer of 500."""
    with pytest.raises(InvalidArgumentError):
        registry.create_registered_model(name)
    assert len(registry.search_registered_models()) == 0


def test_percent_and_underscore_are_letters_where_a_backslash_says_so(registry):
    """A filter for `100%` finds that name alone."""
    for name in ("100%", "1000", "a_b", "axb"):
        registry.create_registered_model(name)
    for pattern, names in (("100\\%", ["100%"]), ("a\\_b", ["a_b"]), ("a_b", ["a_b", "axb"])):
        found = registry.search_registered_models(f"name LIKE '{pattern}'", order_by="name")
        assert [model.name for model in found] == names


def test_typed_values_of_tags_are_the_texts_that_mlflow_makes(registry):
    """Numbers and truth values, over HTTP."""
    registry.create_registered_model("m", tags={"auc": 0.91, "n": 3, "ok": True})
    registry.set_registered_model_tag("m", "small", 1e-7)
    tags = registry.get_registered_model("m").tags
    assert tags == {"auc": "0.91", "n": "3", "ok": "True", "small": "1e-07"}


def test_page_token_of_another_search_is_refused(registry):
    """It would silently leave rows out."""
    for number in range(5):
        registry.create_registered_model(f"m{number}")
    first = registry.search_registered_models("name LIKE 'm%'", max_results=2)
    for other in (
        {"filter": "name LIKE 'm1%'"}, {"order_by": "name DESC", "filter": "name LIKE 'm%'"},
    ):  # fmt: skip
        with pytest.raises(InvalidArgumentError):
            registry.search_registered_models(**other, page_token=first.next_page_token)
    with pytest.raises(InvalidArgumentError):
        registry.search_model_versions(page_token=first.next_page_token)
    registry.delete_registered_model("m1")
    registry.create_registered_model("m0a")  # before the mark
    second = registry.search_registered_models(
        "name LIKE 'm%'", max_results=5, page_token=first.next_page_token
    )
    assert [model.name for model in second] == ["m2", "m3", "m4"]


def test_two_thousand_versions_are_all_there_in_order(live, registry):
    """Page by page, each once; and the newest is the newest."""
    with open_registry("memory:") as kept:
        kept.create_registered_model("m")
        for number in range(1, 2_001):
            kept.create_model_version("m", source=f"s3://b/{number}")
        live.serve(kept.store)
        found = registry.iter_model_versions("name = 'm'", order_by="version_number", page_size=700)
        assert [version.version for version in found] == list(range(1, 2_001))
        assert registry.resolve("m/latest").version == 2_000


def test_deleting_the_newest_version_makes_the_one_before_the_newest(registry):
    """Its number is not used again, its alias is gone, and of none left there is no latest."""
    registry.create_registered_model("m")
    for number in (1, 2):
        registry.create_model_version("m", source=f"s3://b/{number}")
    registry.set_registered_model_alias("m", "live", 2)
    registry.delete_model_version("m", 2)
    assert registry.resolve("m/latest").version == 1
    with pytest.raises(NotFoundError):
        registry.resolve("m@live")
    assert registry.create_model_version("m", source="s3://b/3").version == 3
    for number in (1, 3):
        registry.delete_model_version("m", number)
    with pytest.raises(NoModelVersionsError):
        registry.resolve("m/latest")


def test_a_stage_is_moved_without_losing_tags_and_description(registry):
    """And the version that had it is archived in the same step."""
    registry.create_registered_model("m")
    for number in (1, 2):
        registry.create_model_version("m", source="s3://b/m", tags={"n": number}, description="d")
    registry.transition_model_version_stage("m", 1, stage="production")
    moved = registry.transition_model_version_stage(
        "m", 2, stage="Production", archive_existing_versions=True
    )
    assert (moved.tags, moved.description) == ({"n": "2"}, "d")
    assert registry.get_model_version("m", 1).current_stage is Stage.ARCHIVED


def test_six_who_start_at_once_on_nothing_all_start(tmp_path):
    """One makes the tables; a model that all of them create is there once."""
    made, failed, start = [], [], threading.Barrier(6)

    def begin():
        start.wait()
        try:
            with open_registry(f"sqlite:///{tmp_path}/registry.db") as registry:
                made.append(registry.create_registered_model("m").name)
        except AlreadyExistsError:
            failed.append("exists")

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert (made, failed) == (["m"], ["exists"] * 5)


class _Here:
    """The client behind a request of this machine."""

    address = "127.0.0.1"

    def has_hung_up(self) -> bool:
        return False


@pytest.mark.parametrize(
    "content", ["\ufeffann:secret\nbob:other\n", "ann:secret\r\nbob:other\r\n"]
)
def test_users_file_of_an_editor_on_windows_names_its_first_user(tmp_path, content):
    """A byte-order mark made her somebody else for ever, a carriage return her secret another."""
    path = tmp_path / "users"
    path.write_bytes(content.encode())
    path.chmod(0o600)
    users = Users.load(str(path))
    for name, secret in (("ann", "secret"), ("bob", "other")):
        header = b"Basic " + base64.b64encode(f"{name}:{secret}".encode())
        assert asyncio.run(users.authenticate(header, _Here())) == name


def test_http_1_0_is_answered_whole_and_closed(live, registry):
    """As a proxy with old habits asks: no chunks, and an end."""
    registry.create_registered_model("m", description="x" * 50_000)
    path = "/api/2.0/mlflow/registered-models/get?name=m"
    with socket.create_connection(("127.0.0.1", live.port), timeout=DEADLINE_SECONDS) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.")
    assert b" 200 " in head
    assert b"chunked" not in head.lower()
    assert int(re.search(rb"(?i)content-length: (\d+)", head)[1]) == len(body)


def test_a_slash_at_the_end_of_the_url_changes_nothing(live, registry):
    """It is how people paste it."""
    registry.create_registered_model("m")
    with open_registry(f"{live.url}/") as other:
        assert [model.name for model in other.search_registered_models()] == ["m"]


def test_a_server_listens_on_ipv6(tmp_path):
    """And announces a URL that works as it stands."""
    if not _has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    command = [sys.executable, "-m", "registry_server", "--host", "::1", "--port", "0"]
    command += ["--store", f"sqlite:///{tmp_path}/registry.db"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            announced = ""
            while "Serving" not in announced:
                announced = process.stderr.readline()
                assert announced, "it ended"
            url = re.search(r"http://\[::1\]:\d+", announced)[0]
            _answers(f"{url}/health")
            with open_registry(url) as registry:
                assert registry.create_registered_model("m").name == "m"
        finally:
            process.terminate()
            process.stderr.close()


def test_a_balancer_may_keep_a_connection_for_a_minute_and_use_it_again():
    """A server that hung up sooner would answer 502, through the balancer, now and then."""
    assert Settings(store="memory:").keep_alive_seconds > BALANCER_SECONDS
    with serving_app(create_app(Registry(MemoryStore()), Settings(store="memory:"))) as served:
        client = http.client.HTTPConnection("127.0.0.1", served.port, timeout=DEADLINE_SECONDS)
        with contextlib.closing(client):
            for _ in range(2):
                client.request("GET", "/health")
                with client.getresponse() as answer:
                    assert (answer.status, answer.getheader("connection")) == (200, None)
                    answer.read()
                (connection,) = served.connections
                wait_for(lambda seen=connection: _is_idle(seen))
                connection.since -= BALANCER_SECONDS


def _is_idle(connection):
    """As the server sees it; who looks first makes no difference."""
    connection.look(connection.loop.time())
    return connection.phase is Phase.IDLE


def _knows_no_checksums(request):
    """Like services from before there were any: MD5 is all they take, and need for a batch."""
    newer = ("x-amz-checksum-", "x-amz-sdk-checksum-algorithm", "x-amz-trailer")
    is_batch = request.method == "POST" and request.target.rpartition("?")[2] == "delete"
    if any(name.startswith(newer) for name in request.headers):
        return Fault.NOT_IMPLEMENTED
    return Fault.NOT_IMPLEMENTED if is_batch and "content-md5" not in request.headers else None


def test_a_bucket_without_checksums_is_enough(s3_server, s3_prefix, tmp_path):
    """For models, files in several parts, and the removal of many at once."""
    model, out = tmp_path / "model", tmp_path / "out"
    model.mkdir()
    for name, size in (("weights", 9 << 20), ("MLmodel", 10), ("empty", 0)):
        (model / name).write_bytes(b"x" * size)
    with (
        S3Proxy(s3_server.endpoint_url, _knows_no_checksums).running() as proxy,
        open_registry(s3.store_url(proxy.endpoint_url, s3_prefix)) as registry,
    ):
        registry.push_model_version("m", model, create=True)
        registry.pull_model_version("m", 1, out)
        assert {path.name: path.stat().st_size for path in out.iterdir()} == {
            "weights": 9 << 20,
            "MLmodel": 10,
            "empty": 0,
        }
        for name in "ab":
            registry.artifacts.write(f"two/{name}", [b"x"])
        registry.artifacts.delete("two")
        assert registry.artifacts.list("two") == []
        assert any(target.rpartition("?")[2] == "delete" for _, target in proxy.requests)


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location /team/registry/ {{ proxy_pass http://127.0.0.1:{upstream}/; }}
  }}
}}
"""


def test_a_prefix_behind_nginx_works_for_every_name(live, registry, tmp_path):
    """As most people configure it: HTTP/1.0 to the server, and a path that is cut."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed (Debian's package nginx-light)")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    config = tmp_path / "nginx.conf"
    config.write_text(NGINX.format(folder=tmp_path, port=port, upstream=live.port))
    url = f"http://127.0.0.1:{port}/team/registry"
    with subprocess.Popen(
        [nginx, "-c", str(config), "-p", str(tmp_path), "-e", str(tmp_path / "error.log")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            _answers(f"{url}/health")
            with open_registry(url) as proxied:
                for name in ("it's", "a b", "100%", "a%2Fb", "模型"):
                    proxied.create_registered_model(name)
                    assert proxied.get_registered_model(name).name == name
        finally:
            process.terminate()
    assert len(registry.search_registered_models()) == 5


def _answers(url):
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                assert answer.status == 200
                return
        except urllib.error.URLError:
            assert time.monotonic() < deadline, url
            time.sleep(0.05)


def _has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False
