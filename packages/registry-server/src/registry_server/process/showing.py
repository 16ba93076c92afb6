"""`registry-server config show`: what the settings of a server would be, and where each is from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from registry_core.redaction import HIDDEN, redacted
from registry_server.process.arguments import ParsedSettings, parse
from registry_server.process.setting_values import address_text
from registry_server.process.settings import OPTIONS

COMMAND = ("config", "show")
"""What the arguments begin with."""

_URLS = frozenset({"store", "artifacts", "public_url"})
"""Settings that are shown as URLs are: without what may be a secret."""


def asks_to_show(arguments: Sequence[str]) -> bool:
    """Return whether the arguments ask what the settings are."""
    return tuple(arguments[: len(COMMAND)]) == COMMAND


def shown(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the settings that the further arguments and the environment give, one a line.

    With `--json` they are one object. No secret is shown.

    Raises:
        SettingsError: one of them cannot be used.
    """
    rest = list(arguments[len(COMMAND) :])
    as_json = "--json" in rest
    settings = parse([argument for argument in rest if argument != "--json"], environ)
    return _as_json(settings) if as_json else _as_table(settings)


def _as_json(settings: ParsedSettings) -> str:
    entries = {
        option.field: {
            "value": _value(settings, option.field),
            "origin": settings.origins[option.field],
        }
        for option in OPTIONS
    }
    return json.dumps(entries, indent=2)


def _as_table(settings: ParsedSettings) -> str:
    rows = [
        (option.flag.removeprefix("--"), _text(_value(settings, option.field)), origin)
        for option in OPTIONS
        for origin in (settings.origins[option.field],)
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{name.ljust(widths[0])}  {value.ljust(widths[1])}  {origin}"
        for name, value, origin in rows
    )


def _value(settings: ParsedSettings, field: str) -> Any:
    value = getattr(settings.settings, field)
    if value is None:
        return None
    if field in _URLS:
        return redacted(value)
    hidden = next(option.hidden for option in OPTIONS if option.field == field)
    if hidden:
        return HIDDEN
    if field == "metrics_address":
        return address_text(*value)
    return [str(each) for each in value] if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    match value:
        case None:
            return "-"
        case list():
            return ",".join(value) or "-"
        case bool():
            return "yes" if value else "no"
    return str(value)
