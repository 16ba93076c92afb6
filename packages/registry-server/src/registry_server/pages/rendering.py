"""Templates, and what they may call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from registry_core import validation
from registry_server.pages import formats, links, markdown, statics

HIDDEN_TAGS = ("mlflow.prompt.", "_mlflow", "registry.artifacts.")
"""Beginnings of the keys of tags that MLflow or this registry keeps for itself: pages show what
they mean."""

USUAL_ALIASES = ("champion", "production", "prod")
"""Aliases that mean what is in use, where a page can only name one."""

LIST_TAGS = 4
"""Tags of one row in a list; how many more there are is said."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """Return the text of a template."""
    return _environment().get_template(template).render(context)


def stream(template: str, context: Mapping[str, Any]) -> Iterator[str]:
    """Return the text of a template in pieces, made as they are asked for."""
    return _environment().get_template(template).generate(context)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("registry_server.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        short=formats.short,
        filesize=formats.size,
        digest=formats.digest,
        markdown=markdown.render,
        shown_tags=shown_tags,
        main_alias=main_alias,
    )
    environment.globals.update(
        links=links,
        static=statics.address,
        icon=statics.ICON,
        time=_time,
        time_left=_time_left,
        LIST_TAGS=LIST_TAGS,
    )
    return environment


def _time(milliseconds: int, now: int) -> Markup:
    """A time as people say it, with the exact one in its title."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        formats.iso(milliseconds), formats.exact(milliseconds), formats.ago(milliseconds, now)
    )


def _time_left(milliseconds: int, now: int) -> Markup:
    """How long a time is away, with the exact one in its title."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        formats.iso(milliseconds), formats.exact(milliseconds), formats.ahead(milliseconds, now)
    )


def main_alias(aliases: Mapping[str, int]) -> str:
    """Return the alias that a reader would load; empty if the model has no alias."""
    usual = (alias for alias in USUAL_ALIASES if alias in aliases)
    return next(usual, next(iter(aliases), ""))


def shown_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that people have set."""
    return {
        key: value
        for key, value in tags.items()
        if not key.startswith(HIDDEN_TAGS) and key != validation.PROMPT_TAG
    }
