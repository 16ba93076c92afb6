"""A newcomer types what the first pages show, in an empty folder with an empty home.

With REGISTRY_TEST_WRITE_PAGES=1 in the environment, the output that a page shows is written anew.
"""

import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pytest

from services.launchers import launchers
from services.pages_player import bucket_says

ROOT = Path(__file__).parents[2]
PAGES = ("library", "command-line", "mlflow-client", "bucket")
INSTALLING = ("install",)
_INSTALLED = sysconfig.get_path("scripts")


@pytest.mark.parametrize("name", PAGES)
def test_page_shows_what_happens(name, newcomer, request):
    """Every block of a page that starts with what is installed, as typed."""
    says = _bucket(request) if name == "bucket" else ()
    page = ROOT / "docs/get-started" / f"{name}.md"
    with contextlib.ExitStack() as stack:
        places = [_INSTALLED, os.environ["PATH"]]
        if name == "command-line":
            # It starts no server, which would go on after its shell has ended.
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            places.insert(0, os.fspath(stack.enter_context(launchers(Path(directory)))))
        _compare(newcomer(path=os.pathsep.join(places), says=says), page)


@pytest.mark.parametrize(
    "page", ["README.md", pytest.param("docs/get-started/install.md", marks=pytest.mark.long)]
)
def test_page_that_installs_shows_what_happens(page, newcomer, tmp_path):
    """From `git clone` on, with an interpreter in which nothing is installed."""
    bare = tmp_path / "python"
    subprocess.run([sys.executable, "-m", "venv", bare], check=True)
    paths = [bare / "bin", tmp_path / "home/.local/bin"]
    player = newcomer(
        path=os.pathsep.join([*map(str, paths), os.environ["PATH"]]),
        says=[("REPOSITORY", f"--quiet {ROOT}"), ("pip install uv && uv run --dev pytest", "true")],
    )
    _compare(player, ROOT / page)


def test_every_first_page_is_played():
    """A new one has to be named here, too."""
    pages = {page.stem for page in (ROOT / "docs/get-started").glob("*.md")}
    assert pages == {*PAGES, *INSTALLING}


def _compare(player, page):
    """Fails where a page shows something else, or writes into it what it should show."""
    wrong, text = player.play(page)
    if os.environ.get("REGISTRY_TEST_WRITE_PAGES"):
        page.write_text(text)
    assert not wrong


def _bucket(request):
    """What the page leaves to the reader: keys, and a bucket of theirs."""
    keys = "AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=..."
    return bucket_says(request, keys=keys, bucket="s3://models/team-a")
