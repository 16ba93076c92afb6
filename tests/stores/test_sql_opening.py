"""How a database is opened: by which URL, and which databases are refused before anything changes."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import attrs
import psycopg
import pytest

from registry_core import open_registry
from registry_core.backends import artifacts_url
from registry_core.errors import (
    BackendError,
    NotPermittedError,
    RegistryError,
    SchemaOutOfDateError,
    UnsupportedBackendError,
)
from registry_core.models import NewModelVersion, NewRegisteredModel
from registry_core.stores import sql
from registry_core.stores.sql import current, upgrade
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.postgresql import PostgresqlConnection
from registry_core.stores.sql.tables import ALEMBIC_VERSION_TABLE
from registry_core.testing.racing import race
from services.opened import open_sql_store as open_store
from services.postgres import Postgres, fresh_database


@pytest.fixture
def nothing_said_yet() -> None:
    """Other tests may have named the same driver."""
    sql._say_that_it_is_not_used.cache_clear()


@pytest.mark.usefixtures("nothing_said_yet")
@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg", "pg8000", "psycopg2cffi"])
@pytest.mark.parametrize("dialect", ["postgresql", "postgres"])
def test_a_url_may_name_any_driver(
    empty_postgres_url: str, caplog, dialect: str, driver: str
) -> None:
    """As the configurations of MLflow's users do. That it is not used is said once."""
    url = empty_postgres_url.replace("postgresql:", f"{dialect}+{driver}:")
    for _ in range(3):
        with open_registry(url, artifacts="none") as registry:
            registry.ping()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [driver in text for text in said] == [True]


@pytest.mark.usefixtures("nothing_said_yet")
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres", "PostgreSQL"])
def test_nothing_is_said_of_the_driver_that_is_used(
    empty_postgres_url: str, caplog, scheme
) -> None:
    open_store(empty_postgres_url.replace("postgresql:", f"{scheme}:")).close()
    assert not caplog.records


def test_a_sqlite_url_may_name_its_driver(tmp_path) -> None:
    url = f"sqlite+pysqlite:///{tmp_path}/registry.db"
    with open_registry(url) as registry:
        registry.create_registered_model("m")
    assert artifacts_url(url) == f"{tmp_path}/registry-artifacts"
    with open_registry(f"sqlite:///{tmp_path}/registry.db") as registry:
        assert registry.get_registered_model("m").name == "m"


# What is refused, before anything is changed


def catalog(url: str) -> list[tuple]:
    """Everything in a PostgreSQL database but what every database has."""
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT n.nspname, c.relname, c.relkind, c.relfilenode FROM pg_class c "
            "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT LIKE 'pg\\_%' "
            "AND n.nspname <> 'information_schema' ORDER BY 1, 2"
        ).fetchall()


@attrs.frozen
class Refused:
    """How to make a database that is refused, by which error, and when."""

    setup: str
    error: type[RegistryError]
    says: str
    parameters: str = ""
    only_changes: bool = False
    """It is only refused by what would change it."""


def as_role(**settings: str) -> str:
    """Parameters of a URL that make the connection that of a role without any rights of its own."""
    connection = {"role": "registry_without_rights", **settings}
    return "?options=" + quote(" ".join(f"-c {name}={value}" for name, value in connection.items()))


def announcing(text: str) -> str:
    """Has a database say of itself what another engine says."""
    return (
        "CREATE SCHEMA other; CREATE FUNCTION other.version() RETURNS text LANGUAGE sql AS "
        f"$$ SELECT '{text}'::text $$"
    )


ANNOUNCED = "?options=" + quote("-c search_path=other,pg_catalog,public")

MLFLOW = (
    "CREATE TABLE alembic_version (version_num varchar(32)); "
    "CREATE TABLE registered_models (name varchar(256)); "
    "CREATE TABLE model_versions (name varchar(256), version integer)"
)

NEWER = (
    f"CREATE TABLE {ALEMBIC_VERSION_TABLE} (version_num varchar(32)); "
    f"INSERT INTO {ALEMBIC_VERSION_TABLE} VALUES ('9999')"
)

OLDER_OF_ANOTHER_ROLE = (
    f"CREATE TABLE {ALEMBIC_VERSION_TABLE} (version_num varchar(32)); "
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO public; GRANT ALL ON SCHEMA public TO public"
)

REFUSED = {
    "another engine": Refused(
        announcing("CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27)"),
        UnsupportedBackendError,
        r"'CockroachDB CCL v23\.1\.11 .*needs PostgreSQL 10 or newer",
        ANNOUNCED,
    ),
    "an old engine of the same kind": Refused(
        announcing("PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC, Redshift 1.0.12103"),
        UnsupportedBackendError,
        r"'PostgreSQL 8\.0\.2 on .*needs PostgreSQL 10 or newer",
        ANNOUNCED,
    ),
    "tables of MLflow": Refused(MLFLOW, BackendError, "not a registry's"),
    "a newer release": Refused(NEWER, SchemaOutOfDateError, "newer release"),
    "a schema that does not exist": Refused(
        "",
        NotPermittedError,
        "can use no schema of the database: its search_path is 'nowhere'",
        "?options=" + quote("-c search_path=nowhere"),
    ),
    "a schema that the role may not use": Refused(
        "REVOKE ALL ON SCHEMA public FROM public",
        NotPermittedError,
        "'registry_without_rights' can use no schema of the database.*USAGE",
        as_role(),
    ),
    "a schema in which the role may not create": Refused(
        "REVOKE CREATE ON SCHEMA public FROM public",
        NotPermittedError,
        "GRANT CREATE ON SCHEMA public TO registry_without_rights",
        as_role(),
        only_changes=True,
    ),
    "tables of another role": Refused(
        OLDER_OF_ANOTHER_ROLE,
        NotPermittedError,
        "belong to another role",
        as_role(),
        only_changes=True,
    ),
}


@pytest.fixture
def without_rights(postgres_server: Postgres) -> None:
    """A role that stays: another process may be using it."""
    with (
        psycopg.connect(postgres_server.url(), autocommit=True) as admin,
        contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation),
    ):
        admin.execute("CREATE ROLE registry_without_rights")


@pytest.mark.usefixtures("without_rights")
@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("action", [open_store, upgrade, current])
def test_a_database_is_refused_before_anything_is_changed(
    empty_postgres_url: str, action: Callable[[str], object], case: Refused
) -> None:
    """By opening, by upgrading and by asking for its revision; the message says what is wrong."""
    if case.only_changes and action is current:
        pytest.skip("nothing is changed by it")
    if case.setup:
        with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
            connection.execute(case.setup)
    before = catalog(empty_postgres_url)
    if case.error is SchemaOutOfDateError and action is current:
        assert action(empty_postgres_url) == "9999"
    else:
        with pytest.raises(case.error, match=case.says):
            action(empty_postgres_url + case.parameters)
    assert catalog(empty_postgres_url) == before


@pytest.mark.parametrize("action", [open_store, upgrade, current])
def test_a_database_in_another_encoding_is_refused_before_anything_is_changed(
    postgres_server: Postgres, action: Callable[[str], object]
) -> None:
    """The server would refuse names and tags later, one by one."""
    create = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    with fresh_database(postgres_server, create) as url:
        with pytest.raises(UnsupportedBackendError, match=r"encoded in LATIN1.* needs UTF8"):
            action(url)
        assert catalog(url) == []


@pytest.mark.parametrize(
    "announced",
    [
        "PostgreSQL 18.6 on x86_64-pc-linux-gnu, compiled by gcc",
        "PostgreSQL 15.8 (Debian 15.8-0+deb12u1) on x86_64-pc-linux-gnu",
        "PostgreSQL 19beta1 on aarch64-unknown-linux-gnu",
        "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu",
    ],
)
def test_what_calls_itself_postgresql_is_taken_at_its_word(
    empty_postgres_url: str, announced
) -> None:
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(announcing(announced))
    open_store(empty_postgres_url + ANNOUNCED).close()


@pytest.mark.parametrize("action", [open_store, upgrade, current])
@pytest.mark.parametrize(
    ("setup", "error", "says"),
    [
        (MLFLOW, BackendError, "not a registry's"),
        ("PRAGMA encoding = 'UTF-16'; CREATE TABLE t (c)", UnsupportedBackendError, "UTF-16le"),
    ],
    ids=["tables of MLflow", "another encoding"],
)
def test_a_sqlite_file_is_refused_as_it_is(tmp_path: Path, action, setup, error, says) -> None:
    """Not a byte of it changes, and nothing appears beside it."""
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(setup)
    before = path.read_bytes()
    with pytest.raises(error, match=says):
        action(f"sqlite:///{path}")
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["theirs.db"]


def test_opening_asks_what_the_engine_is_once_and_not_on_every_connection(
    empty_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections are made all the time; what they lead to stays the same."""
    open_store(empty_postgres_url).close()
    asked: list[str] = []
    run = PostgresqlConnection.run

    def counted(connection, statement, values):
        asked.append(statement.text)
        return run(connection, statement, values)

    monkeypatch.setattr(PostgresqlConnection, "run", counted)
    store = open_store(empty_postgres_url)
    opening = asked.count("SELECT version()")
    asked.clear()
    race(*[store.ping] * 8)
    store.close()
    assert opening == 1
    assert set(asked) == {store._sql.ping.text}


JSONB = """
CREATE SCHEMA jsonb_only;
CREATE FUNCTION jsonb_only.json_build_array(VARIADIC "any") RETURNS jsonb
    AS 'jsonb_build_array' LANGUAGE internal;
CREATE AGGREGATE jsonb_only.json_agg(anyelement)
    (sfunc = jsonb_agg_transfn, stype = internal, finalfunc = jsonb_agg_finalfn);
CREATE AGGREGATE jsonb_only.json_object_agg("any", "any")
    (sfunc = jsonb_object_agg_transfn, stype = internal, finalfunc = jsonb_object_agg_finalfn);
"""


def test_an_engine_whose_json_is_jsonb_works(empty_postgres_url: str) -> None:
    """It comes under another type, with the keys in another order."""
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute(JSONB)
    options = quote("-c search_path=jsonb_only,pg_catalog,public")
    tags = {"zz": "1", "a": 'with "quotes"', "ccc": "é"}
    with contextlib.closing(open_store(f"{empty_postgres_url}?options={options}")) as store:
        store.create_registered_model(NewRegisteredModel(name="m", tags=tags))
        store.create_model_version(NewModelVersion(name="m", source="s", tags=tags))
        store.set_registered_model_alias("m", "champion", version=1)
        model = store.get_registered_model("m")
        version = store.get_model_version_by_alias("m", "champion")
        (kind,) = store._database.read(
            Statement("SELECT pg_typeof(json_build_array(1))::text", ()), {}
        )
    assert kind == ("jsonb",)
    assert list(model.tags.items()) == list(version.tags.items()) == sorted(tags.items())
    assert model.aliases == {"champion": 1}
    assert attrs.evolve(model.latest_versions[0]) == version
