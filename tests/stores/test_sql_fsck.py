"""`fsck` of a database finds what its constraints did not keep out, and repairs what can be."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest

from registry_core.errors import StoreCorruptedError
from registry_core.fsck import Fsck, Report
from registry_core.history import EventQuery
from registry_core.models import (
    NewModelVersion,
    NewWebhook,
    WebhookAction,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.stores.sql import SqlStore, fsck
from registry_core.stores.sql.tables import metadata
from registry_core.testing.observing import dump, model_names, models_query, versions_query
from services.opened import open_sql_store as open_store
from services.s3_mutations import approved, furnish

Run = Callable[[str], None]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    store = open_store(url)
    for name in ("m", "ÄRGER"):
        furnish(store, name)
    yield store
    store.close()


@pytest.fixture
def run(url: str, store: SqlStore) -> Iterator[Run]:
    """Runs SQL behind the store's back, as where constraints are off."""
    with contextlib.ExitStack() as stack:
        if url.startswith("sqlite:"):
            raw = stack.enter_context(
                contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///")))
            )
            raw.isolation_level = None
            yield lambda text: raw.execute(text).close()
        else:
            connection = stack.enter_context(psycopg.connect(url, autocommit=True))
            connection.execute("SET session_replication_role = replica")
            yield connection.execute


def problems(report: Report) -> list[tuple[str, str, bool, bool]]:
    """Kind, subject, whether repairable, whether repaired, of what is wrong with the rows.

    A history tells of most changes that were made behind its back, too.
    """
    rows = [each for each in report.findings if each.problem != "untrue-history"]
    return [(f.problem, f.subject, f.repairable, f.repaired) for f in rows]


def test_a_healthy_registry_is_clean(store: SqlStore) -> None:
    """And the report says what was looked at."""
    assert isinstance(store, Fsck)
    report = store.fsck()
    assert (report.findings, report.notes, report.clean) == ((), (), True)
    assert report.checked == {
        "registered_models": 2,
        "model_versions": 4,
        "tags": 6,
        "aliases": 2,
        "approvals": 0,
        "webhooks": 2,
        "histories": 2,
        "events": len(store.events(EventQuery(max_results=1_000))),
    }
    assert report.not_checked == {}


def test_an_empty_registry_is_clean(url: str) -> None:
    """There was nothing to see, and it was looked."""
    store = open_store(url)
    report = store.fsck()
    assert report.clean
    assert set(report.checked.values()) == {0}
    store.close()


@attrs.frozen
class Damage:
    """What somebody's SQL did, and what is said of it."""

    sql: str
    problem: str
    subject: str
    is_repairable: bool = False


DAMAGES = [
    Damage(
        "INSERT INTO model_version_approvals (name, version, actor, is_authenticated, digest, time)"
        " VALUES ('m', 9, 'ann', 0, 'x', 1)",
        "approval-without-version",
        "model_version_approvals(name='m', version=9, actor='ann')",
        is_repairable=True,
    ),
    Damage(
        "INSERT INTO registered_model_aliases (name, alias, version) VALUES ('m', 'lost', 9)",
        "alias-without-version",
        "registered_model_aliases(name='m', alias='lost')",
        is_repairable=True,
    ),
    Damage(
        "INSERT INTO registered_model_tags (name, key, value, value_head) "
        "VALUES ('nobody', 'k', 'v', 'v')",
        "tag-without-owner",
        "registered_model_tags(name='nobody', key='k')",
        is_repairable=True,
    ),
    Damage(
        "INSERT INTO model_version_tags (name, version, key, value, value_head, last_updated_time)"
        " VALUES ('m', 7, 'k', 'v', 'v', 1)",
        "tag-without-owner",
        "model_version_tags(name='m', version=7, key='k')",
        is_repairable=True,
    ),
    Damage(
        "UPDATE registered_models SET next_version = 2 WHERE name = 'm'",
        "inconsistent-counter",
        "registered_models(name='m')",
        is_repairable=True,
    ),
    Damage(
        "UPDATE registered_models SET last_event = last_event - 1 WHERE name = 'm'",
        "inconsistent-counter",
        "registered_models(name='m')",
        is_repairable=True,
    ),
    Damage(
        "UPDATE registered_models SET last_event = last_event + 1 WHERE name = 'm'",
        "missing-events",
        "registered_models(name='m')",
    ),
    Damage(
        "UPDATE registered_models SET name_folded = 'x' WHERE name LIKE 'Ä%'",
        "stale-search-value",
        "registered_models(name='ÄRGER')",
        is_repairable=True,
    ),
    Damage(
        "UPDATE registered_model_tags SET value_folded = 'x' WHERE name = 'm' AND key = 'card'",
        "stale-search-value",
        "registered_model_tags(name='m', key='card')",
        is_repairable=True,
    ),
    Damage(
        "UPDATE model_version_tags SET value_head = 'x' WHERE name = 'm'",
        "stale-search-value",
        "model_version_tags(name='m', version=2, key='prompt')",
        is_repairable=True,
    ),
    Damage(
        "UPDATE model_versions SET run_id = 'ÄRGER' WHERE name = 'm' AND version = 1",
        "stale-search-value",
        "model_versions(name='m', version=1)",
        is_repairable=True,
    ),
    Damage(
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, "
        "current_stage, source, status) VALUES ('nobody', 1, 1, 1, 'None', 's3://b/1', 'READY')",
        "version-without-model",
        "model_versions(name='nobody', version=1)",
    ),
    Damage(
        "UPDATE model_versions SET current_stage = 'Live' WHERE name = 'm' AND version = 2",
        "illegal-value",
        "model_versions(name='m', version=2)",
    ),
    Damage(
        "UPDATE model_versions SET status = 'ready' WHERE name = 'm' AND version = 2",
        "illegal-value",
        "model_versions(name='m', version=2)",
    ),
    Damage(
        "UPDATE webhooks SET status = 'ON' WHERE webhook_id = 'm'",
        "illegal-value",
        "webhooks(webhook_id='m')",
    ),
    Damage(
        "UPDATE registered_models SET next_version = 0 WHERE name = 'empty'",
        "illegal-value",
        "registered_models(name='empty')",
    ),
    Damage(
        "UPDATE registered_models SET description = '{x100001}' WHERE name = 'm'",
        "illegal-value",
        "registered_models(name='m')",
    ),
    Damage(
        "UPDATE registered_model_tags SET key = '../k' WHERE name = 'm' AND key = 'team'",
        "illegal-value",
        "registered_model_tags.key",
    ),
    Damage(
        "UPDATE registered_model_aliases SET alias = '' WHERE name = 'm'",
        "illegal-value",
        "registered_model_aliases.alias",
    ),
    Damage(
        "DROP INDEX ix_model_versions_run_updated",
        "missing-constraint",
        "model_versions.ix_model_versions_run_updated",
    ),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.sql[:50])
def test_what_is_wrong_is_found_and_repaired_where_nothing_is_lost(
    store: SqlStore, run: Run, damage: Damage
) -> None:
    """A check changes nothing; a repair does, and nothing else is different afterwards."""
    store.create_registered_model(attrs.evolve(_new("empty")))
    before = dump(store)
    run(damage.sql.replace("{x100001}", "x" * 100_001))
    expected = (damage.problem, damage.subject, damage.is_repairable)
    for repair in (False, True):
        report = store.fsck(repair=repair)
        assert expected in [found[:3] for found in problems(report)]
        assert {found[3] for found in problems(report)} == {repair and damage.is_repairable}
        assert not report.clean or (repair and damage.is_repairable)
    assert (problems(store.fsck()) == []) == damage.is_repairable
    if damage.is_repairable and "run_id" not in damage.sql:
        assert dump(store) == before


def _new(name: str) -> Any:
    from registry_core.models import NewRegisteredModel

    return NewRegisteredModel(name=name)


def test_a_repaired_counter_goes_on_where_it_should(store: SqlStore, run: Run) -> None:
    """Without the repair the next version could not be created at all."""
    run("UPDATE registered_models SET next_version = 1 WHERE name = 'm'")
    store.fsck(repair=True)
    assert store.create_model_version(NewModelVersion(name="m", source="s3://b/3")).version == 3


def test_a_repaired_text_is_found_again(store: SqlStore, run: Run) -> None:
    """ILIKE goes by the column."""
    query = models_query("name ILIKE 'ärGer'")
    assert model_names(store, query) == ["ÄRGER"]
    run("UPDATE registered_models SET name_folded = NULL WHERE name LIKE 'Ä%'")
    assert model_names(store, query) == []
    assert store.fsck(repair=True).clean
    assert model_names(store, query) == ["ÄRGER"]


def test_all_rows_are_looked_at(store: SqlStore, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are read at a time."""
    monkeypatch.setattr(fsck, "BATCH_ROWS", 2)
    for number in range(7):
        store.create_registered_model(_new(f"ü{number}"))
        store.set_registered_model_tag(f"ü{number}", f"k{number}", "ü")
    run("UPDATE registered_models SET name_folded = 'x' WHERE name LIKE 'ü%'")
    run("UPDATE registered_model_tags SET key = '../' || key WHERE name LIKE 'ü%'")
    found = problems(store.fsck(repair=True))
    assert len([f for f in found if f[0] == "stale-search-value"]) == 7
    assert len([f for f in found if f[0] == "illegal-value"]) == 7
    assert {f[0] for f in problems(store.fsck())} == {"illegal-value"}


def test_endless_problems_are_reported_in_part(
    store: SqlStore, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the report says that there are more."""
    monkeypatch.setattr(fsck, "MOST_FINDINGS", 2)
    for number in range(5):
        run(
            "INSERT INTO registered_model_aliases (name, alias, version) "
            f"VALUES ('m', 'lost{number}', 9)"
        )
    report = store.fsck(repair=True)
    assert len(problems(report)) == 2
    assert "More than 2 rows of registered_model_aliases" in report.notes[0]
    assert len(problems(store.fsck(repair=True))) == 2
    assert len(problems(store.fsck(repair=True))) == 1
    assert store.fsck().findings == ()


def test_a_row_that_no_call_has_written_is_named_by_who_reads_it(store: SqlStore, run: Run) -> None:
    """Not as a failure of ours."""
    run("UPDATE model_versions SET current_stage = 'Live' WHERE name = 'm' AND version = 2")
    for call in (
        lambda: store.get_model_version("m", 2),
        lambda: store.search_model_versions(versions_query()),
    ):
        with pytest.raises(StoreCorruptedError, match="version 2 of model 'm'"):
            call()
    run("UPDATE webhooks SET events = '[[1]]' WHERE webhook_id = 'm'")
    with pytest.raises(StoreCorruptedError, match="webhook 'm'"):
        store.get_webhook("m")
    subjects = {finding.subject for finding in store.fsck().findings}
    assert subjects == {"model_versions(name='m', version=2)", "webhooks(webhook_id='m')"}
    assert store.get_model_version("m", 1).version == 1


def test_every_history_is_played_back(store: SqlStore, run: Run) -> None:
    """Those of deleted models, too; a damaged event is named, and so is one that is gone."""
    for name in ("gone", "kept"):
        store.create_registered_model(_new(name))
        store.set_registered_model_tag(name, "k", "v")
        store.set_registered_model_tag(name, "k", "w")
    (first, *_) = store.events(EventQuery(name="gone"))
    store.delete_registered_model("gone")
    assert store.fsck().clean
    assert store.fsck().checked["histories"] == 4
    run("UPDATE model_events SET actor = 'eve' WHERE name = 'gone' AND sequence = 2")
    run("DELETE FROM model_events WHERE name = 'kept' AND sequence = 3")
    report = store.fsck(repair=True)
    found = [(each.problem, each.subject, each.detail) for each in report.findings]
    assert [each for each in found if each[1] == "kept"] == [
        ("untrue-history", "kept", "the model: tags is {'k': 'w'}, and {'k': 'v'} by the history"),
        (
            "untrue-history",
            "kept",
            "event 3 may be missing, or the model was changed without one",
        ),
    ]
    assert [each for each in found if each[1] != "kept"] == [
        (
            "missing-events",
            "registered_models(name='kept')",
            "its newest event is 2, and there was an event 3",
        ),
        (
            "untrue-history",
            f"model_events(model_id='{first.model_id}')",
            "event 2 is damaged: its checksum does not fit",
        ),
    ]
    assert not report.clean


def test_a_damaged_file_is_found(tmp_path: Path) -> None:
    """What can be read is checked all the same."""
    path = tmp_path / "registry.db"
    store = open_store(f"sqlite:///{path}")
    for number in range(300):
        store.create_registered_model(_new(f"model {number}"))
        store.set_registered_model_tag(f"model {number}", "k", "v" * 500)
    store.close()
    page = _page_of(path, "registered_model_tags")
    content = bytearray(path.read_bytes())
    content[page : page + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    store = open_store(f"sqlite:///{path}")
    report = store.fsck(repair=True)
    assert not report.clean
    assert {finding.problem for finding in report.findings} == {"damaged-database"}
    assert {finding.repairable for finding in report.findings} == {False}
    assert report.checked["registered_models"] == 300
    assert report.not_checked == {"damaged_tables": 1, "histories_of_damaged_models": 300}
    assert "registered_model_tags" in {finding.subject for finding in report.findings}
    store.close()


def _page_of(path: Path, table: str) -> int:
    """Where the root page of a table is in the file."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        (root,) = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
        assert raw.execute("PRAGMA page_size").fetchone() == (4096,)
    return (root - 1) * 4096


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        (
            "ALTER TABLE registered_model_tags DROP CONSTRAINT fk_registered_model_tags_model",
            "fk_registered_model_tags_model",
        ),
        ("ALTER TABLE webhooks DROP CONSTRAINT pk_webhooks", "pk_webhooks"),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_model_versions_run_updated'::regclass",
            "ix_model_versions_run_updated",
        ),
    ],
)
def test_a_constraint_that_is_gone_is_found(postgres_url: str, sql: str, part: str) -> None:
    """Dumps are restored in part, and indexes built in part."""
    store = open_store(postgres_url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql)
    (finding,) = store.fsck().findings
    assert (finding.problem, finding.repairable) == ("missing-constraint", False)
    assert finding.subject.endswith(f".{part}")
    store.close()


@pytest.mark.parametrize("table", ["webhook_outbox", "webhook_dead_letters"])
def test_delivery_that_belongs_to_nothing_is_removed(store: SqlStore, run: Run, table: str) -> None:
    """Those of a webhook and an event that exist stay."""
    extra = ", problem" if table == "webhook_dead_letters" else ""
    value = ", 'status 503'" if extra else ""
    columns = f"(webhook_id, model_id, sequence, is_prompt, failures, due{extra})"
    for webhook_id, sequence in (("m", 1), ("gone", 1), ("m", 99)):
        run(
            f"INSERT INTO {table} {columns} SELECT '{webhook_id}', model_id, {sequence}, 0, 0, 0"
            f"{value} FROM registered_models WHERE name = 'm'"
        )
    found = [finding.problem for finding in store.fsck().findings]
    assert found == ["delivery-without-webhook", "delivery-without-event"]
    assert all(finding.repaired for finding in store.fsck(repair=True).findings)
    assert store.fsck().clean
    log = store.outbox()
    assert len(log.dead_letters("m") if extra else log.queued("m")) == 1


@pytest.fixture(scope="module")
def nullable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with rows in most tables, in which any column but those of some keys may be NULL."""
    path = tmp_path_factory.mktemp("nulls") / "registry.db"
    store = open_store(f"sqlite:///{path}")
    events = tuple(WebhookEvent(entity, act) for entity in WebhookEntity for act in WebhookAction)
    store.create_webhook(NewWebhook(webhook_id="w", name="w", url="u", events=events))
    approved(store, "m")
    store.create_model_version(
        NewModelVersion(name="m", source="Ä", run_id="Ä", tags={"Ä": "Ä" * 300})
    )
    assert store.fsck().clean
    store.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for text in (
            "PRAGMA writable_schema=ON",
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE type = 'table'",
            "PRAGMA journal_mode=DELETE",
        ):
            raw.execute(text).close()
    return path


COLUMNS = [column for table in metadata.sorted_tables for column in table.columns]
SOME = {"model_versions.version", "model_versions.run_id", "model_events.key", "webhooks.url"}


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(each, marks=() if str(each) in SOME else pytest.mark.long, id=str(each))
        for each in COLUMNS
    ],
)
def test_a_value_that_is_missing_is_named(nullable: Path, tmp_path: Path, column: Any) -> None:
    """And what may be missing is told from what may not; the check itself never fails."""
    path, table = tmp_path / "registry.db", column.table.name
    shutil.copy(nullable, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        try:
            changed = raw.execute(f'UPDATE {table} SET "{column.name}" = NULL').rowcount
        except sqlite3.IntegrityError:
            pytest.skip("SQLite keeps NULL out of the keys of tables without row ids")
    store = open_store(f"sqlite:///{path}")
    missing = [each for each in store.fsck().findings if each.problem == "missing-value"]
    store.close()
    assert bool(missing) == (changed > 0 and not column.nullable)
    assert all(each.subject.startswith(f"{table}(") for each in missing)
    assert all(column.name in each.detail for each in missing)
