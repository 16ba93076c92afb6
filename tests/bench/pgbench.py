"""PostgreSQL's own load generator with the SQL that our server sends: the database's ceiling."""

import contextlib
import re
import subprocess
import tempfile
import urllib.parse

from bench.operations import API, plain
from registry_core import open_registry, wire
from registry_core.stores.sql import open_store
from registry_core.stores.sql.postgresql import PostgresqlConnection
from registry_server.http.operations import REGISTRY_OPERATIONS, RequestContext

SENT = 20
"""How often a statement is sent over one connection to see how often it is planned. PostgreSQL plans
one five times for its values before it decides whether a plan for all values is as good."""


def run(url, operation, *, connections, seconds, rounds):
    """Requests per second of an operation's statement alone, and its mean latency."""
    statement, values = sent(url, operation)
    text = re.sub(r"\$(\d+)", r":p\1", statement.text).replace("\n", " ")
    arguments = statement.arguments(values)
    variables = [f"-Dp{at}={value}" for at, value in enumerate(arguments, 1)]
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"{text};\n")
        script.flush()
        done = subprocess.run(
            [
                "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={connections}",
                f"--time={max(1, round(seconds * rounds / 2))}", f"--file={script.name}",
                *variables, url,
            ],
            capture_output=True,
            text=True,
            check=True,
        )  # fmt: skip
    (rate,) = re.findall(r"tps = ([\d.]+)", done.stdout)
    (latency,) = re.findall(r"latency average = ([\d.]+) ms", done.stdout)
    return {"requests_per_second": float(rate), "mean_us": float(latency) * 1e3}


def planned(url, operation):
    """How often PostgreSQL plans an operation's statement when a connection sends it `SENT` times."""
    statement, values = sent(url, operation)
    counted = "SELECT sum(custom_plans) + count(*) FILTER (WHERE generic_plans > 0)"
    with contextlib.closing(open_store(url)) as store:
        connection = store._database.driver.connect()
        for _ in range(SENT):
            connection.run(statement, values)
        ((plans,),) = connection.raw.execute(f"{counted} FROM pg_prepared_statements").fetchall()
        connection.close()
    return int(plans)


def sent(url, operation):
    """The one statement that a read sends, with its values."""
    path = urllib.parse.urlsplit(plain(operation.path))
    (row,) = [row for row in REGISTRY_OPERATIONS if row.has_query and API + row.path == path.path]
    fields = wire.fields_of_query(row.request, path.query.encode())
    with open_registry(url) as registry, _recorded() as runs:
        row.call(RequestContext(registry=registry), wire.decode_request(row.request, fields))
    (run_,) = runs
    return run_


@contextlib.contextmanager
def _recorded():
    runs = []
    original = PostgresqlConnection.run

    def run_(self, statement, values):
        runs.append((statement, values))
        return original(self, statement, values)

    PostgresqlConnection.run = run_
    try:
        yield runs
    finally:
        PostgresqlConnection.run = original
