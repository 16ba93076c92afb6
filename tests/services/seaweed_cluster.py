"""A SeaweedFS of three masters, which elect one, and three servers of volumes, which keep two copies.

In front of them is one filer with its S3 service: the names of objects are in its database alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from services.ports import free_port
from services.processes import Process
from services.s3 import (
    ACCESS_KEY,
    SECRET_KEY,
    _create_bucket,
    _weed,
    _writable,
    aws_environment,
    client,
)

MASTERS, VOLUMES = 3, 3

TWO_COPIES = "001"
"""SeaweedFS's word for a second copy on another server of the same rack."""

START_SECONDS = 90.0


class SeaweedCluster:
    """The processes, while the context lasts."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="registry-seaweed-"))
        masters = [(free_port(), free_port()) for _ in range(MASTERS)]
        addresses = ",".join(f"127.0.0.1:{port}.{grpc}" for port, grpc in masters)
        self._masters_at = [f"http://127.0.0.1:{port}" for port, _ in masters]
        self.masters = [
            self._process(
                f"master{number}",
                *("master", *_ports(*ports), f"-peers={addresses}"),
                *(f"-defaultReplication={TWO_COPIES}", "-volumeSizeLimitMB=64"),
                *("-telemetry=false", f"-mdir={self._folder(f'master{number}')}"),
            )
            for number, ports in enumerate(masters)
        ]
        self.volumes = [
            self._process(
                f"volume{number}",
                *("volume", *_ports(free_port(), free_port()), f"-mserver={addresses}"),
                *(f"-dir={self._folder(f'volume{number}')}", "-max=100", "-minFreeSpace=0"),
            )
            for number in range(VOLUMES)
        ]
        filer, grpc, self._s3 = free_port(), free_port(), free_port()
        self.filer = self._process(
            "filer",
            *("filer", *_ports(filer, grpc), f"-master={addresses}"),
            f"-defaultStoreDir={self._folder('filer')}",
            f"-defaultReplicaPlacement={TWO_COPIES}",
        )
        self.gateway = self._process(
            "s3",
            *("s3", f"-filer=127.0.0.1:{filer}.{grpc}", "-ip.bind=127.0.0.1"),
            *(
                f"-port={self._s3}",
                f"-port.grpc={free_port()}",
                "-port.iceberg=0",
                "-port.lance=0",
            ),
            f"-config={self._identities()}",
        )

    def __enter__(self) -> Self:
        try:
            for process in (*self.masters, *self.volumes, self.filer, self.gateway):
                process.start()
            self.await_whole()
            self._await_bucket()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, and remove its data."""
        for process in (self.gateway, self.filer, *self.volumes, *self.masters):
            process.signal(signal.SIGCONT)
            process.kill()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def endpoint_url(self) -> str:
        """Where S3 is spoken."""
        return f"http://127.0.0.1:{self._s3}"

    @staticmethod
    def environment() -> dict[str, str]:
        """What lets a client in."""
        return aws_environment()

    def client(self) -> Any:
        """A boto3 client of the bucket."""
        return client(self.endpoint_url, self.environment())

    def await_whole(self) -> None:
        """Return when the masters know every server of volumes."""
        deadline = time.monotonic() + START_SECONDS
        while self._known() < VOLUMES:
            assert time.monotonic() < deadline, self.masters[0].log[-4000:]
            time.sleep(0.1)

    def _await_bucket(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(BotoCoreError, ClientError):
                _create_bucket(self.client())
                if _writable(self.client()):
                    return
            assert time.monotonic() < deadline, self.gateway.log[-4000:]
            time.sleep(0.1)

    def _known(self) -> int:
        """Servers of volumes that the masters know."""
        for address in self._masters_at:
            try:
                with urllib.request.urlopen(f"{address}/dir/status", timeout=2) as answer:
                    topology = json.load(answer)["Topology"]
            except (OSError, ValueError, KeyError):
                continue
            racks = [
                rack
                for center in topology.get("DataCenters") or ()
                for rack in center.get("Racks") or ()
            ]
            if racks:
                return sum(len(rack.get("DataNodes") or ()) for rack in racks)
        return 0

    def _process(self, name: str, *arguments: str) -> Process:
        command = [_weed(), "-v=0", "-logtostderr=true", *arguments]
        environment = {**os.environ, "HOME": str(self._home)}
        return Process(command, self._home / f"{name}.log", cwd=self._home, env=environment)

    def _folder(self, name: str) -> Path:
        folder = self._home / name
        folder.mkdir(exist_ok=True)
        return folder

    def _identities(self) -> Path:
        identity = {
            "name": "test",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        path = self._home / "id.json"
        path.write_text(json.dumps({"identities": [identity]}))
        return path


def _ports(port: int, grpc: int) -> tuple[str, ...]:
    return (f"-port={port}", f"-port.grpc={grpc}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1")
