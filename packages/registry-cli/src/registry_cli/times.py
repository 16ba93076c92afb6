"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def when(timestamp: int) -> str:
    """Return a moment in ISO 8601, UTC, to the second."""
    try:
        moment = datetime.fromtimestamp(timestamp // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{timestamp} ms"  # beyond the year 9999
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
