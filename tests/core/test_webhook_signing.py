"""How the secrets of webhooks are kept and used."""

from __future__ import annotations

import base64
import hashlib
import hmac
import sys

import pytest
from cryptography.fernet import Fernet

from registry_core.errors import (
    BackendNotInstalledError,
    InvalidArgumentError,
    StoreCorruptedError,
)
from registry_core.webhooks import SecretBox, sign


def key() -> str:
    return Fernet.generate_key().decode()


def test_signature_is_the_contracts():
    """`v1,` and the base64 of HMAC-SHA256 over id, timestamp and body joined by dots."""
    body = '{"a": "ü"}'.encode()
    mac = hmac.new("sécret".encode(), b"id-1.1700000000." + body, hashlib.sha256)
    assert sign("sécret", delivery_id="id-1", timestamp="1700000000", body=body) == (
        "v1," + base64.b64encode(mac.digest()).decode()
    )


def test_signature_of_a_known_delivery():
    """A vector made with `openssl dgst -hmac`, so that scheme and test cannot drift together."""
    assert sign("secret", delivery_id="d", timestamp="1", body=b"{}") == (
        "v1,4E54t1Pm5va13/ljdxqxPfvHoqVrL1swGgV3E2LNF0Q="
    )


def test_box_opens_what_it_sealed_and_shows_nothing():
    """What a store keeps reveals neither the secret nor that two hooks share one."""
    box = SecretBox(key())
    one, two = box.seal("hunter2 ü"), box.seal("hunter2 ü")
    assert box.open(one) == box.open(two) == "hunter2 ü"
    assert one != two
    assert "hunter2" not in one


def test_box_opens_what_mlflow_sealed():
    """A secret imported from MLflow with its key keeps working: both keep Fernet tokens."""
    mlflow_key = key()
    token = Fernet(mlflow_key).encrypt(b"carried over").decode()
    assert SecretBox(mlflow_key).open(token) == "carried over"


def test_box_with_several_keys_opens_old_secrets_and_seals_with_the_first():
    """A key is replaced by putting a new one in front of it."""
    old, new = key(), key()
    before = SecretBox(old).seal("s")
    rotating = SecretBox(f"{new}, {old}")
    assert rotating.open(before) == "s"
    assert SecretBox(new).open(rotating.seal("t")) == "t"


@pytest.mark.parametrize("damage", [lambda t: t[:-4] + "AAA=", lambda _: "nonsense", lambda _: ""])
def test_box_refuses_what_its_key_did_not_seal(damage):
    """A wrong key or a damaged token is reported, never taken for an empty secret."""
    box = SecretBox(key())
    with pytest.raises(StoreCorruptedError, match="cannot be decrypted"):
        box.open(damage(box.seal("s")))
    with pytest.raises(StoreCorruptedError):
        SecretBox(key()).open(box.seal("s"))


@pytest.mark.parametrize("bad", ["", "short", "a" * 44, "ü" * 44, ","])
def test_key_that_is_none_is_refused(bad):
    """The message says what a key looks like and where it is set."""
    with pytest.raises(InvalidArgumentError, match="REGISTRY_WEBHOOK_SECRET_KEY or MLFLOW_"):
        SecretBox(bad)


def test_box_from_the_environment_prefers_our_variable():
    """MLflow's variable works too, so that a server can be swapped with its settings."""
    ours, theirs = key(), key()
    both = {
        "REGISTRY_WEBHOOK_SECRET_KEY": ours,
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": theirs,
    }
    sealed = SecretBox(ours).seal("s")
    box = SecretBox.from_environ(both)
    assert box is not None
    assert box.open(sealed) == "s"
    mlflows = SecretBox.from_environ({"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": theirs})
    assert mlflows is not None
    with pytest.raises(StoreCorruptedError):
        mlflows.open(sealed)
    assert SecretBox.from_environ({"REGISTRY_WEBHOOK_SECRET_KEY": ""}) is None


def test_missing_library_is_named(monkeypatch):
    """A key without the extra is an error at the start, not at the first webhook."""
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    with pytest.raises(BackendNotInstalledError, match=r"registry-core\[webhooks\]"):
        SecretBox(key())
