"""Times, sizes and long texts as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE = 60
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR

_A_MOMENT_SECONDS = 45
_SOME_DAYS = 7
"""Days after which a date says more than how long ago it was."""

_LATEST = 253_402_300_799_999
"""The last millisecond that `datetime` knows, in the year 9999."""


def moment(milliseconds: int) -> datetime:
    """Return the moment of a time since the epoch; the nearest one that has a date."""
    return datetime.fromtimestamp(min(max(milliseconds, 0), _LATEST) / 1000, UTC)


def exact(milliseconds: int) -> str:
    """Return a time to the second, in UTC."""
    return f"{moment(milliseconds):%Y-%m-%d %H:%M:%S} UTC"


def iso(milliseconds: int) -> str:
    """Return a time for machines (RFC 3339)."""
    return f"{moment(milliseconds):%Y-%m-%dT%H:%M:%SZ}"


def ago(milliseconds: int, now: int) -> str:
    """Return how long ago a time was; of one longer ago, its date."""
    seconds = (now - milliseconds) // 1000
    if seconds < -_A_MOMENT_SECONDS:
        return exact(milliseconds)
    if seconds < _A_MOMENT_SECONDS:
        return "just now"
    if seconds < _HOUR:
        return _counted(max(1, round(seconds / _MINUTE)), "minute") + " ago"
    if seconds < _DAY:
        return _counted(round(seconds / _HOUR), "hour") + " ago"
    if seconds < _SOME_DAYS * _DAY:
        return _counted(round(seconds / _DAY), "day") + " ago"
    at, today = moment(milliseconds), moment(now)
    year = "" if at.year == today.year else f" {at.year}"
    return f"{at.day} {at:%B}{year}"


def ahead(milliseconds: int, now: int) -> str:
    """Return how long from now a time is."""
    seconds = max(0, milliseconds - now) // 1000
    for unit, size in (("day", _DAY), ("hour", _HOUR), ("minute", _MINUTE)):
        if seconds >= size:
            return _counted(round(seconds / size), unit)
    return "less than a minute"


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def size(count: int) -> str:
    """Return a number of bytes in three digits or so."""
    number, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if number < 1000:  # noqa: PLR2004 decimal units
            break
        number, unit = number / 1000, larger
    return f"{count} B" if unit == "B" else f"{number:.1f} {unit}"


def short(text: object, most: int = 80) -> str:
    """Return the beginning of a text on one line, with an ellipsis where it goes on."""
    # A long text is not split whole to show its first words.
    line = " ".join(str(text)[: most * 4].split())
    return line if len(line) <= most and len(str(text)) <= most * 4 else line[: most - 1] + "…"


def digest(text: str) -> str:
    """Return the first eight digits of a digest, with or without the name of its algorithm."""
    return text.rpartition(":")[2][:8]
