"""The same operations on ever larger registries, and on ever larger models."""

import contextlib
import sys
import time

from bench import data, load, servers
from bench.operations import (
    Operation,
    ask,
    deep_token,
    get_model,
    operations,
    page_of_models,
)

SMALL, DOOMED = data.LARGE + 1, data.LARGE + 2
"""Numbers of the models that have one version, and very many to delete."""

DOOMED_VERSIONS = 10_000


def run(options):
    """For each kind of database: each operation's figures on each size of registry."""
    found = {}
    for kind in options.stores:
        with contextlib.ExitStack() as stack:
            databases = servers.Databases.temporary(stack, kind)
            found[kind] = _on(stack, databases, options)
    return found


def _on(stack, databases, options):
    targets = {}
    for size in options.sizes:
        target, url = servers.ours(stack, databases)
        began = time.monotonic()
        data.fill_registry(url, data.OURS, models=size, versions=options.versions)
        print(f"{size} models in {time.monotonic() - began:.0f} s", file=sys.stderr)
        targets[size] = target
    bounds = {"connections": 4, "seconds": options.seconds, "rounds": options.rounds}
    return {
        "sizes": _by_size(targets, options, bounds),
        "pages": _pages(targets[max(targets)], max(targets), bounds),
        **_large_models(databases, target, url, options, bounds),
    }


def _by_size(targets, options, bounds):
    by_size = {size: operations(size, options.versions) for size in targets}
    found = {}
    for row in zip(*by_size.values(), strict=True):
        if options.only not in row[0].name:
            continue
        pairs = list(zip(targets.values(), row, strict=True))
        found[row[0].name] = dict(zip(targets, load.in_turns(pairs, **bounds), strict=True))
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def _pages(target, models, bounds):
    """The first page, and the last whole one, after walking there."""
    pages = models // 100 - 1
    pairs = [
        (target, page_of_models()),
        (target, page_of_models(deep_token(target.url, pages))),
    ]
    first, deep = load.in_turns(pairs, **bounds)
    return {"page 1": first, f"page {pages + 1}": deep}


def _large_models(databases, target, url, options, bounds):
    for number, versions in ((SMALL, 1), (DOOMED, DOOMED_VERSIONS)):
        data.fill(url, data.OURS, models=1, versions=versions, first=number)
    most = data.large_versions(options.sizes[-1], options.versions)
    names = {1: data.name_of(SMALL), most: data.name_of(data.LARGE)}
    pairs = [(target, get_model(name)) for name in names.values()]
    return {
        "get by versions": dict(zip(names, load.in_turns(pairs, **bounds), strict=True)),
        "delete": {
            DOOMED_VERSIONS: _delete(databases, target, DOOMED),
            1: _delete(databases, target, SMALL),
        },
    }


def _delete(databases, target, number):
    """Seconds and statements of the delete of a model."""
    operation = Operation(
        name="delete",
        path="/api/2.0/mlflow/registered-models/delete",
        method="DELETE",
        body=f'{{"name": "{data.name_of(number)}"}}',
    )
    with databases.counted() as statements:
        began = time.monotonic()
        ask(target.url, operation)
        seconds = time.monotonic() - began
    return {"seconds": round(seconds, 3), "statements": len(statements) or None}
