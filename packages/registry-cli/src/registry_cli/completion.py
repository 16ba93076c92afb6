"""Completion of model names, from the store itself, where that is cheap and changes nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

import registry_core

COMPLETIONS = 50
"""Names offered at a time; more are no help."""

GIVEN_STORE = "registry_cli.store"
"""Where, in the context's `meta`, the store that the command line names is found."""

_URI_SCHEME = "models:/"
_PLAIN = re.compile(r"[\w.@%+=:,][\w.@%+=:,-]*\Z")


def complete_model(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """The names of registered models that start like this; none if the store cannot say."""
    try:
        return _names(ctx, incomplete)
    except Exception:  # noqa: BLE001 a shell waits for completions, not for errors
        return []


def complete_version(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """As `complete_model` for the first word of a version, also inside a `models:/` URI."""
    if ctx.params.get("target"):
        return []
    name = incomplete.removeprefix(_URI_SCHEME)
    scheme = incomplete.removesuffix(name) if name else incomplete
    return [f"{scheme}{model}" for model in complete_model(ctx, param, name)]


def _names(ctx: click.Context, prefix: str) -> list[str]:
    url = registry_core.store_url(ctx.meta.get(GIVEN_STORE))
    quote = "'" if "'" not in prefix else '"'
    if not _is_cheap(url) or quote in prefix:
        return []
    pattern = "".join(f"\\{char}" if char in "%_\\" else char for char in prefix)
    with registry_core.open_registry(url) as registry:
        page = registry.search_registered_models(
            f"name LIKE {quote}{pattern}%{quote}", max_results=COMPLETIONS
        )
    return [model.name for model in page.items if _is_safe(model.name)]


def _is_safe(name: str) -> bool:
    """Whether a shell can be offered a name that another user chose.

    What a terminal would act on, no shell is given. Bash puts a completion into the command line as
    it is, so it is offered only what it takes as one plain word.
    """
    is_bash = os.environ.get("_REGCTL_COMPLETE", "").startswith("bash")
    return name.isprintable() and (not is_bash or _PLAIN.match(name) is not None)


def _is_cheap(url: str) -> bool:
    # Opening a SQLite file that is not there would create it; listing a bucket may take seconds.
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] == "sqlite":
        return Path(rest.partition("?")[0].removeprefix("/")).exists()
    return scheme != "s3"
