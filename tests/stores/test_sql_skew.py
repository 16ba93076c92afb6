"""Plans hold with real data: where one value is on most of the rows, and PostgreSQL knows.

What is asserted is what makes a search fast whatever the machine does: that it is planned once, and
not anew for every value; that it looks at few rows; and that PostgreSQL does not believe that it
costs so much that compiling it would pay.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import psycopg
import pytest

from registry_core.models import NewModelVersion, Stage
from registry_core.search import Entity, OrderBy, Query, paging, parse_filter
from registry_core.stores.sql import SqlStore, searches
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.postgresql import PostgresqlConnection
from services.opened import open_sql_store as open_store
from services.postgres import Postgres, fresh_database

MODELS = 2_000
BIG_VERSIONS = 20_000
"""Of one model; the others have two or three."""

ALL_VERSIONS = BIG_VERSIONS + MODELS * 5 // 2

RARE = 100
"""See `searches.RARE`, for so many rows."""

FEW = 12 * RARE
"""Rows that a page may look at: for each of a few starts so many, and those of the page."""

TRIED_BY_VALUE = 5
"""How often PostgreSQL plans a statement for the values before it plans it without them."""

COMPILED_ABOVE = 100_000
"""`jit_above_cost` of PostgreSQL; compiling takes tens of milliseconds."""

WITH_COUNTS = 140_000
"""The first version whose `pg_prepared_statements` has the number of plans."""

SHARED_BY_MOST = (
    "CASE WHEN i % 10 = 0 THEN 'run-' || name || '-' || version WHEN i % 3 = 0 THEN '' "
    "ELSE 'shared' END"
)
SHARED_BY_ALL = "'shared'"

NAME = (OrderBy("name"),)
UPDATED = (OrderBy("last_updated_timestamp", ascending=False), OrderBy("name"))
NEWEST = (*UPDATED, OrderBy("version", ascending=False))
BY_VERSION = (OrderBy("version", ascending=False), OrderBy("name"))
CREATED = (OrderBy("creation_timestamp"), OrderBy("name"), OrderBy("version", ascending=False))


def fill(run: Callable[[str], object], run_id: str) -> None:
    models = f"generate_series(0, {MODELS - 1}) AS m(i)"
    name = "'model-' || lpad(i::text, 4, '0')"
    run(
        "INSERT INTO registered_models "
        "(name, model_id, creation_time, last_updated_time, next_version) "
        f"SELECT {name}, md5({name}), i, (i * 7919) % 100003, 9 FROM {models} "
        f"UNION ALL SELECT 'model-big', md5('model-big'), 0, 0, {BIG_VERSIONS + 1}"
    )
    run(
        "CREATE TEMPORARY TABLE made AS SELECT row_number() OVER () AS i, name, version FROM ("
        f"SELECT {name}, v FROM {models}, generate_series(1, 2 + i % 2) AS v "
        f"UNION ALL SELECT 'model-big', v FROM generate_series(1, {BIG_VERSIONS}) AS v"
        ") AS of_all (name, version)"
    )
    run(
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, "
        "current_stage, source, run_id, status) SELECT name, version, i, (i * 7919) % 100003, "
        f"'None', CASE WHEN i % 2 = 0 THEN 'prompt-template' ELSE 's3://b/' || i END, {run_id}, "
        "'READY' FROM made"
    )
    for table, columns in (("registered_model_tags", "name"), ("model_version_tags", "")):
        of_all = "registered_models" if columns else "model_versions"
        keys = columns or "name, version, last_updated_time"
        n = "row_number() OVER (ORDER BY name)" if columns else "row_number() OVER ()"
        for key, value in (
            (
                "team",
                "CASE WHEN n % 4 = 0 THEN 'quarter' WHEN n % 997 = 0 THEN 'rare' ELSE 'x' END",
            ),
            ("number", "n::text"),
        ):
            run(
                f"INSERT INTO {table} ({keys}, key, value, value_head) SELECT {keys}, '{key}', "
                f"{value}, {value} FROM (SELECT {keys}, {n} AS n FROM {of_all}) AS numbered"
            )
    run(
        "INSERT INTO registered_model_aliases (name, alias, version) "
        f"SELECT {name}, 'champion', 1 FROM {models}"
    )
    run("VACUUM ANALYZE")


@attrs.define
class Planned:
    """A store on skewed, analyzed data, and what its server does with a statement."""

    store: SqlStore
    connection: PostgresqlConnection

    def compiled(self, query: Query) -> tuple[Statement, dict[str, Any]]:
        driver = self.store._database.driver
        return searches.statement(query, driver.dialect), searches.values(query, driver)

    def plan(self, statement: Statement, values: dict[str, Any]) -> dict[str, Any]:
        """What running the statement with a plan for any values does."""
        arguments = [_literal(value) for value in statement.arguments(values)]
        raw = self.connection.raw
        raw.execute("SET plan_cache_mode = force_generic_plan")
        types = ", ".join(_type(value) for value in statement.arguments(values))
        raw.execute(f"PREPARE tried{f'({types})' if types else ''} AS {statement.text}".encode())
        parameters = f"({', '.join(arguments)})" if arguments else ""
        explained = raw.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE tried{parameters}".encode()
        )
        (found,) = explained.fetchone()
        raw.execute("DEALLOCATE tried")
        raw.execute("RESET plan_cache_mode")
        return json.loads(found)[0]


def _type(value: object) -> str:
    return "bigint" if isinstance(value, int) else "text[]" if isinstance(value, list) else "text"


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return "ARRAY[" + ", ".join(map(_literal, value)) + "]::text[]"
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"


@pytest.fixture(scope="module", autouse=True)
def small_measure() -> Iterator[None]:
    searches._compiled.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "RARE", RARE)
        yield
    searches._compiled.cache_clear()


@pytest.fixture(scope="module", params=[SHARED_BY_MOST, SHARED_BY_ALL], ids=["most", "all"])
def planned(request: pytest.FixtureRequest, postgres_server: Postgres) -> Iterator[Planned]:
    with fresh_database(postgres_server) as url:
        store = open_store(url)
        with psycopg.connect(url, autocommit=True) as connection:
            fill(connection.execute, request.param)
        connection = store._database.driver.connect()
        yield Planned(store, connection)
        connection.close()
        store.close()


def query(entity: Entity, text: str, order_by, after: tuple = ()) -> Query:
    bound = parse_filter(text, entity) if text else ()
    made = Query(
        entity=entity, filter=bound, order_by=order_by, max_results=20, exclude_prompts=True
    )
    token = paging.encode([1, made.digest, list(after)]) if after else ""
    return attrs.evolve(made, page_token=token)


def models(text: str, order_by=NAME, after: tuple = ()) -> Query:
    return query(Entity.REGISTERED_MODEL, text, order_by, after)


def versions(text: str, order_by=NEWEST, after: tuple = ()) -> Query:
    return query(Entity.MODEL_VERSION, text, order_by, after)


DEEP = (50_000, "model-0500", 1)

SEARCHES: dict[str, Callable[[str, str], Query]] = {
    "models by name": lambda value, name: models(f"name = '{name}'"),
    "models by LIKE": lambda value, name: models("name LIKE 'model-00%'"),
    "models by LIKE, updated": lambda value, name: models("name LIKE 'model-%'", UPDATED),
    "models by tag": lambda value, name: models(f"tags.team = '{value}'"),
    "models by tag, updated": lambda value, name: models(f"tags.team = '{value}'", UPDATED),
    "models by name IN": lambda value, name: models(f"name IN ('{name}', 'model-0007')"),
    "versions by name": lambda value, name: versions(f"name = '{name}'"),
    "versions by name, by version": lambda value, name: versions(f"name = '{name}'", BY_VERSION),
    "versions by name, created": lambda value, name: versions(f"name = '{name}'", CREATED),
    "versions by name, deep": lambda value, name: versions(f"name = '{name}'", NEWEST, DEEP),
    "versions by LIKE": lambda value, name: versions("name LIKE 'model-%'"),
    "versions by run": lambda value, name: versions(f"run_id = '{value}'"),
    "versions by run, deep": lambda value, name: versions(f"run_id = '{value}'", NEWEST, DEEP),
    "versions by run, created": lambda value, name: versions(f"run_id = '{value}'", CREATED),
    "versions by run IN": lambda value, name: versions(f"run_id IN ('{value}', 'a', 'b')"),
    "versions by run and name": lambda value, name: versions(
        f"run_id = '{value}' AND name = '{name}'"
    ),
    "versions by name and number": lambda value, name: versions(
        f"name = '{name}' AND version_number = 2"
    ),
    "versions by source": lambda value, name: versions(f"source_path = '{value}'"),
    "versions by tag": lambda value, name: versions(f"tags.team = '{value}'"),
    "versions by tag, deep": lambda value, name: versions(f"tags.team = '{value}'", NEWEST, DEEP),
    "versions by tag, created": lambda value, name: versions(f"tags.team = '{value}'", CREATED),
    "versions by tag and name": lambda value, name: versions(
        f"name = '{name}' AND tags.team = '{value}'"
    ),
    "versions by two tags": lambda value, name: versions(
        f"tags.team = '{value}' AND tags.number = '77'"
    ),
    "versions by tag and run": lambda value, name: versions(
        f"tags.team = '{value}' AND run_id = 'shared'"
    ),
}
"""Searches by a value and by the name of a model, of which either may be common, rare or absent."""

VALUES = ("shared", "", "quarter", "rare", "x", "prompt-template", "run-model-0005-2", "absent")
NAMES = ("model-big", "model-0005", "absent")


FAR = {"versions by name, created": MODELS * 3, "versions by source": 2 * ALL_VERSIONS}
"""What may look at more: rows of a common value are walked in an order in which they come late, and
no index has the sources with what an order needs, so all that have one are counted."""


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_looks_at_few_rows_whatever_it_is_for(planned: Planned, name: str) -> None:
    """By one plan for all values, which PostgreSQL does not take for so costly as to compile it."""
    ways = {SEARCHES[name](value, model) for value in VALUES for model in NAMES}
    for way in ways:
        explained = planned.plan(*planned.compiled(way))
        assert looked_at(explained["Plan"]) <= FAR.get(name, FEW), way.filter
        assert pages(explained["Plan"]) <= FAR.get(name, FEW), way.filter
        assert explained["Plan"]["Total Cost"] < COMPILED_ABOVE
        assert "JIT" not in explained


@pytest.mark.parametrize("order", [NAME, UPDATED])
@pytest.mark.parametrize("text", ["name ILIKE '%ODEL-0777%'", "name LIKE '%odel-0777%'"])
def test_part_of_a_name_is_looked_for_in_an_index(planned: Planned, text: str, order) -> None:
    """Of the models that do not have it, no row is read: there is one on each page or so."""
    way = models(text, order)
    explained = planned.plan(*planned.compiled(way))
    assert [model.name for model in planned.store.search_registered_models(way).items] == [
        "model-0777"
    ]
    assert pages(explained["Plan"]) < MODELS / 10
    assert "JIT" not in explained


@pytest.mark.parametrize("order", [NAME, UPDATED])
def test_part_of_most_names_is_found_at_once_where_models_change(planned: Planned, order) -> None:
    """The index alone then says little, and PostgreSQL would rather sort all the names."""
    raw = planned.connection.raw
    raw.execute("UPDATE registered_models SET description = 'changed'")
    raw.execute("ANALYZE registered_models")
    try:
        explained = planned.plan(*planned.compiled(models("name ILIKE '%ODEL-%'", order)))
    finally:
        raw.execute("VACUUM ANALYZE registered_models")
    assert looked_at(explained["Plan"]) <= FEW


def test_a_model_of_a_page_costs_a_probe_for_each_of_its_stages(planned: Planned) -> None:
    """And one that finds no more: most models have none but the stage None."""
    plan = planned.plan(*planned.compiled(models("name = 'model-big'", NAME)))["Plan"]
    assert probes(plan, "ix_model_versions_stage") == 2


def test_one_model_costs_a_probe_for_each_stage_that_there_is(planned: Planned) -> None:
    """However many versions it has; the statement has no more parts to be set up than that takes."""
    explained = planned.plan(planned.store._sql.get_model, {"name": "model-big"})
    assert probes(explained["Plan"], "ix_model_versions_stage") == len(Stage)
    # Those of the model, its tags and aliases, its newest versions and their tags.
    assert len(tables(explained["Plan"])) == 5


@pytest.mark.parametrize("name", ["models by tag", "models by tag, updated", "versions by tag"])
def test_what_is_found_once_is_not_kept_for_the_next_time(planned: Planned, name: str) -> None:
    """As the statistics of a table with several tags of each model have PostgreSQL expect."""
    for value in VALUES:
        explained = planned.plan(*planned.compiled(SEARCHES[name](value, "model-0005")))
        assert "Memoize" not in parts(explained["Plan"])


@pytest.mark.parametrize("name", ["models by tag", "versions by tag", "versions by tag, deep"])
def test_a_page_by_tag_comes_in_its_order_from_the_index(planned: Planned, name: str) -> None:
    explained = planned.plan(*planned.compiled(SEARCHES[name]("quarter", "")))
    assert not {"Sort", "Incremental Sort"} & parts(explained["Plan"])


def parts(plan: dict[str, Any]) -> set[str]:
    """The types of the parts of a plan."""
    return {plan["Node Type"]}.union(*map(parts, plan.get("Plans", ())))


def tables(plan: dict[str, Any]) -> list[str]:
    """The tables that the parts of a plan read, each part by itself."""
    own = [plan["Relation Name"]] if "Relation Name" in plan else []
    return [*own, *(each for child in plan.get("Plans", ()) for each in tables(child))]


def probes(plan: dict[str, Any], index: str) -> int:
    """How often a plan has looked into an index."""
    own = plan["Actual Loops"] if plan.get("Index Name") == index else 0
    return int(own) + sum(probes(child, index) for child in plan.get("Plans", ()))


def looked_at(plan: dict[str, Any]) -> int:
    """Rows that a plan has read, also those that it has thrown away."""
    counted = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    own = sum(plan.get(key, 0) for key in counted) * plan["Actual Loops"]
    is_read = plan["Node Type"].endswith("Scan")
    return int(own * is_read) + sum(looked_at(child) for child in plan.get("Plans", ()))


def pages(plan: dict[str, Any]) -> int:
    """Pages of the database that a plan has looked at, also for entries of an index it skipped."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def plans(connection: PostgresqlConnection) -> tuple[int, int]:
    """How many plans a connection has used that were made once, and made for the values."""
    counted = "SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements"
    ((generic, custom),) = connection.raw.execute(counted).fetchall()
    return int(generic), int(custom)


def writes(store: SqlStore) -> dict[str, tuple[Statement, dict[str, Any]]]:
    """What the store sends for changes of one statement, with the values that it gives."""
    calls = {
        "set tag": lambda: store.set_registered_model_tag("model-0001", "k", "v"),
        "set tag of a version": lambda: store.set_model_version_tag("model-0001", 1, "k", "v"),
        "set alias": lambda: store.set_registered_model_alias("model-0001", "champion", version=1),
        "create version": lambda: store.create_model_version(
            NewModelVersion(name="model-0001", source="s", run_id="shared")
        ),
    }
    sent: dict[str, tuple[Statement, dict[str, Any]]] = {}
    run = PostgresqlConnection.run
    for text, call in calls.items():

        def recorded(connection, statement, values, text=text):
            sent.setdefault(text, (statement, dict(values)))
            return run(connection, statement, values)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PostgresqlConnection, "run", recorded)
            call()
    return sent


def again(statement: Statement, values: dict[str, Any]) -> tuple[Statement, dict[str, Any]]:
    """The same for another call: an operation has an id of its own."""
    new = {"operation_id": uuid.uuid4()} if "operation_id" in values else {}
    return statement, values | new


def operations(planned: Planned) -> dict[str, Callable[[int], tuple[Statement, dict[str, Any]]]]:
    """Statements with the values of the so-many-th call, common ones and rare ones in turn."""
    sql = planned.store._sql

    def name(i: int) -> str:
        return "model-big" if i % 3 == 0 else f"model-{i:04}"

    def search(made: Callable[[str, str], Query]):
        return lambda i: planned.compiled(made(VALUES[i % len(VALUES)], name(i)))

    return {
        "get model": lambda i: (sql.get_model, {"name": name(i)}),
        "get version": lambda i: (sql.get_version, {"name": name(i), "version": 1 + i % 2}),
        "get by alias": lambda i: (
            sql.get_version_by_alias,
            {"name": name(i), "alias": "champion"},
        ),
        "page of models": lambda i: planned.compiled(models("")),
        "models by update": lambda i: planned.compiled(models("", UPDATED)),
        "page of versions": lambda i: planned.compiled(versions("")),
        "page of versions, deep": lambda i: planned.compiled(versions("", NEWEST, DEEP)),
        **{text: lambda i, sent=sent: again(*sent) for text, sent in writes(planned.store).items()},
        **{text: search(made) for text, made in SEARCHES.items()},
    }


OPERATIONS = (
    "get model",
    "get version",
    "get by alias",
    "page of models",
    "models by update",
    "page of versions",
    "page of versions, deep",
    "set tag",
    "set tag of a version",
    "set alias",
    "create version",
    *SEARCHES,
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_planned_once(planned: Planned, name: str) -> None:
    """Planning takes longer than most of them."""
    operation = operations(planned)[name]
    connection = planned.store._database.driver.connect()
    if connection.raw.info.server_version < WITH_COUNTS:
        pytest.skip("this PostgreSQL does not count plans")
    try:
        for i in range(24):
            connection.run(*operation(i))
        generic, custom = plans(connection)
        shapes = 1 + (name == "versions by source")
        assert custom <= TRIED_BY_VALUE * shapes
        assert generic >= 24 - (TRIED_BY_VALUE + 1) * shapes
    finally:
        connection.close()
