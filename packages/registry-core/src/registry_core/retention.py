"""How long what was deleted can be restored: the one place that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping

from registry_core.errors import InvalidArgumentError

RETENTION_DAYS = 30
"""Days for which a deleted model or version can be restored, and its files are kept. Ours: long
enough to notice after a holiday. With fewer, files of what somebody misses are collected sooner."""

RETENTION_VARIABLE = "REGISTRY_TRASH_DAYS"
"""The environment variable that says another number of days. All processes that restore, or collect
garbage, should have the same; 0 keeps nothing."""

_RETENTION_MAX_DAYS = 36_500

DAY_MILLISECONDS = 24 * 3600 * 1000


def retention(environ: Mapping[str, str] = os.environ) -> int:
    """Return how long after its deletion something can be restored, in milliseconds.

    Raises:
        InvalidArgumentError: The environment says something else than a number of days.
    """
    text = environ.get(RETENTION_VARIABLE) or str(RETENTION_DAYS)
    # Python refuses to read thousands of digits.
    is_short = text.isdecimal() and len(text) <= len(str(_RETENTION_MAX_DAYS))
    if not is_short or int(text) > _RETENTION_MAX_DAYS:
        raise InvalidArgumentError(
            f"{RETENTION_VARIABLE} must be a number of days from 0 to {_RETENTION_MAX_DAYS}, and "
            f"not '{text}'"
        )
    return int(text) * DAY_MILLISECONDS
