"""The SQL of `docs/reference/sql-store.md` gives a server all that it needs."""

import re
from pathlib import Path

import psycopg

from registry_core import open_registry
from services.postgres import USER, PostgresServer

PAGE = (Path(__file__).parents[2] / "docs/reference/sql-store.md").read_text()
_SQL = re.compile(r"^```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_role_of_the_page_keeps_a_registry_in_the_database_of_the_page():
    """Also on a first use, when the tables are made."""
    (block,) = _SQL.findall(PAGE)
    with PostgresServer() as server:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            for statement in filter(str.strip, block.split(";")):
                admin.execute(statement)
        url = server.url("registry").replace(f"{USER}@", "registry@")
        with open_registry(url) as registry:
            registry.create_registered_model("churn")
            assert registry.get_registered_model("churn").name == "churn"
