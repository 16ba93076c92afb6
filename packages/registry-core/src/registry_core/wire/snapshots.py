"""What asks our own routes for snapshots, and for restoring one."""

from __future__ import annotations

from typing import Annotated

import attrs

from registry_core.wire.prefixes import OWN_API
from registry_core.wire.requests import AtMost

SNAPSHOTS_PATH = f"{OWN_API}/snapshots"
"""Where a model is written whose snapshot is too large for one request: the lines of an export."""

VERSIONS_MAX_RESULTS = 1_000
"""Versions of one piece of a snapshot."""


@attrs.frozen(kw_only=True)
class GetModelSnapshot:
    """A piece of a model's snapshot: its fields, and the versions after a number."""

    name: str
    after_version: int = 0
    max_results: Annotated[int, AtMost(VERSIONS_MAX_RESULTS)] = VERSIONS_MAX_RESULTS


@attrs.frozen(kw_only=True)
class PutModelSnapshot:
    """A model to write as a snapshot has it, in place of the one of that name if `replaces`."""

    name: str
    snapshot: str
    """The snapshot as JSON, in a text: so that what a request may hold is counted in bytes."""
    replaces: bool = False
