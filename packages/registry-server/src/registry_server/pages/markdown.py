"""Descriptions, which people write in Markdown, as HTML that is safe whatever is in them.

Strategy: HTML in a text is shown as it is written, addresses are http, https or mail, and nothing
is fetched from anywhere: an image is a link to it. The parser escapes all text itself.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup, escape

RENDERED_MAX_LENGTH = 20_000
"""Characters of a text that are rendered. A longer one is shown as it was written: to render it
would take long, and nobody reads it beside a table."""

_HEADINGS_BELOW = 2
"""The level of the headings on a page that the text is under."""

_LOWEST_HEADING = 6


def render(text: str) -> Markup:
    """Return the HTML of a text; of a long one, its beginning as plain text."""
    if len(text) > RENDERED_MAX_LENGTH:
        return Markup("<pre>{}…</pre>").format(text[:RENDERED_MAX_LENGTH])
    parser = _parser()
    env: MutableMapping[str, Any] = {}
    tokens = parser.parse(text, env)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            level = min(int(token.tag[1:]) + _HEADINGS_BELOW, _LOWEST_HEADING)
            token.tag = f"h{level}"
        # Tables say by a style how a column is aligned, which the policy of pages forbids.
        token.attrs.pop("style", None)
    return Markup(parser.renderer.render(tokens, parser.options, env))  # noqa: S704 escaped there


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    parser.enable("table").enable("strikethrough").disable("image")
    parser.add_render_rule("link_open", _link)
    return parser


def _link(
    self: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    token = tokens[index]
    target = str(token.attrs.get("href", ""))
    if not target.lower().startswith(("http://", "https://", "mailto:", "#")):
        # An address of this server, or of nobody knows what: it is shown, and leads nowhere.
        return f'<a title="{escape(target)}">'
    token.attrs["rel"] = "noopener noreferrer nofollow"
    return self.renderToken(tokens, index, options, env)
