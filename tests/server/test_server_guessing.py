"""How often secrets may be guessed, and what guesses cost everybody else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import socket
import threading

import pytest

from registry_server import Settings
from registry_server.access.callers import Caller
from registry_server.access.guessing import (
    BUCKETS_MOST,
    OF_ADDRESS,
    OF_NAME,
    OF_NAME_AT_ADDRESS,
    Buckets,
    Guesses,
    Limit,
    TooManyGuessesError,
)
from registry_server.access.passwords import WAITING_MOST, Scrypt, scrypted
from registry_server.access.users import Users
from registry_server.http.responses import RequestRefusedError
from registry_server.process.arguments import from_arguments
from services.in_process import InProcessServer
from services.registry_server import RegistryServer
from services.wire_client import WireClient

CHEAP = {"n": 2**4}
SEARCH = b"/api/2.0/mlflow/registered-models/search"


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self):
        self.now = 1_000.0

    def __call__(self):
        return self.now


class Client(Caller):
    """A client at some address, which may hang up."""

    def __init__(self, address="10.0.0.1"):
        super().__init__({"client": (address, 1), "headers": []}, None)
        self.is_gone = False

    def has_hung_up(self):
        return self.is_gone


class Computed:
    """The scrypt computations that were made, in their order; held up for as long as `held` is."""

    def __init__(self, monkeypatch):
        self.secrets = []
        self.go = threading.Event()
        self.go.set()
        real = Scrypt.matches

        def matches(key, secret):
            assert self.go.wait(60)
            self.secrets.append(secret)
            return real(key, secret)

        monkeypatch.setattr(Scrypt, "matches", matches)


@pytest.fixture
def computed(monkeypatch):
    return Computed(monkeypatch)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def users(clock):
    """Three people, of whom two have passwords."""
    digest = hashlib.sha256(b"token of bob").hexdigest()
    lines = [f"bob:sha256:{digest}"]
    lines += [f"{name}:{scrypted(f'password of {name}', **CHEAP)}" for name in ("carol", "dave")]
    return Users(lines, clock=clock)


def basic(name, secret):
    return b"Basic " + base64.b64encode(f"{name}:{secret}".encode())


async def tried(users, header, caller=None):
    """The name that a header proves, or the status of the refusal."""
    try:
        return await users.authenticate(header, caller or Client())
    except RequestRefusedError as error:
        return error.status


def answers(users, *attempts):
    """What each of some attempts comes to, one after the other."""

    async def run():
        return [await tried(users, *attempt) for attempt in attempts]

    return asyncio.run(run())


def guesses(count, name="carol", caller=None, start=0):
    return [(basic(name, f"guess {start + n}"), caller) for n in range(count)]


# Buckets


def test_a_bucket_gives_its_tokens_and_then_one_at_a_time(clock):
    """What is not taken adds up to the burst, and no further."""
    buckets = Buckets(Limit(3, 0.5), clock)
    for _ in range(3):
        assert buckets.wait(b"a") == 0
        buckets.take(b"a")
    assert buckets.wait(b"a") == pytest.approx(2)
    assert buckets.wait(b"b") == 0
    clock.now += 2
    assert buckets.wait(b"a") == 0
    buckets.take(b"a")
    assert buckets.wait(b"a") == pytest.approx(2)
    buckets.give_back(b"a")
    assert buckets.wait(b"a") == 0
    clock.now += 1_000
    for _ in range(3):
        assert buckets.wait(b"a") == 0
        buckets.take(b"a")
    assert buckets.wait(b"a") > 0


def test_only_buckets_that_are_not_full_are_kept(clock):
    """And so many at most."""
    buckets = Buckets(Limit(2, 1.0), clock)
    for number in range(10):
        buckets.take(b"%d" % number)
    clock.now += 5
    buckets.take(b"x")
    assert list(buckets._full_at) == [b"x"]
    for number in range(BUCKETS_MOST + 10):
        buckets.take(b"%d" % number)
    assert len(buckets._full_at) == BUCKETS_MOST


def test_one_address_cannot_use_up_the_guesses_at_a_name(clock):
    """Its own guesses at the name are fewer, and come back more slowly."""
    assert OF_NAME.burst > OF_NAME_AT_ADDRESS.burst
    assert OF_NAME.per_second > OF_NAME_AT_ADDRESS.per_second
    found = Guesses(clock)
    for second in range(600):
        clock.now += 1
        try:
            found.take("carol", "10.0.0.1")
        except TooManyGuessesError:
            assert second >= OF_NAME_AT_ADDRESS.burst
        found.take("carol", "10.0.0.2")
        found.give_back("carol", "10.0.0.2")


def test_what_is_refused_counts_nowhere(clock):
    """So that whoever waits gets in, however often others try."""
    found = Guesses(clock)
    for _ in range(OF_NAME_AT_ADDRESS.burst):
        found.take("carol", "10.0.0.1")
    for _ in range(1_000):
        with pytest.raises(TooManyGuessesError):
            found.take("carol", "10.0.0.1")
    for number in range(OF_ADDRESS.burst - OF_NAME_AT_ADDRESS.burst):
        found.take(f"other {number}", "10.0.0.1")
    with pytest.raises(TooManyGuessesError):
        found.take("yet another", "10.0.0.1")
    clock.now += 1 / OF_NAME_AT_ADDRESS.per_second
    found.take("carol", "10.0.0.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "not an address", True),
    ],
)
def test_addresses_count_as_subscribers_have_them(clock, one, other, same):
    """Who has one address of IPv6 has a network of them."""
    found = Guesses(clock)
    for _ in range(OF_NAME_AT_ADDRESS.burst):
        found.take("carol", one)
    if same:
        with pytest.raises(TooManyGuessesError):
            found.take("carol", other)
    else:
        found.take("carol", other)


# Users


def test_guesses_at_a_name_are_bounded(users, clock):
    """With the time after which to come back; and then the right secret is right."""
    burst = OF_NAME_AT_ADDRESS.burst
    assert answers(users, *guesses(burst)) == [401] * burst
    with pytest.raises(TooManyGuessesError) as refused:
        asyncio.run(users.authenticate(basic("carol", "password of carol"), Client()))
    assert refused.value.status == 429
    assert refused.value.code == "RESOURCE_EXHAUSTED"
    ((name, seconds),) = refused.value.headers
    assert name == b"retry-after"
    clock.now += int(seconds)
    assert answers(users, (basic("carol", "password of carol"),)) == ["carol"]


def test_names_that_are_guessed_at_keep_nobody_else_out(users):
    """Behind the same proxy, so from the same address."""
    assert answers(users, *guesses(500))[-1] == 429
    assert answers(users, (basic("dave", "password of dave"),)) == ["dave"]
    assert answers(users, (b"Bearer token of bob",)) == ["bob"]


def test_credentials_that_were_right_are_not_guesses(users):
    """However much is guessed at that name, from that address and others."""
    right = [(basic("carol", "password of carol"),), (b"Bearer token of bob",)]
    assert answers(users, *right) == ["carol", "bob"]
    for number in range(20):
        answers(users, *guesses(20, caller=Client(f"10.0.0.{number}"), start=100 * number))
    assert answers(users, *guesses(1, caller=Client("10.1.0.0"), start=-1)) == [429]
    assert answers(users, *right) == ["carol", "bob"]


@pytest.mark.parametrize(
    "header",
    [basic("carol", "old"), basic("nobody", "x"), basic("bob", "old"), b"Bearer old", b"Basic !"],
)
def test_a_client_with_old_credentials_makes_one_guess(users, computed, header):
    """It would else keep out everybody who shares its address, and the core busy."""
    assert set(answers(users, *[(header,)] * 500)) == {401}
    assert len(computed.secrets) <= 1
    assert answers(users, *guesses(OF_NAME_AT_ADDRESS.burst - 1, "dave")) == [401] * 9
    assert answers(users, (basic("dave", "password of dave"),)) == ["dave"]


def test_only_so_many_wrong_credentials_are_remembered(users, clock, monkeypatch):
    """The oldest are forgotten, and are guesses again."""
    monkeypatch.setattr("registry_server.access.users.WRONG_MOST", 200)
    for number in range(201):
        clock.now += 10
        answers(users, (b"Bearer %d" % number,))
    assert len(users._wrong._keys) == 200


@pytest.mark.parametrize("header", [b"Bearer x%d", b"Basic !%d"])
def test_guesses_without_a_name_are_bounded_by_address(users, header):
    """A bearer token is a guess at everybody's."""
    many = [(header % number,) for number in range(OF_ADDRESS.burst + 1)]
    assert answers(users, *many) == [401] * OF_ADDRESS.burst + [429]
    assert answers(users, (header % 1_000, Client("10.0.0.2"))) == [401]


def test_whoever_presents_nothing_guesses_nothing(users):
    """Browsers begin so."""
    assert set(answers(users, *[(None,)] * 500)) == {401}
    assert answers(users, (basic("dave", "password of dave"),)) == ["dave"]


# What guesses cost


@pytest.mark.parametrize("name", ["carol", "bob", "nobody", ""])
def test_a_wrong_secret_costs_the_same_for_every_name(users, computed, name):
    """Whether the name is in the file, and how its secret is kept: the time would tell."""
    assert answers(users, (basic(name, "x"),)) == [401]
    assert computed.secrets == ["x"]


def test_names_that_are_not_known_cost_what_some_name_costs():
    """Where names differ, too: the same name always the same, and all of them occur."""
    lines = [f"carol:{scrypted('x', n=2**4)}", f"dave:{scrypted('x', n=2**5)}"]
    first, second = (Users(lines)._passwords._decoy for _ in range(2))
    costs = [first(f"name {number}")[0].n for number in range(100)]
    assert costs == [second(f"name {number}")[0].n for number in range(100)]
    assert set(costs) == {2**4, 2**5}
    assert not first("x")[0].matches("x")


def test_a_file_without_passwords_computes_none(computed):
    """All of its secrets are compared in microseconds, and so is an unknown name's."""
    assert answers(Users(["alice:secret"]), (basic("nobody", "x"),)) == [401]
    assert computed.secrets == []


def test_credentials_of_many_clients_are_compared_once(users, computed):
    """As when a server starts again, and a hundred clients of one user come back."""

    async def run():
        return await asyncio.gather(
            *(tried(users, basic("carol", "password of carol")) for _ in range(100))
        )

    assert asyncio.run(run()) == ["carol"] * 100
    assert len(computed.secrets) == 1


def test_guesses_of_clients_that_have_hung_up_are_not_computed(users, computed):
    """Only of all of those that present the same."""

    async def run():
        computed.go.clear()
        callers = [Client() for _ in range(6)]
        headers = [basic("carol", f"guess {number}") for number in (0, 1, 2, 3, 4, 4)]
        tasks = [
            asyncio.create_task(tried(users, *each)) for each in zip(headers, callers, strict=True)
        ]
        await asyncio.sleep(0)  # so that each is on its way
        for caller in callers[1:5]:
            caller.is_gone = True
        computed.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [401, 400, 400, 400, 401, 401]
    assert computed.secrets == ["guess 0", "guess 4"]


def test_names_take_turns(users, computed):
    """Whoever logs in waits for one guess at another's name, and not for all of them."""

    async def run():
        computed.go.clear()
        tasks = [asyncio.create_task(tried(users, *each)) for each in guesses(9)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(tried(users, basic("dave", "password of dave"))))
        await asyncio.sleep(0)
        computed.go.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [401] * 9 + ["dave"]
    assert "password of dave" in computed.secrets[:3]
    assert not users._passwords._turns
    assert not users._passwords._under_way


def test_only_so_many_comparisons_wait(users, computed):
    """Further ones are told to come back, and have not guessed."""

    async def run():
        computed.go.clear()
        tasks = [
            asyncio.create_task(tried(users, basic(f"name {n}", "x"), Client(f"10.0.0.{n}")))
            for n in range(WAITING_MOST)
        ]
        await asyncio.sleep(0)
        late = [await tried(users, basic("dave", "password of dave")) for _ in range(50)]
        computed.go.set()
        await asyncio.gather(*tasks)
        return late, await tried(users, basic("dave", "password of dave"))

    late, then = asyncio.run(run())
    assert set(late) == {429}
    assert then == "dave"


def test_a_client_that_is_cancelled_takes_nobody_with_it(users, computed):
    """Others with the same credentials get their answer."""

    async def run():
        computed.go.clear()
        header = basic("carol", "password of carol")
        tasks = [asyncio.create_task(tried(users, header)) for _ in range(2)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        computed.go.set()
        return await tasks[1]

    assert asyncio.run(run()) == "carol"


# The log


def test_failures_are_logged_with_name_and_address(users, caplog):
    """A name that is not known is not written down: it may be a password in the wrong field."""
    answers(users, (basic("carol", "wrong"), Client("10.0.0.9")), (basic("hunter2", "x"),))
    answers(users, (b"Bearer hunter3",), (b"Basic hunter4",))
    assert [record.getMessage() for record in caplog.records] == [
        "wrong credentials for 'carol' from 10.0.0.9",
        "wrong credentials for an unknown name from 10.0.0.1",
        "wrong credentials for no name from 10.0.0.1",
        "wrong credentials for no name from 10.0.0.1",
    ]


def test_what_is_not_looked_at_is_logged_once_in_a_while(users, clock, caplog):
    """Else the log would be what a flood fills."""
    answers(users, *guesses(100))
    answers(users, *[(basic("carol", "guess 0"),)] * 100)
    message = (
        "too many wrong credentials from 10.0.0.1, the last for 'carol': more are not looked at"
    )
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == OF_NAME_AT_ADDRESS.burst + 1
    assert messages[-1] == message
    clock.now += 61
    answers(users, *guesses(100, start=1_000))
    assert [record.getMessage() for record in caplog.records].count(message) == 2


# The file


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize(
    ("mode", "is_fine"),
    [(0o600, True), (0o400, True), (0o640, True), (0o644, False), (0o604, False), (0o602, False)],
)
def test_auth_file_that_others_can_open_is_refused(tmp_path, mode, is_fine):
    """Its secrets are everybody's then. A group may be the server's own."""
    path = tmp_path / "users"
    path.write_text("alice:secret")
    path.chmod(mode)
    if is_fine:
        Users.load(str(path))
        return
    with pytest.raises(
        Exception, match=rf"every user of this machine \(mode {mode:o}\): run `chmod"
    ):
        Users.load(str(path))


# Addresses


def caller(peer, *forwarded, proxies="10.0.0.0/8,::1"):
    settings = from_arguments(["--trusted-proxies", proxies], {})
    headers = [(b"x-forwarded-for", value) for value in forwarded]
    scope = {"client": peer and (peer, 1), "headers": headers}
    return Caller(scope, None, settings.trusted_proxies)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", [b"8.8.8.8"], "8.8.8.8"),
        ("::ffff:10.0.0.1", [b"8.8.8.8"], "8.8.8.8"),
        ("::1", [b"2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [b"1.2.3.4, 8.8.8.8, 10.0.0.2"], "8.8.8.8"),
        ("10.0.0.1", [b"1.2.3.4", b"8.8.8.8,10.0.0.2"], "8.8.8.8"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("9.9.9.9", [b"8.8.8.8"], "9.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b""], "10.0.0.1"),
        ("10.0.0.1", [b"8.8.8.8, unknown"], "10.0.0.1"),
        ("10.0.0.1", [b"\xff"], "10.0.0.1"),
        (None, [b"8.8.8.8"], ""),
    ],
)
def test_the_address_is_what_the_last_proxy_that_is_trusted_saw(peer, forwarded, address):
    """What stands before may be anybody's invention."""
    assert caller(peer, *forwarded).address == address


def test_no_proxy_is_trusted_unless_it_is_named():
    """A client could else choose what it is bounded by."""
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", b"8.8.8.8")]}
    assert Caller(scope, None, Settings().trusted_proxies).address == "10.0.0.1"


# Over HTTP


@pytest.fixture
def auth_file(tmp_path):
    path = tmp_path / "users"
    path.write_text(f"carol:{scrypted('tea', n=2**17)}\nbob:token-of-bob\n")
    path.chmod(0o600)
    return str(path)


def test_too_many_guesses_are_a_429(tmp_path):
    """In the shape of every error, with the header that clients wait by."""
    path = tmp_path / "users"
    path.write_text(f"carol:{scrypted('tea', **CHEAP)}")
    path.chmod(0o600)
    settings = Settings(
        threads=1, auth_file=str(path), trusted_proxies=from_arguments(
            ["--trusted-proxies", "127.0.0.1"], {}
        ).trusted_proxies,
    )  # fmt: skip
    with InProcessServer(settings=settings) as server:

        def ask(secret, address=b"8.8.8.8"):
            headers = [(b"authorization", basic("carol", secret)), (b"x-forwarded-for", address)]
            return server.send("GET", SEARCH, headers=headers)

        for number in range(OF_NAME_AT_ADDRESS.burst):
            assert ask(f"guess {number}").status == 401
        answer = ask("tea")
        assert (answer.status, answer.json["error_code"]) == (429, "RESOURCE_EXHAUSTED")
        assert 1 <= int(answer.headers["retry-after"]) <= 6
        assert ask("tea", b"9.9.9.9").status == 200
        assert ask("tea").status == 200


def test_clients_that_hang_up_cost_nothing(auth_file):
    """A guess takes half a second here, and nobody waits for these."""
    with RegistryServer("memory:", arguments=("--auth-file", auth_file)) as server:
        for number in range(8):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                head = b"GET %s HTTP/1.1\r\nHost: localhost\r\nAuthorization: %s\r\n\r\n"
                connection.sendall(head % (SEARCH, basic("carol", f"guess {number}")))
        with WireClient(server.url) as client:
            headers = {"Authorization": basic("carol", "tea").decode()}
            answer = client.call("GET", "/registered-models/search", headers=headers)
        assert answer.status == 200
        # The first may be under way when its client goes.
        assert server.log.count("wrong credentials") <= 2
