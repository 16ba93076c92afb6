"""In which order the servers that a URL names are tried."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from registry_core.stores.sql import hosts as hosts_module
from registry_core.stores.sql.hosts import Hosts


class Reached:
    """A connection, as far as one can see where it leads."""

    def __init__(self, host: str, port: str) -> None:
        self.host, self.port = host.encode(), port.encode()


@pytest.mark.parametrize(
    ("given", "avoided", "expected"),
    [
        ({"host": "a"}, ("a", "5432"), {"host": "a"}),
        ({"host": "a,b"}, ("a", "5432"), {"host": "b,a"}),
        ({"host": "a,b,c"}, ("b", "5432"), {"host": "a,c,b"}),
        ({"host": "a,b", "port": "1"}, ("a", "1"), {"host": "b,a", "port": "1,1"}),
        ({"host": "h,h", "port": "1,2"}, ("h", "1"), {"host": "h,h", "port": "2,1"}),
        ({"hostaddr": "1.1.1.1,2.2.2.2"}, ("1.1.1.1", "5432"), {"hostaddr": "2.2.2.2,1.1.1.1"}),
        (
            {"host": "a,b", "hostaddr": "1.1.1.1,2.2.2.2", "port": ",6"},
            ("a", "5432"),
            {"host": "b,a", "hostaddr": "2.2.2.2,1.1.1.1", "port": "6,"},
        ),
        # Libpq says what is wrong with these.
        ({"host": "a,b", "port": "1,2,3"}, ("a", "1"), {"host": "a,b", "port": "1,2,3"}),
        ({}, ("a", "1"), {}),
    ],
)
def test_hosts_keep_their_order_but_for_those_avoided(given, avoided, expected) -> None:
    hosts = Hosts({"dbname": "d"} | given)
    assert hosts.parameters() == {"dbname": "d"} | given
    hosts.avoid(Reached(*avoided))
    assert hosts.parameters() == {"dbname": "d"} | expected


def test_hosts_tried_before_the_one_that_answered_are_avoided_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(hosts_module, "time", SimpleNamespace(monotonic=lambda: now))
    hosts = Hosts({"host": "a,b,c"})
    hosts.avoid_before(Reached("b", "5432"))
    assert hosts.parameters()["host"] == "b,c"
    hosts.avoid_before(Reached("c", "5432"))
    assert hosts.parameters()["host"] == "c"
    now += hosts_module.HUNG_SECONDS
    assert hosts.parameters()["host"] == "c,a,b"
    now += hosts_module.AVOID_SECONDS
    assert hosts.parameters()["host"] == "a,b,c"


def test_a_host_that_hung_is_not_tried_for_a_moment() -> None:
    """Also if the others have refused since: one of them may be ready before it is."""
    hosts = Hosts({"host": "a,b"})
    hosts.avoid_hung(Reached("a", "5432"))
    hosts.avoid(Reached("b", "5432"))
    assert hosts.parameters()["host"] == "b"


def test_of_several_that_hung_the_last_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others may be back, as standbys of it that have taken over."""
    now = time.monotonic()
    monkeypatch.setattr(hosts_module, "time", SimpleNamespace(monotonic=lambda: now))
    hosts = Hosts({"host": "a,b,c"})
    for host in ("c", "b", "a"):
        hosts.avoid_hung(Reached(host, "5432"))
        now += 1
    assert hosts.parameters()["host"] == "c,b"
    now += hosts_module.HUNG_SECONDS
    assert hosts.parameters()["host"] == "c,b,a"


def test_the_only_host_is_tried() -> None:
    """Also if it hung."""
    hosts = Hosts({"host": "a"})
    hosts.avoid_hung(Reached("a", "5432"))
    assert hosts.parameters()["host"] == "a"


def test_hosts_that_were_of_no_use_are_tried_in_the_order_in_which_they_were_so() -> None:
    """The first of them may have been mended since."""
    hosts = Hosts({"host": "a,b,c"})
    for host in ("b", "a"):
        hosts.avoid(Reached(host, "5432"))
    assert hosts.parameters()["host"] == "c,b,a"
