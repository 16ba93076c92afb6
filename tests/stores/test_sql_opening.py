"""How a database is opened: by which URL, and which databases are refused before anything changes."""

from __future__ import annotations

import logging

import pytest

from registry_core import open_registry
from registry_core.backends import artifacts_url
from registry_core.stores import sql
from registry_core.stores.sql import open_store


@pytest.fixture
def nothing_said_yet() -> None:
    """Other tests may have named the same driver."""
    sql._say_that_it_is_not_used.cache_clear()


@pytest.mark.usefixtures("nothing_said_yet")
@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg", "pg8000", "psycopg2cffi"])
@pytest.mark.parametrize("dialect", ["postgresql", "postgres"])
def test_a_url_may_name_any_driver(postgres_url: str, caplog, dialect: str, driver: str) -> None:
    """As the configurations of MLflow's users do. That it is not used is said once."""
    url = postgres_url.replace("postgresql:", f"{dialect}+{driver}:")
    for _ in range(3):
        with open_registry(url, artifacts="none") as registry:
            registry.ping()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [driver in text for text in said] == [True]


@pytest.mark.usefixtures("nothing_said_yet")
@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres", "PostgreSQL"])
def test_nothing_is_said_of_the_driver_that_is_used(postgres_url: str, caplog, scheme) -> None:
    open_store(postgres_url.replace("postgresql:", f"{scheme}:")).close()
    assert not caplog.records


def test_a_sqlite_url_may_name_its_driver(tmp_path) -> None:
    url = f"sqlite+pysqlite:///{tmp_path}/registry.db"
    with open_registry(url) as registry:
        registry.create_registered_model("m")
    assert artifacts_url(url) == f"{tmp_path}/registry-artifacts"
    with open_registry(f"sqlite:///{tmp_path}/registry.db") as registry:
        assert registry.get_registered_model("m").name == "m"
