"""Completion of names, versions and aliases, from the store where that is cheap."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

import registry_core

if TYPE_CHECKING:
    from registry_core import RegisteredModel, Registry

COMPLETIONS = 50
"""Names offered at a time; more are no help."""

GIVEN_STORE = "registry_cli.store"
"""Where, in the context's `meta`, the store that the command line names is found."""

_URI_SCHEME = "models:/"
_PLAIN = re.compile(r"[\w.@%+=:,][\w.@%+=:,-]*\Z")


def complete_model(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of registered models that start like this; none if the store cannot say."""
    try:
        return _names(ctx, incomplete)
    except Exception:  # noqa: BLE001 a shell waits for completions, not for errors
        return []


def complete_version(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return a version's words: a name with its aliases or numbers, also in a `models:/` URI."""
    before = _words_before(ctx)
    if before:
        is_name = len(before) == 1 and _is_name(before[0])
        return complete_number_of(ctx, before[0], incomplete) if is_name else []
    name = incomplete.removeprefix(_URI_SCHEME)
    scheme = incomplete.removesuffix(name) if name else incomplete
    for mark, listed in (("/", _numbers), ("@", _aliases)):
        model, separator, part = name.rpartition(mark)
        if separator and model:
            return [f"{scheme}{model}{mark}{each}" for each in _asked(ctx, listed, model, part)]
    return [f"{scheme}{model}" for model in complete_model(ctx, param, name)]


def complete_number_of(ctx: click.Context, name: str, incomplete: str) -> list[str]:
    """Return the numbers of a model's versions, newest first."""
    return _asked(ctx, _numbers, name, incomplete)


def complete_alias(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the aliases of the model that the command names before."""
    return _asked(ctx, _aliases, _model_before(ctx), incomplete)


def complete_number(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return a version of the model that the command names: a number, or a short reference."""
    if {"@", "/"} & {*incomplete}:
        return complete_version(ctx, param, incomplete)
    return complete_number_of(ctx, _model_before(ctx), incomplete)


def complete_stage(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Return the stages."""
    return [
        stage.value
        for stage in registry_core.Stage
        if stage.value.lower().startswith(incomplete.lower())
    ]


def complete_version_and_stage(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[str]:
    """Return the words of a version, and then a stage."""
    before = _words_before(ctx)
    complete = len(before) - (len(before) > 0 and _is_name(before[0])) >= 1
    return (
        complete_stage(ctx, param, incomplete)
        if complete
        else complete_version(ctx, param, incomplete)
    )


def complete_prompt(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of prompts, with their aliases or numbers."""
    for mark, listed in (("/", _numbers), ("@", _aliases)):
        name, separator, part = incomplete.rpartition(mark)
        if separator and name:
            return [f"{name}{mark}{each}" for each in _asked(ctx, listed, name, part)]
    try:
        return _names(ctx, incomplete, prompts=True)
    except Exception:  # noqa: BLE001 as above
        return []


def _model_before(ctx: click.Context) -> str:
    # While the value of an option is awaited, Click has not parsed what is before it.
    words = (word for word in ctx.args if not word.startswith("-"))
    return ctx.params.get("name") or next(words, "")


def _words_before(ctx: click.Context) -> tuple[str, ...]:
    target = ctx.params.get("target")
    return tuple(target[1]) if target else ()


def _is_name(word: str) -> bool:
    return not word.startswith(_URI_SCHEME) and not {"@", "/"} & {*word}


def _asked(
    ctx: click.Context, listed: Callable[[RegisteredModel], list[str]], name: str, prefix: str
) -> list[str]:
    try:
        if not name:
            return []
        with _cheap_registry(ctx) as registry:
            candidates = [] if registry is None else listed(registry.get_registered_model(name))
        safe = [each for each in candidates if each.startswith(prefix) and _is_safe(each)]
        return safe[:COMPLETIONS]
    except Exception:  # noqa: BLE001 as above
        return []


def _aliases(model: RegisteredModel) -> list[str]:
    return list(model.aliases)


def _numbers(model: RegisteredModel) -> list[str]:
    newest = max((version.version for version in model.latest_versions), default=0)
    return [str(number) for number in range(newest, 0, -1)]


@contextmanager
def _cheap_registry(ctx: click.Context) -> Iterator[Registry | None]:
    url = registry_core.store_url(ctx.meta.get(GIVEN_STORE))
    if not _is_cheap(url):
        yield None
        return
    with registry_core.open_registry(url) as registry:
        yield registry


def _names(ctx: click.Context, prefix: str, *, prompts: bool = False) -> list[str]:
    quote = "'" if "'" not in prefix else '"'
    if quote in prefix:
        return []
    pattern = "".join(f"\\{char}" if char in "%_\\" else char for char in prefix)
    with _cheap_registry(ctx) as registry:
        if registry is None:
            return []
        filter_text = f"name LIKE {quote}{pattern}%{quote}"
        search = registry.prompts.search if prompts else registry.search_registered_models
        page = search(filter_text, max_results=COMPLETIONS)
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
