"""Tokens of a real provider of OpenID Connect: right ones, and every way in which one is not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from registry_core.access.credentials import Issuer
from registry_server import Settings
from registry_server.access import issuers
from services.in_process import InProcessServer, memory_registry
from services.oidc_provider import OidcProvider

ANN = {"sub": "ann", "groups": ["fraud"], "email": "ann@example.com", "email_verified": True}
EVE = {"sub": "eve", "groups": "fraud", "email": "ann@example.com"}
WHOAMI = b"/api/registry/v1/whoami"

FILE = """
[issuer.company]
issuer = "{url}"
audience = "registry"
leeway_seconds = 0
{more}
[[grant]]
groups = ["company:fraud"]
role = "reader"
models = ["fraud-*"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with OidcProvider(ANN, EVE) as provider:
        yield provider


def served(directory: Path, provider: OidcProvider, more: str = "") -> InProcessServer:
    path = directory / "access.toml"
    path.write_text(FILE.format(url=provider.url, more=more))
    path.chmod(0o600)
    return InProcessServer(memory_registry(), Settings(threads=1, access_file=str(path)))


def told(server: InProcessServer, token: str) -> Any:
    """Who the server takes the token's bearer for, or the status of the refusal."""
    answer = server.send("GET", WHOAMI, b"", [(b"authorization", f"Bearer {token}".encode())])
    return json.loads(answer.body) if answer.status == 200 else answer.status


def test_a_token_proves_a_name_and_groups(tmp_path: Path, provider: OidcProvider) -> None:
    with served(tmp_path, provider) as server:
        server.registry.create_registered_model("fraud-net")
        server.registry.create_registered_model("churn")
        token = provider.id_token("ann")
        found = told(server, token)
        assert (found["name"], found["groups"]) == ("company:ann", ["company:fraud"])
        headers = [(b"authorization", f"Bearer {token}".encode())]
        path = b"/api/2.0/mlflow/registered-models/search"
        models = json.loads(server.send("GET", path, b"", headers).body)["registered_models"]
        assert [model["name"] for model in models] == ["fraud-net"]
        # Somebody without the group has proved a name, and may do nothing.
        assert told(server, provider.id_token("bob"))["grants"] == []


def test_an_address_counts_only_if_it_is_verified(tmp_path: Path, provider: OidcProvider) -> None:
    with served(tmp_path, provider, 'name_claim = "email"\nprefix = ""') as server:
        assert told(server, provider.id_token("ann"))["name"] == "ann@example.com"
        assert told(server, provider.id_token("eve")) == 401


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def forged(provider: OidcProvider) -> Iterator[tuple[str, str]]:
    """Tokens that say they are the provider's."""
    good = provider.id_token("ann")
    claims = jwt.decode(good, options={"verify_signature": False})
    head = jwt.get_unverified_header(good)
    (key,) = provider.keys()
    body = good.split(".")[1]
    yield "none", f"{part({**head, 'alg': 'none'})}.{body}."
    yield "None", f"{part({**head, 'alg': 'None'})}.{body}.x"
    # The public key, as its bytes are likely to be used for a shared secret.
    public = jwt.PyJWK(key).key
    from cryptography.hazmat.primitives import serialization

    for shared in (
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        json.dumps(key).encode(),
        base64.urlsafe_b64decode(key["n"] + "=="),
    ):
        text = f"{part({**head, 'alg': 'HS256'})}.{body}"
        mac = base64.urlsafe_b64encode(hmac.new(shared, text.encode(), hashlib.sha256).digest())
        yield "HS256 with the public key", f"{text}.{mac.decode().rstrip('=')}"
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    yield "a key of one's own", jwt.encode(claims, own, algorithm="RS256", headers=head)
    yield (
        "a key in the head",
        jwt.encode(
            claims,
            own,
            algorithm="RS256",
            headers={
                **head,
                "jwk": json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(own.public_key())),
            },
        ),
    )
    yield (
        "a key elsewhere",
        jwt.encode(claims, own, algorithm="RS256", headers={**head, "jku": "http://127.0.0.1:1/"}),
    )
    yield (
        "other claims",
        f"{good.split('.')[0]}.{part({**claims, 'sub': 'root'})}.{good.split('.')[2]}",
    )
    yield "no signature", good.rpartition(".")[0] + "."
    yield "another issuer", jwt.encode({**claims, "iss": "https://e.com"}, own, algorithm="RS256")
    yield "no token", "ey.ey.ey"
    yield "a long one", f"ey{'A' * 20_000}.e.e"
    yield "deep", f"{part({})[:2]}{'W' * 5000}.{'W' * 5000}.x"


def test_what_the_provider_has_not_signed_proves_nothing(
    tmp_path: Path, provider: OidcProvider
) -> None:
    with served(tmp_path, provider) as server:
        assert told(server, provider.id_token("ann"))["name"] == "company:ann"
        for what, token in forged(provider):
            assert told(server, token) == 401, what


def test_a_token_for_others_or_of_yesterday_proves_nothing(tmp_path: Path) -> None:
    with OidcProvider(ANN) as provider, served(tmp_path, provider) as server:
        assert told(server, provider.id_token("ann", audience="another")) == 401
        short = provider.id_token("ann")
        assert told(server, short)["name"] == "company:ann"
        provider.stop()
        provider.start(max_age=-10)
        assert told(server, provider.id_token("ann")) == 401


def test_a_token_ends_while_it_is_remembered(tmp_path: Path) -> None:
    with OidcProvider(ANN) as provider:
        provider.stop()
        provider.start(max_age=2)
        with served(tmp_path, provider) as server:
            for _ in range(10):  # a busy machine may be too late for the first ones
                token = provider.id_token("ann")
                expires = jwt.decode(token, options={"verify_signature": False})["exp"]
                answer = told(server, token)
                if answer != 401:
                    break
            assert answer["name"] == "company:ann"
            while time.time() < expires:
                time.sleep(0.05)
            assert told(server, token) == 401


def test_keys_are_rotated_and_the_provider_may_be_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "RETRY_SECONDS", 0.0)
    with OidcProvider(ANN) as provider, served(tmp_path, provider) as server:
        old = provider.id_token("ann")
        assert told(server, old)["name"] == "company:ann"
        provider.stop()
        # Its keys are known: whoever has a token is not kept out.
        assert told(server, old)["name"] == "company:ann"
        provider.start()
        new = provider.id_token("ann")
        provider.stop()
        assert told(server, new) == 503
        provider.start()
        newer = provider.id_token("ann")
        assert told(server, newer)["name"] == "company:ann"
        # Of a key that the provider has given up, and whose token was not seen before.
        assert told(server, new) == 401


def test_a_key_that_was_given_up_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(issuers, "REFRESH_SECONDS", 0.0)
    with OidcProvider(ANN, EVE) as provider, served(tmp_path, provider) as server:
        seen, unseen = provider.id_token("ann"), provider.id_token("eve")
        assert told(server, seen)["name"] == "company:ann"
        provider.stop()
        provider.start()
        assert told(server, unseen) == 401
        assert told(server, seen) == 401


def test_those_who_come_while_keys_are_fetched_wait_for_them(
    provider: OidcProvider,
) -> None:
    issuer = Issuer(name="company", issuer=provider.url, audience="registry")
    tokens = [provider.id_token(name) for name in ("ann", "eve", "ann")]
    begun: list[str] = []

    def slow(url: str) -> Any:
        begun.append(url)
        time.sleep(0.05)  # So that all of them are there.
        return issuers.fetch_json(url)

    async def verified() -> list[str]:
        found = issuers.Issuers((issuer,), fetch=slow)
        proven = await asyncio.gather(*map(found.verify, tokens))
        found.close()
        return [each.principal.name for each in proven]

    assert asyncio.run(verified()) == ["ann", "eve", "ann"]
    assert len(begun) == 2


@pytest.mark.parametrize(
    "more",
    [
        f'prefix = ""\n[user.ann]\ntokens = ["sha256:{"0" * 64}"]',
        'prefix = ""\n[issuer.other]\nissuer = "https://e.com"\naudience = "r"\nprefix = "an"',
    ],
    ids=["user", "issuer"],
)
def test_an_issuer_without_a_prefix_proves_no_name_of_others(
    tmp_path: Path, provider: OidcProvider, more: str
) -> None:
    with served(tmp_path, provider, more) as server:
        assert told(server, provider.id_token("ann")) == 401
        assert told(server, provider.id_token("eve"))["name"] == "eve"


def test_an_answer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time, and all of them do not."""
    monkeypatch.setattr(issuers, "FETCH_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n1")
                for _ in range(39):
                    time.sleep(0.05)
                    connection.sendall(b"1")

        dripping = threading.Thread(target=drip, daemon=True)
        dripping.start()
        with pytest.raises(issuers.ProviderError, match="takes longer"):
            issuers.fetch_json(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        dripping.join()


def test_unknown_keys_do_not_make_the_provider_busy(
    tmp_path: Path, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = issuers.fetch_json

    def fetch(url: str, data: bytes | None = None) -> Any:
        asked.append(url)
        return real(url, data)

    monkeypatch.setattr(issuers, "fetch_json", fetch)
    with served(tmp_path, provider) as server:
        good = provider.id_token("ann")
        assert told(server, good)["name"] == "company:ann"
        assert len(asked) == 2
        own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        claims = jwt.decode(good, options={"verify_signature": False})
        for number in range(20):
            token = jwt.encode(claims, own, algorithm="RS256", headers={"kid": f"k{number}"})
            assert told(server, token) == 401
        assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        {"issuer": "https://other.example.com", "jwks_uri": "{url}/jwks"},
        {"issuer": "{url}", "jwks_uri": "http://169.254.169.254/keys"},
        {"issuer": "{url}"},
        [],
        {"issuer": "{url}", "jwks_uri": "{url}/none"},
    ],
)
def test_a_provider_that_describes_itself_wrongly_is_as_one_that_is_away(
    tmp_path: Path, provider: OidcProvider, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    text = json.dumps(answer).replace("{url}", provider.url)
    real = issuers.fetch_json
    monkeypatch.setattr(
        issuers,
        "fetch_json",
        lambda url: json.loads(text) if url.endswith("configuration") else real(url),
    )
    with served(tmp_path, provider) as server:
        assert told(server, provider.id_token("ann")) == 503
