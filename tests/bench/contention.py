"""Many writers on one model against as many on models of their own; two workers against one."""

import contextlib

from bench import cores, data, load, servers
from bench.operations import Operation, ask, create_version, operations

WRITERS = 32

SHARE = 0.25
"""Of a core, for each worker. For some operations the database needs more than the workers do: at
half a core each, it would not leave one free of two."""


def run(options):
    """Both questions, for each kind of database."""
    found = {}
    for kind in options.stores:
        with contextlib.ExitStack() as stack:
            databases = servers.Databases.temporary(stack, kind)
            one, url = servers.ours(stack, databases)
            data.fill_registry(url, data.OURS, models=options.models, versions=options.versions)
            bounds = {
                "connections": WRITERS,
                "seconds": options.seconds,
                "rounds": options.rounds,
            }
            found[kind] = {"writers": _writers(one, bounds)}
            two, _ = servers.ours(stack, databases, url=url, workers=2, name="two workers")
            found[kind]["workers"] = _workers(one, two, options, bounds)
    return found


def _writers(target, bounds):
    hot = data.name_of(0, 1)
    pairs = [
        (target, create_version(hot)),
        (target, create_version(data.name_of(f"1@R:{WRITERS}@", 3))),
    ]
    together, apart = load.in_turns(pairs, **bounds)
    _has_no_gap(target, hot)
    return {"1 model": together, f"{WRITERS} models": apart}


def _has_no_gap(target, name):
    """Raises SystemExit unless the versions are 1..N."""
    token, versions = "", []
    while token is not None:
        query = f"filter=name%20%3D%20'{name}'&order_by=version_number%20DESC&max_results=10000"
        path = f"/api/2.0/mlflow/model-versions/search?{query}&page_token={token}"
        answer = ask(target.url, Operation(name="versions", path=path))
        versions += [int(version["version"]) for version in answer["model_versions"]]
        token = answer.get("next_page_token")
    if versions != list(range(len(versions), 0, -1)):
        raise SystemExit(f"{name} has versions other than 1..{len(versions)}")


def _workers(one, two, options, bounds):
    """Of one and of two workers on the same database, the total of requests.

    Once with the machine as it is, and once with each worker held to a quarter of a core.
    """
    found = {}
    held = ("1 held", "2 held") if cores.can_hold() else ()
    for operation in operations(options.models, options.versions):
        if options.only in operation.name:
            pairs = [(one, operation), (two, operation)]
            row = dict(zip(("1", "2"), load.in_turns(pairs, **bounds), strict=True))
            if held:
                with contextlib.ExitStack() as stack:
                    cores.hold(stack, [one.pid, *load.family(two.pid)[1:]], SHARE)
                    row |= dict(zip(held, load.in_turns(pairs, **bounds), strict=True))
            found[operation.name] = row
    return found
