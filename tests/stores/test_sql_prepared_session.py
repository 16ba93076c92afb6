"""What is asked and answered on a connection to a real PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.pq import ExecStatus
from psycopg.waiting import Ready, Wait

from registry_core.errors import RegistryError
from registry_core.stores.sql import plain_session, prepared_session
from registry_core.stores.sql.compiling import Statement
from registry_core.stores.sql.errors import ConnectionLostError, DuplicateError, LostRaceError
from registry_core.stores.sql.postgresql import PostgresqlConnection, PostgresqlDriver


@pytest.fixture(params=["prepared", "plain"])
def either(request, monkeypatch) -> None:
    """Each way to talk to a server, of which the environment chooses one."""
    monkeypatch.setenv(plain_session.SESSION_VARIABLE, request.param)


@pytest.fixture
def connection(postgres_url: str) -> Iterator[PostgresqlConnection]:
    opened = PostgresqlDriver.from_url(postgres_url).connect()
    yield opened
    opened.close()


def ask(text: str, *parameters: str, prepare: bool = True) -> Statement:
    return Statement(text, parameters, prepare)


ECHO = ask("SELECT $1::text, $2::bigint", "text", "number")
PREPARED = ask("SELECT statement FROM pg_prepared_statements ORDER BY name", prepare=False)


def prepared(connection: PostgresqlConnection) -> list[str]:
    return [text for (text,) in connection.run(PREPARED, {})]


@pytest.mark.parametrize(
    "values",
    [
        {"text": "é'\\", "number": 2**62},
        {"text": None, "number": 1},
        {"text": "", "number": None},
        {"text": None, "number": None},
    ],
)
@pytest.mark.usefixtures("either")
def test_values_come_back_as_they_were_given(connection, values) -> None:
    """The first time, when the statement is prepared, and afterwards."""
    for _ in range(4):
        assert connection.run(ECHO, values) == [(values["text"], values["number"])]


def test_statement_is_prepared_when_it_runs_for_the_second_time(connection) -> None:
    """Once for the types of its values, whatever these are."""
    connection.run(ECHO, {"text": "a", "number": 1})
    assert prepared(connection) == []
    for number in (2, 2**40, -(2**62)):
        connection.run(ECHO, {"text": "b", "number": number})
        assert prepared(connection) == [ECHO.text]
    # Without a type NULL is another statement.
    for _ in range(2):
        connection.run(ECHO, {"text": "b", "number": None})
    assert prepared(connection) == [ECHO.text] * 2


@pytest.mark.parametrize("can_close", [True, False])
def test_prepared_statements_have_a_bound(connection, monkeypatch, can_close) -> None:
    """Beyond it the oldest goes; where libpq cannot close one, those that there are stay."""
    monkeypatch.setattr(prepared_session, "PREPARED_MAX", 3)
    monkeypatch.setattr(prepared_session.capabilities, "has_send_close_prepared", lambda: can_close)
    statements = [ask(f"SELECT $1::text || '{number}'", "text") for number in range(10)]
    for _ in range(3):
        for number, statement in enumerate(statements):
            for _ in range(3):
                assert connection.run(statement, {"text": "n"}) == [(f"n{number}",)]
            assert 1 <= len(prepared(connection)) <= 3
    kept = statements[-3:] if can_close else statements[:3]
    assert set(prepared(connection)) == {statement.text for statement in kept}


NAMES = ask("SELECT name FROM pg_prepared_statements ORDER BY name", prepare=False)


def test_name_of_a_prepared_statement_says_which_one_it_is(postgres_url: str) -> None:
    """The same in every process; another one for another text, or for other types."""
    found = []
    for values in ({"text": "a", "number": 1}, {"text": "a", "number": None}):
        for statement in (ECHO, ask(f"{ECHO.text} -- too", "text", "number")):
            connections = [PostgresqlDriver.from_url(postgres_url).connect() for _ in range(2)]
            for opened in connections:
                for _ in range(2):
                    opened.run(statement, values)
            one, other = (opened.run(NAMES, {}) for opened in connections)
            assert one == other
            found += one
            for opened in connections:
                opened.close()
    assert len(set(found)) == len(found) == 4


def forget_at_server(connection: PostgresqlConnection) -> None:
    """As when a pooler lends another connection, on which nothing has been prepared."""
    connection.raw.execute("DEALLOCATE ALL")


def prepare_at_server(connection: PostgresqlConnection) -> None:
    """As when a pooler lends another connection, on which another client has prepared it."""
    (key,) = connection._session._seen
    name = prepared_session._name(key).decode()
    connection.raw.execute(f"PREPARE {name} (text, bigint) AS {ECHO.text}")


@pytest.fixture(params=[(2, forget_at_server), (1, prepare_at_server)])
def lent(request, connection) -> PostgresqlConnection:
    """A connection whose server does not hold what it believes."""
    times, at_server = request.param
    for _ in range(times):
        connection.run(ECHO, {"text": "a", "number": 1})
    at_server(connection)
    return connection


def test_statement_that_is_prepared_elsewhere_runs_unprepared(lent, caplog) -> None:
    """Nothing is prepared any more, whatever is asked, and the log says so."""
    caplog.set_level(logging.INFO)
    assert lent.run(ECHO, {"text": "a", "number": 2}) == [("a", 2)]
    assert [record.message.partition(":")[2] for record in caplog.records] == [
        " this process prepares none any more"
    ]
    before = prepared(lent)
    for number in range(3):
        assert lent.run(ask("SELECT 1 + $1::bigint", "number"), {"number": number}) == [
            (1 + number,)
        ]
    assert prepared(lent) == before


def test_statement_that_is_prepared_elsewhere_undoes_its_transaction(lent) -> None:
    """The server has ended it, so all of it has to be repeated: as after a lost race."""
    lent.begin()
    with pytest.raises(LostRaceError):
        lent.run(ECHO, {"text": "a", "number": 2})
    assert not lent.in_transaction()
    lent.rollback()
    lent.begin()
    assert lent.run(ECHO, {"text": "a", "number": 2}) == [("a", 2)]
    lent.commit()


def test_connections_of_a_process_learn_of_a_pooler_from_each_other(postgres_url: str) -> None:
    """What one has found out holds for those that are open and those that will be."""
    driver = PostgresqlDriver.from_url(postgres_url)
    one, other = driver.connect(), driver.connect()
    for _ in range(2):
        one.run(ECHO, {"text": "a", "number": 1})
    forget_at_server(one)
    one.run(ECHO, {"text": "a", "number": 1})
    for connection in (other, driver.connect()):
        for _ in range(3):
            connection.run(ECHO, {"text": "a", "number": 1})
        assert prepared(connection) == []
        connection.close()
    one.close()


def test_statements_that_run_once_are_not_remembered_for_ever(connection, monkeypatch) -> None:
    """Nor kept by the server: a client may send any number of shapes of searches."""
    monkeypatch.setattr(prepared_session, "PREPARED_MAX", 3)
    for number in range(20):
        connection.run(ask(f"SELECT $1::text || '{number}'", "text"), {"text": "n"})
    assert len(connection._session._seen) <= 3
    assert prepared(connection) == []


@pytest.mark.usefixtures("either")
def test_several_statements_are_one_text(connection) -> None:
    """The last one's rows are those of all."""
    assert connection.run(ask("BEGIN; SELECT 1; SELECT 2", prepare=False), {}) == [(2,)]
    assert connection.in_transaction()
    assert connection.run(ask("COMMIT", prepare=False), {}) == []
    assert connection.is_usable()


@pytest.mark.parametrize("size", [0, 100, 10_000_000])
@pytest.mark.usefixtures("either")
def test_texts_of_any_size_pass(connection, size) -> None:
    """Far more than what the sockets hold, both ways."""
    text = "é" * size
    for _ in range(3):
        assert connection.run(ECHO, {"text": text, "number": size}) == [(text, size)]


@pytest.mark.usefixtures("either")
def test_many_rows_arrive(connection) -> None:
    """All of them, in order."""
    many = ask("SELECT generate_series(1, $1::bigint)", "number")
    for _ in range(3):
        assert connection.run(many, {"number": 50_000}) == [(n + 1,) for n in range(50_000)]


@pytest.mark.usefixtures("either")
def test_failed_statement_leaves_the_connection_usable(connection) -> None:
    """Also when it could not even be prepared; what it meant is told apart."""
    connection.run(ask("CREATE TEMP TABLE t (k text PRIMARY KEY)", prepare=False), {})
    insert = ask("INSERT INTO t VALUES ($1)", "key")
    wrong = ask("SELECT absent FROM t WHERE k = $1", "key")
    assert connection.run(insert, {"key": "a"}) == []
    for _ in range(3):
        with pytest.raises(DuplicateError, match="t_pkey"):
            connection.run(insert, {"key": "a"})
        with pytest.raises(RegistryError, match="absent"):
            connection.run(wrong, {"key": "a"})
        assert connection.is_usable()
    assert connection.run(insert, {"key": "b"}) == []


def test_kept_statement_whose_table_has_changed_asks_for_a_new_connection(connection) -> None:
    """The server refuses the plan; nothing has been done."""
    connection.run(ask("CREATE TEMP TABLE t AS SELECT 1 AS a", prepare=False), {})
    everything = ask("SELECT * FROM t")
    for _ in range(2):
        assert connection.run(everything, {}) == [(1,)]
    connection.run(ask("ALTER TABLE t ADD COLUMN b text", prepare=False), {})
    with pytest.raises(ConnectionLostError) as failure:
        connection.run(everything, {})
    assert not failure.value.in_doubt


@pytest.mark.usefixtures("either")
def test_server_that_hangs_up_has_its_reason_told(connection) -> None:
    """And the connection is no longer of use, which later calls say as well."""
    suicide = ask("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(ConnectionLostError, match="administrator command"):
        connection.run(suicide, {})
    assert not connection.is_usable()
    with pytest.raises(ConnectionLostError):
        connection.run(ECHO, {"text": "a", "number": 1})


class FakeConnection:
    """Stands for libpq where no server can be made to do the same: a script of its answers."""

    def __init__(self, *, unsent: int = 0, results: tuple[object, ...] = ()) -> None:
        self.unsent = unsent
        self.results = list(results)
        self.consumed = 0

    def flush(self) -> int:
        self.unsent -= 1
        return int(self.unsent >= 0)

    def is_busy(self) -> bool:
        return not self.results

    def consume_input(self) -> None:
        self.consumed += 1
        if self.unsent <= 0:
            raise psycopg.OperationalError("hung up")

    def get_result(self) -> object:
        return self.results.pop(0)


def test_server_that_fails_and_hangs_up_at_once_has_failed() -> None:
    """What it said beforehand counts; when it said nothing of a failure, the connection is lost."""
    failed = SimpleNamespace(status=ExecStatus.FATAL_ERROR)
    fine = SimpleNamespace(status=ExecStatus.COMMAND_OK)
    for said, is_held in (([failed], True), ([fine, failed], True), ([fine], False), ([], False)):
        receiving = prepared_session._received(FakeConnection(results=tuple(said)))
        assert next(receiving) == Wait.R
        with pytest.raises(StopIteration if is_held else psycopg.OperationalError) as end:
            receiving.send(Ready.R)
        if is_held:
            assert end.value.value == said


def test_what_arrives_while_sending_is_read() -> None:
    """Else both sides could wait for each other to read."""
    fake = FakeConnection(unsent=3)
    sending = prepared_session._received(fake)
    assert next(sending) == Wait.RW
    assert sending.send(Ready.W) == Wait.RW
    assert fake.consumed == 0
    assert sending.send(Ready.R) == Wait.RW
    assert fake.consumed == 1


@pytest.mark.usefixtures("either")
def test_value_that_the_database_cannot_hold_is_refused(connection) -> None:
    """Before anything is sent."""
    with pytest.raises(RegistryError, match="NUL"):
        connection.run(ECHO, {"text": "a\0b", "number": 1})
    assert connection.is_usable()


NAMED = ask("SHOW application_name", prepare=False)


def test_a_connection_that_stays_has_the_server_keep_its_memory(connection, monkeypatch) -> None:
    """Once, before it prepares its first statement; never in the middle of a transaction."""
    monkeypatch.setattr(prepared_session, "_LARGE_PIECE", b"SET application_name = 'kept'")
    before = connection.run(NAMED, {})
    connection.run(ECHO, {"text": "a", "number": 1})
    connection.begin()
    connection.run(ECHO, {"text": "a", "number": 1})
    connection.commit()
    assert (prepared(connection), connection.run(NAMED, {})) == ([ECHO.text], before)
    for number in range(2):
        for _ in range(2):
            connection.run(ask(f"SELECT {number}"), {})
        assert connection.run(NAMED, {}) == ([("kept",)] if number == 0 else before)
        connection.raw.execute(f"SET application_name = '{before[0][0]}'")


def test_a_server_that_cannot_be_made_to_keep_its_memory_does_without(
    connection, monkeypatch
) -> None:
    """What has no such function answers all the same."""
    monkeypatch.setattr(prepared_session, "_LARGE_PIECE", b"SELECT no_such_function()")
    for _ in range(3):
        assert connection.run(ECHO, {"text": "a", "number": 1}) == [("a", 1)]
    assert prepared(connection) == [ECHO.text]
