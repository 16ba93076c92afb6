"""MLflow's own pages on our stores, in a browser: they list models, open them and change them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry_core import Registry, open_registry
from services.registry_server import MlflowServer
from services.stores import store_url

pytestmark = pytest.mark.long

SERVERS = {
    "sqlite": ("--workers", "1"),
    # Threads, because a worker without them waits for what a browser keeps open.
    "postgresql": ("--workers", "2", "--gunicorn-opts", "--preload --threads 4"),
    "s3": ("--workers", "2"),
}
"""Where the registry is, and how MLflow's server runs: uvicorn starts its workers anew, gunicorn forks
them."""


class SlowServer(MlflowServer):
    """MLflow's server, whose workers import it one by one, on a busy machine."""

    start_seconds = 240


MILLISECONDS = 60_000
"""That a page may take on a busy machine."""


@pytest.fixture(params=SERVERS)
def served(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[MlflowServer, Registry]]:
    """MLflow's server on a registry, and the registry."""
    with store_url(request.param, request) as where, open_registry(where) as registry:
        server = SlowServer(tmp_path, registry=f"registry+{where}", options=SERVERS[request.param])
        with server:
            yield server, registry


def test_models_are_listed_opened_and_changed(
    served: tuple[MlflowServer, Registry], chromium: Any
) -> None:
    """What somebody has registered by the library is there, and what is typed arrives in the store."""
    server, registry = served
    registry.create_registered_model("churn", description="who leaves")
    for _ in range(2):
        registry.create_model_version("churn", source="s3://b/p")
    registry.set_registered_model_alias("churn", "champion", 2)

    page = chromium.new_page()
    page.set_default_timeout(MILLISECONDS)
    page.goto(f"{server.url}/#/models")
    row = page.get_by_role("row").filter(has_text="churn")
    row.filter(has_text="champion").wait_for()
    # It praises itself first.
    page.get_by_role("button", name="Try it now").click()
    row.get_by_role("link", name="churn").click()
    page.get_by_text("who leaves").wait_for()
    describe(page, "who leaves, and when")
    assert registry.get_registered_model("churn").description == "who leaves, and when"

    page.goto(f"{server.url}/#/models/churn/versions/2")
    page.get_by_text(re.compile("champion")).first.wait_for()
    describe(page, "the best so far")
    assert registry.get_model_version("churn", 2).description == "the best so far"
    page.close()


def describe(page: Any, text: str) -> None:
    """Types a description and saves it."""
    page.get_by_test_id("descriptionEditButton").or_(
        page.locator("[data-test-id=descriptionEditButton]")
    ).first.click()
    page.locator("textarea").first.fill(text)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Save").wait_for(state="detached")
    page.get_by_text(text).first.wait_for()
