"""Paths as people write them: slashes that were doubled by accident are one."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from litestar.types import HTTPScope

API_PREFIXES = ("/api/", "/ajax-api/")
"""What the paths of all APIs begin with, and the path of no page."""

_SLASHES = re.compile(rb"/{2,}")

_ARTIFACT_ROUTE = re.compile(
    rb"/+(?:ajax-)?api/+2\.0/+mlflow-artifacts"
    rb"(?:/+(?:artifacts|presigned|mpu(?:/+(?:create|complete|abort))?))?/"
)
"""What comes before the path of an artifact, in which every slash counts."""


def merge_slashes(scope: HTTPScope) -> None:
    """Have the request ask for the path without doubled slashes: `$URL/` + `/api` means `/api`.

    What is percent-encoded stays as it is, and so does the path of an artifact.
    """
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    route = _ARTIFACT_ROUTE.match(raw)
    end = len(raw) if route is None else route.end()
    merged = _SLASHES.sub(b"/", raw[:end]) + raw[end:]
    scope["raw_path"] = merged
    scope["path"] = unquote(merged.decode("ascii"))
