"""The S3 store against bare boto3 that sends the same requests, in turns, in one process."""

import contextlib
import os
import statistics
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import attrs

from registry_core import open_registry
from registry_core.models import NewRegisteredModel
from services import s3
from services.opened import open_s3_store as open_store

BLOCK = 50
"""Calls of one, then of the other."""

WRITERS = 8
"""Threads that create the models."""


def run(options):
    """Seconds per call of the store, and of the requests that it sends, sent by boto3 alone."""
    with contextlib.ExitStack() as stack:
        server = s3.launch(stack)
        stack.enter_context(_environment(server.environment()))
        client = server.client()
        stack.callback(client.close)
        client.create_bucket(Bucket=s3.bucket_name())
        prefix = f"b-{uuid.uuid4().hex[:8]}"
        url = s3.store_url(server.endpoint_url, prefix)
        names = [f"model-{number:06}" for number in range(options.bucket_models)]
        _create(url, names)
        bare = Bare(client, s3.bucket_name(), f"{prefix}/models/")
        found = _calls(url, bare, names, options.rounds)
        return found | {"warm search": _search(url, bare, options.rounds, len(names))}


@attrs.frozen
class Bare:
    """The same requests without a store."""

    client: object
    bucket: str
    prefix: str

    def get(self, key):
        """One GET, its body read."""
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def put(self, key, body):
        """One PUT."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def list(self):
        """As many LISTs as it takes, one after the other; their number."""
        token, count = {}, 0
        while True:
            reply = self.client.list_objects_v2(
                Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1000, **token
            )
            count += 1
            if not reply["IsTruncated"]:
                return count
            token = {"ContinuationToken": reply["NextContinuationToken"]}


def _create(url, names):
    store = open_store(url)
    tags = {"team": "risk"}
    with contextlib.closing(store), ThreadPoolExecutor(WRITERS) as pool:
        drafts = [NewRegisteredModel(name=name, tags=tags) for name in names]
        list(pool.map(store.create_registered_model, drafts))
    print(f"{len(names)} models in a bucket", file=sys.stderr)


def _calls(url, bare, names, rounds):
    """A read, and writes by whoever has and has not seen the document before."""
    sent = []
    store = open_store(url)
    store.observe(lambda operation, key: sent.append((operation, key)))
    store.get_registered_model(names[0])
    (body,) = {bare.get(key) for operation, key in sent[-1:] if operation == "get"}
    keys = {name: f"{bare.prefix}{name}.json" for name in names}
    number = iter(range(10**9))
    calls = {
        "get": store.get_registered_model,
        "set tag": lambda name: store.set_registered_model_tag(name, "n", str(next(number))),
    }
    found = {}
    with contextlib.closing(store):
        for call, act in calls.items():
            act(names[0])
            sent.clear()
            act(names[0])
            requests = [operation for operation, _ in sent]

            def alone(name, requests=requests):
                for operation in requests:
                    if operation == "get":
                        bare.get(keys[name])
                    else:
                        # Beside the registry, whose search would take it for a document.
                        bare.put(f"copies/{keys[name]}", body)

            ours, theirs = _in_turns(act, alone, names[1 : BLOCK + 1], rounds)
            found[call] = {"requests": requests, "seconds": ours, "bare_seconds": theirs}
    return found


def _in_turns(act, alone, names, rounds):
    for name in names:
        # Neither is measured with what it does only once.
        act(name)
        alone(name)
    times = {act: [], alone: []}
    for _ in range(max(5, rounds)):
        for each, seconds in times.items():
            began = time.perf_counter()
            for name in names:
                each(name)
            seconds.append((time.perf_counter() - began) / len(names))
    return [statistics.median(seconds) for seconds in times.values()]


def _search(url, bare, rounds, models):
    """A search of everything, when nothing has changed since the one before."""
    times, bare_times, sent = [], [], []
    with open_registry(url) as registry:
        registry.search_registered_models("tags.team = 'nobody'")
        registry.search_registered_models("tags.team = 'nobody'")
        for _ in range(max(5, rounds)):
            began = time.perf_counter()
            registry.search_registered_models("tags.team = 'nobody'")
            times.append(time.perf_counter() - began)
            began = time.perf_counter()
            sent.append(bare.list())
            bare_times.append(time.perf_counter() - began)
    return {
        "models": models,
        "requests": ["list"] * sent[0],
        "seconds": statistics.median(times),
        "bare_seconds": statistics.median(bare_times),
    }


@contextlib.contextmanager
def _environment(variables):
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
