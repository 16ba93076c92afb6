"""Which way a database takes to what is asked for: by the index, and not through the table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import attrs
import pytest

from registry_core import histories
from registry_core.history import Action
from registry_core.models import Stage
from registry_core.search import Entity, OrderBy, Query, paging, parse_filter
from registry_core.stores.sql import SqlStore, event_pages, open_store, searches
from registry_core.stores.sql.statements import statements
from registry_core.stores.sql.tables import VALUE_HEAD

MODELS = 3_000
VERSIONS = 2
"""Of each model; one model has more."""

BIG = "model-big"
BIG_VERSIONS = 600

EVENTS, BIG_EVENTS = 60, 6_000
"""Of a model that has few, and of that with most versions."""

LONG = "x" * VALUE_HEAD

NAME = (OrderBy("name"),)
UPDATED = (OrderBy("last_updated_timestamp", ascending=False), OrderBy("name"))
NEWEST = (*UPDATED, OrderBy("version", ascending=False))
CREATED = (OrderBy("creation_timestamp"), OrderBy("name"), OrderBy("version", ascending=False))

MODEL_TAGS = "ix_registered_model_tags_value"
VERSION_TAGS = "ix_model_version_tags_value_updated"
"""Names of indexes."""

LATEST = {f"latest{place + 1}" for place in range(len(Stage))}
"""What the statements call the newest versions of a model."""


@attrs.define
class Opened:
    """A store, and what its database says about a statement."""

    store: SqlStore
    used: Callable[..., set[str]]
    """The indexes that running a statement used, and tables that it read through."""
    work: Callable[..., int]
    """How much running a statement costs, in a unit of the database."""


def fill(run: Callable[[str], object]) -> None:
    """Models and versions by the thousand, made inside of the database."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {}) "
    models = numbers.format(MODELS - 1)
    name, counted = "'model-' || i", "creation_time, last_updated_time, next_version"
    run(
        f"INSERT INTO registered_models (name, model_id, {counted}) "
        f"{models} SELECT {name}, 'id-' || i, i, (i * 7919) % 100003, {VERSIONS + 1} FROM n"
    )
    run(
        f"INSERT INTO registered_models (name, model_id, {counted}) "
        f"VALUES ('{BIG}', 'big', 0, 0, {BIG_VERSIONS + 1})"
    )
    fields = (
        "name, version, creation_time, last_updated_time, current_stage, source, run_id, status"
    )
    run(
        f"INSERT INTO model_versions ({fields}) {models} SELECT {name}, v.column1, i, "
        "(i * 7919 + v.column1) % 100003, 'None', 's3://bucket/' || i, 'run-' || i, 'READY' "
        f"FROM n, (VALUES {', '.join(f'({number + 1})' for number in range(VERSIONS))}) AS v"
    )
    run(
        f"INSERT INTO model_versions ({fields}) {numbers.format(BIG_VERSIONS - 1)} SELECT '{BIG}', "
        "i + 1, i, i, CASE WHEN i = 1 THEN 'Production' ELSE 'Archived' END, 's', 'big', 'READY' "
        "FROM n"
    )
    tag = "key, value, value_head"
    version = "name, version, last_updated_time"
    run(
        f"INSERT INTO registered_model_tags (name, {tag}) {models} "
        f"SELECT {name}, 'uid', 'u' || i, 'u' || i FROM n"
    )
    run(
        f"INSERT INTO registered_model_tags (name, {tag}) SELECT name, 'team', 'core', 'core' "
        "FROM registered_models"
    )
    run(
        f"INSERT INTO model_version_tags ({version}, {tag}) SELECT {version}, 'hash', "
        "name || version, name || version FROM model_versions"
    )
    run(
        f"INSERT INTO model_version_tags ({version}, {tag}) SELECT {version}, 'grade', "
        f"'{LONG}' || name, '{LONG}' FROM model_versions"
    )
    noted = "name, time, actor, is_authenticated, origin, action, subject, key, after"
    for name, model_id, count in (("model-7", "id-7", EVENTS), (BIG, "big", BIG_EVENTS)):
        run(
            f"INSERT INTO model_events (model_id, sequence, {noted}) "
            f"VALUES ('{model_id}', 1, '{name}', 1, 'a', 1, 'http', 'create_model', 'model', "
            "NULL, '{}')"
        )
        run(
            f"INSERT INTO model_events (model_id, sequence, {noted}) {numbers.format(count - 2)} "
            f"SELECT '{model_id}', i + 2, '{name}', i, 'a', 1, 'http', 'set_alias', 'alias:champion', "
            "'champion', '1' FROM n"
        )
    # Of which there are few, and all of them at the beginning.
    run(
        "UPDATE model_events SET action = 'set_version_tag', version = sequence, key = 'team', "
        "subject = 'version:' || sequence || '/tag:team' "
        "WHERE model_id = 'big' AND sequence BETWEEN 2 AND 9"
    )
    kind = "CASE WHEN last_updated_time % 50 = 0 THEN 'rare' ELSE 'common' END"
    run(
        f"INSERT INTO model_version_tags ({version}, {tag}) SELECT {version}, 'kind', "
        f"{kind}, {kind} FROM model_versions"
    )


@pytest.fixture(scope="module", autouse=True)
def small_measure() -> Iterator[None]:
    """What counts as rare among thousands of rows, not millions."""
    searches._compiled.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searches, "RARE", 50)
        yield
    searches._compiled.cache_clear()


@pytest.fixture(scope="module")
def in_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    store = open_store(f"sqlite:///{tmp_path_factory.mktemp('plans') / 'registry.db'}")
    connection = store._database._pool.take(fresh=False)
    raw = connection.raw
    raw.execute("BEGIN")
    fill(raw.execute)
    raw.execute("COMMIT")

    def used(statement, values) -> set[str]:
        found = raw.execute(f"EXPLAIN QUERY PLAN {statement.text}", statement.arguments(values))
        words = [detail.split() for *_, detail in found]
        searched = {line[line.index("INDEX") + 1] for line in words if "INDEX" in line}
        scanned = {line[1] for line in words if line[0] == "SCAN" and "INDEX" not in line}
        return searched | {table for table in scanned if table in {"e", "m", "v", *LATEST}}

    def work(statement, values) -> int:
        steps = 0

        def step() -> None:
            nonlocal steps
            steps += 1

        raw.set_progress_handler(step, 10)
        raw.execute(statement.text, statement.arguments(values)).fetchall()
        raw.set_progress_handler(None, 0)
        return steps

    yield Opened(store, used, work)
    store._database._pool.put_back(connection)
    store.close()


@pytest.fixture(scope="module")
def in_postgresql(postgres_module_url: str) -> Iterator[Opened]:
    store = open_store(postgres_module_url)
    connection = store._database._pool.take(fresh=False)
    raw = connection.raw
    fill(raw.execute)
    raw.execute("VACUUM ANALYZE")
    # Tables of a few hundred pages are scanned even when an index would do.
    raw.execute("SET enable_seqscan = off")

    def nodes(plan) -> Iterator[dict]:
        if plan["Actual Loops"]:
            yield plan
        for child in plan.get("Plans", []):
            yield from nodes(child)

    def executed(statement, values) -> dict:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}"
        found = raw.execute(explain, statement.arguments(values), prepare=False).fetchone()[0]
        return json.loads(found)[0]["Plan"]

    def used(statement, values) -> set[str]:
        found = list(nodes(executed(statement, values)))
        return {node["Index Name"] for node in found if "Index Name" in node} | {
            node["Alias"] for node in found if node["Node Type"] == "Seq Scan"
        }

    def work(statement, values) -> int:
        looked_at = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
        return sum(
            int(node["Actual Loops"] * sum(node.get(name, 0) for name in looked_at))
            for node in nodes(executed(statement, values))
        )

    yield Opened(store, used, work)
    store._database._pool.put_back(connection)
    store.close()


@pytest.fixture(params=["in_sqlite", "in_postgresql"])
def opened(request: pytest.FixtureRequest) -> Opened:
    return request.getfixturevalue(request.param)


def compiled(opened: Opened, query: Query):
    driver = opened.store._database.driver
    return searches.statement(query, driver.dialect), searches.values(query, driver)


def search(entity: Entity, text: str, order_by, size: int = 20) -> Query:
    bound = parse_filter(text, entity) if text else ()
    return Query(
        entity=entity, filter=bound, order_by=order_by, max_results=size, exclude_prompts=True
    )


def after(query: Query, *key) -> Query:
    return attrs.evolve(query, page_token=paging.encode([1, query.digest, list(key)]))


def models(text: str, order_by=NAME, **more) -> Query:
    return search(Entity.REGISTERED_MODEL, text, order_by, **more)


def versions(text: str, order_by=NEWEST, **more) -> Query:
    return search(Entity.MODEL_VERSION, text, order_by, **more)


@pytest.mark.parametrize(
    ("query", "index", "found"),
    [
        (models("tags.uid = 'u77'"), MODEL_TAGS, 1),
        (models("tags.uid LIKE 'u77%'"), MODEL_TAGS, 11),
        (models("tags.uid = 'u77' AND tags.team = 'core'", UPDATED), MODEL_TAGS, 1),
        (models("", UPDATED), "ix_registered_models_updated", 20),
        (versions("tags.hash = 'model-772'"), VERSION_TAGS, 1),
        (versions(f"tags.grade = '{LONG}model-77'"), VERSION_TAGS, 2),
        (versions(""), "ix_model_versions_updated", 20),
        (versions("", CREATED), "ix_model_versions_created", 20),
        (versions("run_id = 'run-77'"), "ix_model_versions_run_updated", 2),
        (versions("run_id IN ('run-77', 'run-78')"), "ix_model_versions_run_updated", 4),
        (versions("source_path = 's3://bucket/77'"), "ix_model_versions_source", 2),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_search_uses_its_index(opened: Opened, query: Query, index: str, found: int) -> None:
    """And reads no table of models or versions from end to end."""
    page = (
        opened.store.search_registered_models
        if query.entity is Entity.REGISTERED_MODEL
        else opened.store.search_model_versions
    )(query)
    assert len(page.items) == found
    used = opened.used(*compiled(opened, query))
    assert index in used
    if "tags" not in str(query.filter) and not query.filter:
        assert not used & {"e", *LATEST}


SCAN = versions("source_path LIKE '%no such source%'")
"""A search that has to look at every version."""

CHEAP = 4
"""What costs less than a scan divided by this did not scan; completing a page has its price too."""


@pytest.mark.parametrize(
    "query",
    [
        models("tags.team = 'core'"),
        models("tags.team = 'core'", UPDATED),
        models("tags.team = 'core' AND tags.uid = 'u77'"),
        models("tags.team != 'x' AND name LIKE 'model-%'"),
        models("tags.absent = 'x'", UPDATED),
        models("name LIKE 'model-77%'"),
        after(models("", NAME), "model-2500"),
        after(models("", UPDATED), 50_000, "model-5"),
        versions("tags.hash = 'model-772'"),
        versions("tags.hash = 'absent'"),
        versions("tags.kind = 'common'"),
        versions("tags.kind = 'common' AND tags.hash != 'x'"),
        after(versions("tags.kind = 'common'"), 50_000, "model-5", 1),
        after(versions(""), 50_000, "model-5", 1),
        after(versions(f"name = '{BIG}'"), 300, BIG, 300),
        after(versions("", (OrderBy("name"), OrderBy("version"))), "model-2500", 1),
        versions("run_id = 'big'"),
        after(versions("run_id = 'big'"), 300, BIG, 300),
        versions("run_id = 'big'", CREATED),
        versions("run_id = 'absent'", CREATED),
        versions("run_id IN ('run-4', 'run-5')"),
        versions("run_id = 'big' AND name = 'model-7'"),
        versions(f"name = '{BIG}' AND tags.hash = '{BIG}77'"),
        versions(f"name = '{BIG}'", (OrderBy("version", ascending=False),)),
        versions("source_path = 's3://bucket/77'", CREATED),
        versions("name LIKE 'model-%'"),
        models("name LIKE 'model-%'", UPDATED),
        models("name LIKE 'model-77%'", UPDATED),
    ],
)
def test_a_page_costs_little_wherever_it_is(opened: Opened, query: Query) -> None:
    """Rare tags and common ones, first pages and late ones: none looks at most of the rows."""
    assert opened.work(*compiled(opened, query)) < opened.work(*compiled(opened, SCAN)) / CHEAP


@pytest.mark.parametrize("start", [(), (50_000, "model-5", 1)], ids=["first", "later"])
def test_a_page_by_tag_costs_the_same_however_common_the_tag(opened: Opened, start) -> None:
    """The index has the rows of a value in the default order: neither a walk nor a sort is left."""
    costs = []
    for kind in ("rare", "common"):
        query = versions(f"tags.kind = '{kind}'")
        query = after(query, *start) if start else query
        assert len(opened.store.search_model_versions(query).items) == 20
        costs.append(opened.work(*compiled(opened, query)))
        assert VERSION_TAGS in opened.used(*compiled(opened, query))
    rare, common = costs
    assert rare <= 1.5 * common


def test_both_ways_to_a_tag_find_the_same_page(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Walking and starting from the tag are in the same statement, and differ in cost only."""
    query = versions(f"tags.grade LIKE '{LONG}%' AND tags.hash != 'x'", size=10)
    pages, costs = [], []
    for rare in (1, 100_000):
        searches._compiled.cache_clear()
        monkeypatch.setattr(searches, "RARE", rare)
        pages.append(opened.store.search_model_versions(query))
        costs.append(opened.work(*compiled(opened, query)))
    searches._compiled.cache_clear()
    walking, starting = costs
    assert pages[0] == pages[1]
    assert len(pages[0].items) == 10
    assert walking < starting / CHEAP


@pytest.mark.parametrize("name", ["get_model", "get_version"])
def test_reading_costs_the_same_with_any_number_of_versions(opened: Opened, name: str) -> None:
    """A model of thousands of versions is read like one of two."""
    driver = opened.store._database.driver
    statement = getattr(statements(driver.dialect, driver.insert), name)
    cost = {
        model: opened.work(statement, {"name": model, "version": 2}) for model in ("model-7", BIG)
    }
    assert cost[BIG] <= 2 * cost["model-7"]
    latest = opened.store.get_registered_model(BIG).latest_versions
    assert [(v.version, v.current_stage) for v in latest] == [
        (2, "Production"),
        (BIG_VERSIONS, "Archived"),
    ]


@pytest.mark.parametrize("asked", [{}, {"alias": "champion"}, {"version": 1}], ids=str)
def test_a_page_of_history_costs_the_same_with_any_number_of_events(
    opened: Opened, asked: dict[str, object]
) -> None:
    """What a thing was before an event is found in an index, and not among all that happened."""
    driver, cost = opened.store._database.driver, {}
    for name in ("model-7", BIG):
        query = histories.query(name, max_results=25, **asked)
        statement = event_pages.page(driver.dialect, event_pages.shape(query))
        cost[name] = opened.work(statement, event_pages.page_values(query, driver))
        assert len(opened.store.events(query)) == (0 if "version" in asked else 25)
    assert cost[BIG] <= 1.3 * cost["model-7"] + 10


@pytest.mark.parametrize(
    "asked",
    [
        {"actions": ["set_model_tag", "delete_model_tag"], "name": BIG},
        {"actions": ["create_model", "update_model", "rename_model"], "name": BIG},
        {"actions": [each for each in Action if "tag:" in each.form], "name": BIG},
        {"actions": ["set_version_tag"], "name": BIG, "newest_first": False},
        {"actions": ["update_version", "transition_version", "approve_version"], "name": BIG},
        {"actions": [each for each in Action if "version" in each.form], "name": BIG},
        {"actions": ["delete_version", "delete_model", "rename_model"]},
        {"actions": ["delete_model"]},
        {"actions": ["delete_model"], "until": 50},
        {"until": 3},
    ],
    ids=str,
)
def test_few_events_are_found_without_the_many_of_other_kinds(
    opened: Opened, asked: dict[str, object]
) -> None:
    """In a model's history and among all events; nor is what comes after a moment read."""
    driver = opened.store._database.driver
    query = histories.query(**{"name": None, "max_results": 25, **asked})
    statement = event_pages.page(driver.dialect, event_pages.shape(query))
    assert opened.work(statement, event_pages.page_values(query, driver)) < BIG_EVENTS / 10
    events = opened.store.events(query)
    assert all(event.action in query.actions for event in events if query.actions)
    if query.is_of_one_model:
        tagged = [event.sequence for event in events if event.action is Action.SET_VERSION_TAG]
        places = list(range(9, 1, -1) if query.newest_first else range(2, 10))
        assert tagged == (places if Action.SET_VERSION_TAG in query.actions else [])


def test_a_deep_page_of_the_activity_costs_what_the_first_one_does(opened: Opened) -> None:
    driver, cost = opened.store._database.driver, []
    for time in (BIG_EVENTS, BIG_EVENTS // 2, 30):
        query = attrs.evolve(histories.query(None, max_results=5), after=(time, "big", 1))
        statement = event_pages.page(driver.dialect, event_pages.shape(query))
        cost.append(opened.work(statement, event_pages.page_values(query, driver)))
        assert len(opened.store.events(query)) == 5
    assert max(cost) <= 1.3 * cost[0] + 10
