"""Files through our server, and a push of many, against s3fs that moves the same to the same server.

The large file goes up and comes down once through each, between a disk and a real S3 server, while
the memory of ours is watched. Small files are pushed in turns with s3fs, the median counts.
"""

import contextlib
import http.client
import os
import secrets
import shutil
import statistics
import tempfile
import threading
import time
import uuid
from pathlib import Path

import s3fs

from bench.load import pss_mib
from registry_core import open_registry
from services import s3
from services.artifacts import PREFIX
from services.registry_server import RegistryServer

PIECE = 1024 * 1024
SMALL_FILES = 2_000
SMALL_BYTES = 8 * 1024
SAMPLE_SECONDS = 0.1


def run(options):
    """MiB/s and files/s of ours and of s3fs, and MiB by which the server's memory grew."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = s3.launch(stack)
        for key, value in server.environment().items():
            stack.enter_context(_variable(key, value))
        client = server.client()
        client.create_bucket(Bucket=s3.bucket_name())
        client.close()
        root = s3.store_url(server.endpoint_url, f"b-{uuid.uuid4().hex[:8]}")
        alone = s3fs.S3FileSystem(endpoint_url=server.endpoint_url)
        found = {"small": _small(root, alone, directory, options)}
        store = f"sqlite:///{directory / 'registry.db'}"
        ours = stack.enter_context(RegistryServer(store, arguments=("--artifacts", root)))
        found["large"] = _large(ours, alone, directory, options.file_mib)
        return found


# One large file


def _large(ours, alone, directory, size):
    source, target = directory / "large", directory / "back"
    _write(source, size)
    key = f"{s3.bucket_name()}/alone/large"
    # What is needed once, for the first request of each kind.
    _write(directory / "warm", 32)
    _put(ours.port, directory / "warm", "warm")
    _get(ours.port, "warm", directory / "warm back")
    before = pss_mib(ours.pid)
    found = {"mib": size, "pss_before_mib": before, "seconds": {}}
    with _watched(ours.pid) as peak:
        found["seconds"]["up"] = _seconds(lambda: _put(ours.port, source, "large"))
        found["growth_up_mib"] = peak() - before
        found["seconds"]["down"] = _seconds(lambda: _get(ours.port, "large", target))
        found["growth_mib"] = peak() - before
    if not _same(source, target):
        raise SystemExit("the file that came down is not the one that went up")
    target.unlink()
    found["seconds"]["s3fs up"] = _seconds(lambda: alone.put_file(str(source), key))
    found["seconds"]["s3fs down"] = _seconds(lambda: alone.get_file(key, str(target)))
    return found


def _write(path, mib):
    block = secrets.token_bytes(PIECE)
    with path.open("wb") as file:
        for number in range(mib):
            file.write(number.to_bytes(8, "big") + block[8:])


def _put(port, source, name):
    connection = http.client.HTTPConnection("127.0.0.1", port, blocksize=PIECE)
    with contextlib.closing(connection), source.open("rb") as file:
        headers = {"Content-Length": str(source.stat().st_size)}
        connection.request("PUT", f"{PREFIX}/artifacts/{name}", body=file, headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"PUT: {answer.status} {answer.read()!r}")


def _get(port, name, target):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with contextlib.closing(connection), target.open("wb") as file:
        connection.request("GET", f"{PREFIX}/artifacts/{name}")
        answer = connection.getresponse()
        if answer.status != 200:
            raise SystemExit(f"GET: {answer.status} {answer.read()!r}")
        shutil.copyfileobj(answer, file, PIECE)


def _same(one, other):
    with one.open("rb") as a, other.open("rb") as b:
        while (piece := a.read(PIECE)) == b.read(PIECE):
            if not piece:
                return True
    return False


@contextlib.contextmanager
def _watched(pid):
    """Something to call for the most memory of a process until then, in MiB."""
    ended, most = threading.Event(), [pss_mib(pid)]

    def look():
        while not ended.wait(SAMPLE_SECONDS):
            most[0] = max(most[0], pss_mib(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        ended.set()
        thread.join()


# Many small files


def _small(root, alone, directory, options):
    times = {"ours": [], "s3fs": []}
    with open_registry(f"sqlite:///{directory / 'small.db'}", artifacts=root) as registry:
        registry.create_registered_model("small")
        for turn in range(options.rounds + 1):
            ours, theirs = _turn(registry, alone, directory / f"tree-{turn}")
            if turn:  # the first is for what is needed once
                times["ours"].append(ours)
                times["s3fs"].append(theirs)
    return {
        "files": SMALL_FILES,
        "bytes": SMALL_BYTES,
        "seconds": {name: statistics.median(found) for name, found in times.items()},
    }


def _turn(registry, alone, tree):
    # New bytes each time: what is there already is not sent again.
    _write_tree(tree)
    ours = _seconds(lambda: registry.create_model_version("small", source=str(tree)))
    target = f"{s3.bucket_name()}/alone/{tree.name}"
    theirs = _seconds(lambda: alone.put(f"{tree}/", target, recursive=True))
    shutil.rmtree(tree)
    return ours, theirs


def _write_tree(tree):
    for number in range(SMALL_FILES):
        path = tree / f"{number % 20}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(secrets.token_bytes(SMALL_BYTES))


def _seconds(act):
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


@contextlib.contextmanager
def _variable(name, value):
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
