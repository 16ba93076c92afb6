"""Webhooks with the settings of the process: which URLs they may have, and the key of secrets.

The variables are those of a server, so that a library or a command on the same store keeps the same
rules: `REGISTRY_WEBHOOK_SCHEMES`, `REGISTRY_WEBHOOK_PRIVATE_ADDRESSES`,
`REGISTRY_WEBHOOK_SECRET_KEY`, or MLflow's names for them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from registry_core import store
from registry_core.errors import InvalidArgumentError
from registry_core.webhooks.facade import Webhooks
from registry_core.webhooks.signing import SecretBox
from registry_core.webhooks.urls import UrlPolicy

SCHEME_VARIABLES = ("REGISTRY_WEBHOOK_SCHEMES", "MLFLOW_WEBHOOK_ALLOWED_SCHEMES")
PRIVATE_VARIABLES = ("REGISTRY_WEBHOOK_PRIVATE_ADDRESSES", "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS")


def webhooks_of(
    kept: store.Store | store.Webhooks, environ: Mapping[str, str] | None = None
) -> Webhooks:
    """Return the webhooks of a store.

    A store that is a server has rules of its own, and looks names up in its own network: every URL
    is left to it.

    Raises:
        InvalidArgumentError: A variable has a value that means nothing.
    """
    environ = os.environ if environ is None else environ
    if getattr(kept, "checks_webhooks", False):
        urls = UrlPolicy(schemes=("https", "http"), allow_private_addresses=True)
        return Webhooks(kept, urls=urls)
    schemes = _given(SCHEME_VARIABLES, environ) or "https"
    is_private = _given(PRIVATE_VARIABLES, environ).lower() in ("1", "true", "yes", "on")
    try:
        urls = UrlPolicy(
            schemes=tuple(each.strip().lower() for each in schemes.split(",")),
            allow_private_addresses=is_private,
        )
    except ValueError:
        raise InvalidArgumentError(
            f"{SCHEME_VARIABLES[0]} must be https, http or both, and not '{schemes}'"
        ) from None
    return Webhooks(kept, urls=urls, secrets=SecretBox.from_environ(environ))


def _given(variables: tuple[str, ...], environ: Mapping[str, str]) -> str:
    return next((environ[each] for each in variables if environ.get(each)), "")
