"""A short run under fire, for every change; `nox -s chaos` makes a long one."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.credentials import Credentials

from chaos.s3 import Plan, endure
from services.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from services.s3_proxy import S3Proxy

SEED = int(os.environ.get("CHAOS_SEED", "20261123"))


def test_the_store_is_linearizable_under_fire(s3_server: S3Server, tmp_path: Path) -> None:
    """Eight processes that are killed at random, behind a proxy that loses and forges."""
    plan = Plan(seed=SEED, calls=160, calls_per_family=40, fault_rate=0.08, calls_per_kill=40)
    result = endure(s3_server.endpoint_url, plan, tmp_path)
    print(f"seed {plan.seed}", result)
    assert result.verdict.violations == {}
    assert result.verdict.undecided == ()
    assert result.fsck == []
    assert result.kills > 0
    assert sum(result.faults.values()) > 0
    assert result.verdict.acknowledged > 0.9 * plan.calls


@pytest.mark.long
def test_a_bucket_without_conditions_would_be_found_out(
    s3_server: S3Server, tmp_path: Path
) -> None:
    """The same run on a store that was told to trust such a bucket loses writes, and it shows."""
    plan = Plan(seed=SEED, calls=300, processes=4, fault_rate=0, calls_per_kill=1_000)
    credentials = Credentials(ACCESS_KEY, SECRET_KEY)
    with S3Proxy(s3_server.endpoint_url, strip_conditions=credentials).running() as careless:
        result = endure(careless.endpoint_url, plan, tmp_path, trusting=True)
    assert result.verdict.violations


def test_the_proxy_passes_on_no_request_that_was_cut() -> None:
    """A client that is killed between the head and the body of a PUT has written nothing."""
    with S3Proxy("http://127.0.0.1:1").running() as proxy:
        port = urlsplit(proxy.endpoint_url).port
        for body in (b"", b"[1, "):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(b"PUT /bucket/key HTTP/1.1\r\nContent-Length: 6\r\n\r\n" + body)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
    assert proxy.requests == []
