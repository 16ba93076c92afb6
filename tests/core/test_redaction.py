"""No password of a URL is ever shown, wherever in it somebody has put it."""

from __future__ import annotations

import logging
import re
import traceback

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry_core import InvalidUrlError, UnknownBackendError, open_registry
from registry_core.artifacts.backends.fsspec import open_artifact_store
from registry_core.backends import open_artifacts, open_store, store_revision, upgrade_store
from registry_core.redaction import HIDDEN, parameter_name, redacted
from registry_server.process.arguments import from_arguments
from registry_server.process.settings import SettingsError
from services.examples import examples

PIECE = "Zq7x"
"""What every piece of a password in these tests begins with, and nothing else does."""

pieces = st.from_regex(rf"{PIECE}[a-z0-9]{{2,6}}", fullmatch=True)
separators = st.sampled_from(
    [*"@:/?#%&=;,+.~-_[] '\"\\", "%40", "%zz", "\t", "é", "℀", "@@", "://"]
)

passwords = st.lists(st.tuples(pieces, separators), min_size=1, max_size=4).map(
    lambda parts: "".join(piece + separator for piece, separator in parts[:-1]) + parts[-1][0]
)
"""One to four pieces with what people have between them."""

SCHEMES = (
    "postgresql",
    "postgres",
    "postgresql+psycopg2",
    "sqlite",
    "s3",
    "http",
    "https",
    "memory",
    "mysql+pymysql",
    "nothing",
)

SHAPES = (
    "{scheme}://ann:{password}@127.0.0.1:1/db",
    "{scheme}://ann:{password}@127.0.0.1",
    "{scheme}://:{password}@127.0.0.1:1/db",
    "{scheme}:ann:{password}@127.0.0.1/db",
    "{scheme}:/ann:{password}@127.0.0.1/db",
    "{scheme}:///ann:{password}@127.0.0.1/db",
    "{scheme}://127.0.0.1:1/db?password={password}",
    "{scheme}://127.0.0.1:1/db?key={password}",
    "{scheme}://127.0.0.1:1/db?{password}",
    "{scheme}://127.0.0.1:1/db?sslpassword={password}&sslmode=requir",
    "{scheme}://127.0.0.1:1/db;password={password}",
    "{scheme}://127.0.0.1:1/db#{password}",
    "{scheme}://bucket/prefix?endpoint_url=http://ann:{password}@127.0.0.1:1",
    "{scheme}://ann@corp:{password}@127.0.0.1:1/db",
    "ann:{password}@127.0.0.1/db",
    "host=127.0.0.1 password={password}",
)

WITHOUT_HOST = ("{scheme}://ann:{password}", "{scheme}://ann:{password}/db", "ann:{password}")
"""Here what follows an @ is a host, whatever was meant, and so these passwords have none."""

UNKNOWN = ("mysql", "nothing", "ann:", "host=")
"""How URLs begin for which the installed packages are searched, which takes long."""


def filled(shape: str, scheme: str, password: str) -> str:
    return shape.format(scheme=scheme, password=password)


urls = st.builds(filled, st.sampled_from(SHAPES), st.sampled_from(SCHEMES), passwords) | st.builds(
    filled,
    st.sampled_from(WITHOUT_HOST),
    st.sampled_from(SCHEMES),
    passwords.filter(lambda password: "@" not in password),
)


def opened_by_library(url: str) -> None:
    with open_registry(url, artifacts="none") as registry:
        repr(registry)


def of_artifacts(url: str) -> None:
    store = open_artifacts(url)
    assert PIECE not in store.root or "://" not in url or "@" not in url
    store.close()


OPENERS = (opened_by_library, upgrade_store, store_revision)


def said_by(action, url: str) -> str:
    """Everything that comes of it: message, repr and the traceback that --traceback shows."""
    try:
        action(url)
    except Exception as error:  # noqa: BLE001 whatever it is, it must not tell
        return "\n".join([str(error), repr(error), traceback.format_exc()])
    return ""


@given(urls)
@example("postgresql://u:Zq7x50%off@h/db")
@example("postgresql://u:Zq7xa@Zq7xb@h/db")
@example("postgres:ann:Zq7xpw@h")
@example("sqlite://ann:Zq7xpw@h/x")
@example("host=127.0.0.1 password=Zq7x00@Zq7x00")
@example("postgresql://127.0.0.1:1/db;password=Zq7x00@Zq7x00")
def test_no_password_is_shown(url: str) -> None:
    """Nor any piece of it."""
    assert PIECE not in redacted(url)


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for: what the URLs name does not answer."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.hypothesis
@pytest.mark.usefixtures("unreachable")
def test_no_password_is_in_what_opening_says(tmp_path, monkeypatch, caplog) -> None:
    """Neither in an error of ours, nor in one of a driver, nor in what is logged meanwhile."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    counted = 0

    @settings(max_examples=examples(60))
    @given(urls.filter(lambda url: not url.startswith(UNKNOWN)))
    @example("mysql+pymysql://ann:Zq7xpw@h/x")
    @example("ann:Zq7xpw")
    @example("postgresql://u:Zq7x50%off@127.0.0.1:1/db")
    @example("postgresql://u:Zq7xa@Zq7xb@127.0.0.1:1/db")
    @example("postgresql://u:Zq7xa/Zq7xb@127.0.0.1:1/db")
    @example("postgresql://127.0.0.1:1/db?Zq7xpw")
    @example("postgres:ann:Zq7xpw@h")
    @example("sqlite://ann:Zq7xpw@h/x")
    @example("s3://ann:Zq7xa℀@h/x")
    @example("http://ann:Zq7xpw/x@h")
    def check(url: str) -> None:
        nonlocal counted
        for opener in OPENERS:
            said = said_by(opener, url)
            counted += bool(said)
            assert PIECE not in said
        assert PIECE not in caplog.text
        caplog.clear()

    check()
    assert counted > 20


@pytest.mark.parametrize("shape", ["ftp://ann:{}@127.0.0.1:1/x", "http://ann:{}@127.0.0.1:1/x"])
def test_an_artifact_root_keeps_its_password_to_itself(shape: str) -> None:
    """Sources of versions begin with the root, and everybody reads those."""
    url = shape.format(f"{PIECE}secret")
    assert PIECE not in said_by(of_artifacts, url)


def test_an_artifact_root_works_with_its_password_but_does_not_tell_it() -> None:
    store = open_artifact_store(f"http://ann:{PIECE}secret@127.0.0.1:1/x")
    assert store.root == "http://ann@127.0.0.1:1/x"
    assert PIECE in store._prefix


@given(passwords)
def test_no_password_is_in_what_the_server_says_of_its_settings(password: str) -> None:
    """Every client is told the public URL, so a password has no place in it either."""
    for url in (f"http://ann:{password}@h/x", f"http://h/x?token={password}", f"a:{password}@h"):
        with pytest.raises(SettingsError) as raised:
            from_arguments(["--public-url", url], {})
        assert PIECE not in str(raised.value)


def test_the_settings_of_a_server_show_no_url_that_may_hold_a_password() -> None:
    given_settings = from_arguments(
        [f"--store=postgresql://a:{PIECE}@h/db", f"--artifacts=ftp://a:{PIECE}@h/x"], {}
    )
    assert PIECE not in repr(given_settings)


def test_a_proxy_of_the_environment_keeps_its_password(monkeypatch) -> None:
    for proxy in (f"http://ann:{PIECE}:9/x@[h", f"http://ann:{PIECE}/x@h"):
        monkeypatch.setenv("http_proxy", proxy)
        assert PIECE not in said_by(open_store, "http://127.0.0.1:1")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:pw@host:5432/db", f"postgresql://{HIDDEN}@host:5432/db"),
        ("postgresql://host,[::1]:5433/db?x=y", f"postgresql://host,[::1]:5433/db?{HIDDEN}"),
        ("http://localhost:5000/prefix", "http://localhost:5000/prefix"),
        ("sqlite:////var/lib/registry.db", "sqlite:////var/lib/registry.db"),
        ("sqlite:registry.db", f"sqlite:{HIDDEN}"),
        ("models:/churn/3", "models:/churn/3"),
        ("registry.db", "registry.db"),
        ("", ""),
    ],
)
def test_what_is_no_secret_is_shown(url: str, shown: str) -> None:
    """Or nobody could tell which of their URLs is meant."""
    assert redacted(url) == shown


@given(st.text())
def test_any_text_can_be_given(text: str) -> None:
    """And no control character comes back."""
    assert not re.search(r"[\x00-\x1f\x7f]", redacted(text))


def test_a_parameter_is_named_unless_it_may_be_the_secret_itself() -> None:
    assert parameter_name("sslmod", "require") == "'sslmod'"
    for name, value in (("hunter", ""), ("AKIA77", "x"), ("a b", "x")):
        assert name not in parameter_name(name, value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://u:50%off@h/db", "write %25"),
        ("postgresql://u:p@w@h/db", "write %40"),
        ("postgresql://u:p/w@h/db", "write %2F"),
        ("postgresql:ann:pw@h", "no // after the scheme"),
        ("postgresql://u:pw/db", "port is not a number"),
        ("postgresql://h/db?sslmod=require", "'sslmod', which libpq does not know"),
        ("postgresql://h/db?sslmode=requir", "the value of 'sslmode'"),
        ("postgresql://h/db?target_session_attrs=rw", "the value of 'target_session_attrs'"),
        ("postgresql://h/db?connect_timeout=soon", "'connect_timeout' takes a number"),
        ("postgresql://h/db;sslmode=require", "parameters begin with a ?"),
        ("postgresql://h/db?service=none", "the value of 'service'"),
    ],
)
def test_a_malformed_postgresql_url_says_what_is_wrong(url: str, says: str) -> None:
    """Before anything is connected to, as a mistake of whoever wrote it."""
    for opener in OPENERS:
        with pytest.raises(InvalidUrlError) as raised:
            opener(url)
        assert says in str(raised.value)


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "http+unix", "memory+x", "nothing"])
def test_a_driver_is_only_looked_past_where_there_is_sql(scheme: str) -> None:
    with pytest.raises(UnknownBackendError):
        open_store(f"{scheme}://h/db")
