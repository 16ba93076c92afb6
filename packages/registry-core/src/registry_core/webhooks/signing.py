"""The secrets of webhooks: how they are kept, and how they sign a delivery."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from registry_core.errors import (
    BackendNotInstalledError,
    InvalidArgumentError,
    StoreCorruptedError,
)

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

KEY_VARIABLES = ("REGISTRY_WEBHOOK_SECRET_KEY", "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY")
"""Environment variables that may hold the key; the first that is set counts."""

SECRET_MAX_LENGTH = 1_000
"""Characters of a secret. MLflow's column holds a token of that size, so a secret of about 650."""


def sign(secret: str, *, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return the value of `X-MLflow-Signature` (contract 6.3), which proves who sent a body."""
    message = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), message, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class SecretBox:
    """Encrypts the secrets of webhooks for the store, as Fernet tokens, like MLflow (contract 6.5).

    `keys` are Fernet keys separated by commas: the first one encrypts, all of them decrypt, so
    that a key can be replaced while hooks of the old one exist.
    """

    def __init__(self, keys: str) -> None:
        self._fernet = _fernet(keys)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> SecretBox | None:
        """Return the box with the key in the environment; None when there is none.

        Raises:
            InvalidArgumentError: the key is not one.
            BackendNotInstalledError: there is a key, but no library to use it with.
        """
        for variable in KEY_VARIABLES:
            if environ.get(variable):
                return cls(environ[variable])
        return None

    def seal(self, secret: str) -> str:
        """Return the secret as a store may keep it."""
        return self._fernet.encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return the secret that was sealed.

        Raises:
            StoreCorruptedError: it was sealed with another key.
        """
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 an optional extra

        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except (InvalidToken, UnicodeError):
            raise StoreCorruptedError(
                "The secret of the webhook cannot be decrypted with the configured key"
            ) from None


def _fernet(keys: str) -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 an optional extra
    except ModuleNotFoundError as error:
        raise BackendNotInstalledError(
            "Secrets of webhooks need the module 'cryptography', which is not installed: "
            "pip install 'registry-core[webhooks]'"
        ) from error
    try:
        return MultiFernet([Fernet(key.strip()) for key in keys.split(",")])
    except ValueError:
        raise InvalidArgumentError(
            f"The key for webhook secrets ({' or '.join(KEY_VARIABLES)}) must be 32 random bytes "
            "in URL-safe base64; several are separated by commas."
        ) from None
