"""The machine's own Chromium, without a screen. Where there is none its tests are skipped.

`REGISTRY_TEST_CHROMIUM` names another one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The programs that are looked for. The first has the same engine and no windows, which halves the work."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
"""What lets it run as root, in a container, and keeps it from calling anybody."""

SECONDS = 60
"""How long a page may take on a busy machine before a test gives up."""


def executable() -> str | None:
    """Where the browser is."""
    named = os.environ.get("REGISTRY_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A running Chromium."""
    path = executable()
    if path is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium-headless-shell")
    api = pytest.importorskip("playwright.sync_api", reason="the driver of Chromium is missing")
    with (
        tempfile.TemporaryDirectory(prefix="chromium-") as home,
        api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=path, args=[*FLAGS], env={**os.environ, "HOME": home}
        )
        try:
            yield browser
        finally:
            browser.close()
