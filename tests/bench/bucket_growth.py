"""The S3 store on ever more models, on a model of very many versions, and on a very large prompt.

Each operation is timed by a process that has seen nothing (*cold*) and by one that has (*warm*),
with the requests it sends and the bytes that go over the wire for them.
"""

import contextlib
import statistics
import sys
import time
import uuid
from collections import Counter

import attrs

from bench.buckets import _create, _environment
from registry_core import documents
from registry_core.history import new_model_id
from registry_core.models import ModelVersion, NewModelVersion, NewRegisteredModel
from registry_core.store import system_clock
from registry_core.stores.s3 import codec
from registry_core.stores.s3.record import NOTHING, Model, new_operation
from registry_core.testing.observing import models_query, versions_query
from services import s3
from services.opened import open_s3_store as open_store

MANY_VERSIONS = 5_000
PROMPT_VERSIONS = 1_000
PROMPT_BYTES = 20_000


def run(options):
    """Figures per group of operations."""
    with contextlib.ExitStack() as stack:
        server = s3.launch(stack)
        stack.enter_context(_environment(server.environment()))
        client = server.client()
        stack.callback(client.close)
        client.create_bucket(Bucket=s3.bucket_name())
        prefix = f"g-{uuid.uuid4().hex[:8]}"
        many = s3.store_url(server.endpoint_url, f"{prefix}/many")
        large = s3.store_url(server.endpoint_url, f"{prefix}/large")
        return {
            f"{options.bucket_models:,} models": _many(many, options),
            f"one model with {MANY_VERSIONS:,} versions": _versions(large, options),
            f"one prompt with {PROMPT_VERSIONS:,} versions of {PROMPT_BYTES:,} bytes": _prompt(
                large, options
            ),
        }


def _many(url, options):
    _create(url, [f"model-{number:06}" for number in range(options.bucket_models)])
    number = iter(range(10**9))
    calls = {
        "search by a tag": lambda s: s.search_registered_models(models_query("tags.a = 'b'")),
        "page of 100": lambda s: s.search_registered_models(models_query(max_results=100)),
        "search of versions by a tag": lambda s: s.search_model_versions(
            versions_query("tags.a = 'b'")
        ),
        "search by name": lambda s: s.search_registered_models(
            models_query("name = 'model-000007'")
        ),
        "get model": lambda s: s.get_registered_model("model-000007"),
        "create model": lambda s: s.create_registered_model(
            NewRegisteredModel(name=f"new-{next(number)}")
        ),
    }
    return _measured(url, calls, options.rounds)


def _versions(url, options):
    def version(number):
        return ModelVersion(
            name="large",
            version=number,
            creation_timestamp=1_700_000_000_000,
            last_updated_timestamp=1_700_000_000_000,
            source=f"s3://models/experiments/12/runs/{number:032x}/artifacts/model",
            run_id=f"{number:032x}",
            description="",
            run_link="",
            tags={"team": "risk", "auc": "0.9137"},
        )

    _write(url, "large", [version(number) for number in range(1, MANY_VERSIONS + 1)])
    return _measured(url, _calls("large", MANY_VERSIONS // 2), options.rounds)


def _prompt(url, options):
    def version(number):
        text = f"{number:06} ".ljust(PROMPT_BYTES, "x")
        return ModelVersion(
            name="prompt",
            version=number,
            creation_timestamp=1_700_000_000_000,
            last_updated_timestamp=1_700_000_000_000,
            source="dummy-source",
            run_id="",
            description="changed",
            tags={
                "mlflow.prompt.is_prompt": "true",
                "_mlflow_prompt_type": "text",
                "mlflow.prompt.text": text,
            },
        )

    _write(url, "prompt", [version(number) for number in range(1, PROMPT_VERSIONS + 1)])
    return _measured(url, _calls("prompt", PROMPT_VERSIONS // 2), options.rounds)


def _calls(name, middle):
    number = iter(range(10**9))
    return {
        "get model": lambda s: s.get_registered_model(name),
        "get version": lambda s: s.get_model_version(name, middle),
        "set alias": lambda s: s.set_registered_model_alias(
            name, "champion", version=middle + next(number) % 2
        ),
        "set version tag": lambda s: s.set_model_version_tag(name, middle, "n", str(next(number))),
        "create version": lambda s: s.create_model_version(
            NewModelVersion(name=name, source="s3://b/p")
        ),
    }


def _write(url, name, versions):
    # As if they had been created one by one, in the time of one.
    document = documents.create_document(
        NewRegisteredModel(name=name), 1_700_000_000_000, model_id=new_model_id()
    )
    document = attrs.evolve(document, next_version=len(versions) + 1)
    document = documents.build(document, versions)
    operation = new_operation(system_clock)
    with contextlib.closing(open_store(url)) as store:
        store.create_registered_model(NewRegisteredModel(name=f"not-{name}"))
        document, _ = store._values.spill(document, None, (), operation=operation)
        record = NOTHING.then(operation, Model(document=document))
        key = store._index._layout.model(name)
        store._prefix.objects.put_always(key, codec.encode(record), content_type=codec.CONTENT_TYPE)
    print(f"{name} with {len(versions)} versions", file=sys.stderr)


def _measured(url, calls, rounds):
    found = {}
    for name, act in calls.items():
        cold = [_cold(url, act) for _ in range(min(3, rounds))]
        found[f"{name}, cold"] = _median(cold)
        with contextlib.closing(open_store(url)) as store:
            store._bucket.ready_to_write()
            act(store)
            found[f"{name}, warm"] = _median([_timed(store, act) for _ in range(max(5, rounds))])
    return found


def _cold(url, act):
    with contextlib.closing(open_store(url)) as store:
        store._bucket.ready_to_write()
        return _timed(store, act)


def _timed(store, act):
    sent = Counter()
    moved = [0]
    remove = _count_bytes(store, moved)
    store.observe(lambda operation, key: sent.update([operation]))
    began = time.perf_counter()
    act(store)
    seconds = time.perf_counter() - began
    store.observe(None)
    remove()
    return {"seconds": seconds, "requests": dict(sent), "bytes": moved[0]}


def _count_bytes(store, moved):
    get, put = store._prefix.objects.get, store._prefix.objects.put

    def counted_get(*args, **kwargs):
        found = get(*args, **kwargs)
        moved[0] += 0 if found is None else len(found.body)
        return found

    def counted_put(key, body, **kwargs):
        moved[0] += len(body)
        return put(key, body, **kwargs)

    store._prefix.objects.get, store._prefix.objects.put = counted_get, counted_put

    def remove():
        del store._prefix.objects.get, store._prefix.objects.put

    return remove


def _median(measured):
    middle = sorted(measured, key=lambda each: each["seconds"])[len(measured) // 2]
    return {**middle, "seconds": statistics.median(each["seconds"] for each in measured)}
