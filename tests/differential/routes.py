"""The 22 registered-model and model-version routes, and the kind of each of their fields."""

from __future__ import annotations

import attrs


@attrs.frozen
class Route:
    """A route, its fields in the order a client sends them, and how often it is drawn."""

    method: str
    path: str
    fields: tuple[str, ...]
    weight: int = 4


RM = "/registered-models"
MV = "/model-versions"

ROUTES = (
    Route("POST", f"{RM}/create", ("name", "tags", "description", "deployment_job_id"), 6),
    Route("POST", f"{RM}/rename", ("name", "new_name"), 4),
    Route("PATCH", f"{RM}/update", ("name", "description", "deployment_job_id"), 3),
    Route("DELETE", f"{RM}/delete", ("name",), 2),
    Route("GET", f"{RM}/get", ("name",), 8),
    Route("GET", f"{RM}/search", ("filter", "max_results", "order_by", "page_token"), 14),
    Route("POST", f"{RM}/get-latest-versions", ("name", "stages"), 3),
    Route("GET", f"{RM}/get-latest-versions", ("name", "stages"), 3),
    Route("POST", f"{RM}/set-tag", ("name", "key", "value"), 5),
    Route("DELETE", f"{RM}/delete-tag", ("name", "key"), 3),
    Route("POST", f"{RM}/alias", ("name", "alias", "version"), 6),
    Route("DELETE", f"{RM}/alias", ("name", "alias"), 3),
    Route("GET", f"{RM}/alias", ("name", "alias"), 4),
    Route(
        "POST",
        f"{MV}/create",
        ("name", "source", "run_id", "tags", "run_link", "description", "model_id"),
        12,
    ),
    Route("PATCH", f"{MV}/update", ("name", "version", "description"), 4),
    Route(
        "POST",
        f"{MV}/transition-stage",
        ("name", "version", "stage", "archive_existing_versions"),
        6,
    ),
    Route("DELETE", f"{MV}/delete", ("name", "version"), 4),
    Route("GET", f"{MV}/get", ("name", "version"), 5),
    Route("GET", f"{MV}/search", ("filter", "max_results", "order_by", "page_token"), 14),
    Route("GET", f"{MV}/get-download-uri", ("name", "version"), 3),
    Route("POST", f"{MV}/set-tag", ("name", "version", "key", "value"), 5),
    Route("DELETE", f"{MV}/delete-tag", ("name", "version", "key"), 3),
)

SEARCHES = {f"{RM}/search": "registered_models", f"{MV}/search": "model_versions"}
"""The list that each search answers with."""

REQUIRED = {"name", "new_name", "key", "alias", "version", "source", "stage"}
