"""Ours and MLflow's server side by side, with the ceilings of the machine in the same run."""

import contextlib
import sys

from bench import data, load, pgbench, servers
from bench.operations import Operation, ask, deep_token, operations, page_of_models

NOTHING = Operation(name="empty handler", path="/")
HEALTH = Operation(name="/health", path="/health")


def run(options):
    """For each kind of database, number of workers and of connections: each operation's figures."""
    found = {}
    for kind in options.stores:
        for workers in options.workers:
            with contextlib.ExitStack() as stack:
                databases = servers.Databases.temporary(stack, kind)
                found |= _on(stack, databases, workers, options)
    return found


def _on(stack, databases, workers, options):
    size = {"models": options.models, "versions": options.versions}
    target, url = servers.ours(stack, databases, workers=workers)
    data.fill_registry(url, data.OURS, **size)
    targets = [target]
    if options.mlflow:
        theirs, their_url = servers.mlflow(stack, databases, workers=workers)
        data.fill_registry(their_url, data.MLFLOW, **size)
        targets.append(theirs)
    empty = servers.empty(stack)
    chosen = _operations(target, options)
    agree(targets, chosen)
    statements = _statements(databases, targets, chosen, options)
    found = {}
    for at, connections in enumerate(options.connections):
        bounds = {
            "connections": connections,
            "seconds": options.seconds,
            "rounds": options.rounds,
        }
        table = {}
        for operation in chosen:
            # The database's own figures do not depend on our workers: once is enough.
            alone = at == 0 and workers == options.workers[0]
            table[operation.name] = _row(targets, operation, bounds)
            if alone and databases.server is not None and not operation.writes:
                table[operation.name]["pgbench"] = pgbench.run(url, operation, **bounds)
                table[operation.name]["planned"] = pgbench.planned(url, operation)
            table[operation.name] |= statements.get(operation.name, {})
            print(".", end="", file=sys.stderr, flush=True)
        pairs = [(empty, NOTHING), (target, HEALTH)]
        for (_, operation), figures in zip(pairs, load.in_turns(pairs, **bounds), strict=True):
            table[operation.name] = {"ours": figures}
        found[f"{databases.kind}, {workers} worker(s), {connections} connections"] = table
    print(file=sys.stderr)
    return found


def _operations(target, options):
    chosen = operations(options.models, options.versions)
    pages = options.models // 100 - 1
    if pages:
        chosen.insert(4, page_of_models(deep_token(target.url, pages)))
    return [operation for operation in chosen if options.only in operation.name]


def _row(targets, operation, bounds):
    """The figures of one operation: each server's."""
    asked = [target for target in targets if target.name == "ours" or _is_shared(operation)]
    figures = load.in_turns([(target, operation) for target in asked], **bounds)
    row = {target.name: one for target, one in zip(asked, figures, strict=True)}
    row["bars"] = {"ratio": operation.ratio, "cpu_us": operation.cpu_us}
    return row


def _is_shared(operation):
    # A page token is its server's own.
    return "page_token" not in operation.path


def agree(targets, chosen):
    """Asks both servers the same once: a fast answer counts when it is the right one.

    Raises:
        SystemExit: the answers differ.
    """
    for operation in chosen:
        if operation.writes or not _is_shared(operation):
            continue
        answers = [_rows(ask(target.url, operation)) for target in targets]
        if any(answer != answers[0] or not answer for answer in answers):
            raise SystemExit(f"{operation.name}: the servers answer differently: {answers}")


def _rows(answer):
    """Which models and versions an answer holds."""
    found = []
    for value in answer.values():
        rows = value if isinstance(value, list) else [value]
        found += [(row["name"], row.get("version")) for row in rows if isinstance(row, dict)]
    return found


def _statements(databases, targets, chosen, options):
    """How many statements each server sends for each operation, when it does it again."""
    found = {}
    if databases.server is None:
        return found
    connected, *_ = operations(options.models, options.versions)
    for operation in chosen:
        for target in [
            target for target in targets if target.name == "ours" or _is_shared(operation)
        ]:
            # What is done only once, such as connecting, is no part of it.
            ask(target.url, connected if operation.writes else operation)
            with databases.counted() as sent:
                ask(target.url, operation)
            found.setdefault(operation.name, {})[f"{target.name}_statements"] = len(sent)
    return found
