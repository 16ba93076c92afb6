"""The dashboard for Grafana shows what a server tells: compared with a scrape of one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from services.registry_server import RegistryServer
from services.wire_client import WireClient

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/registry.json"

GUIDE = Path(__file__).parents[2] / "docs/guides/server.md"

LABELS_OF_PROMETHEUS = {"job", "le"}


@pytest.fixture(scope="module")
def scrape(tmp_path_factory):
    """What a server of two workers tells after a request of several kinds."""
    directory = tmp_path_factory.mktemp("scraped")
    with RegistryServer(f"sqlite:///{directory / 'r.db'}", workers=2) as server:
        with WireClient(server.url) as client:
            client.post("/registered-models/create", name="m")
            client.get("/registered-models/search")
        return get(server, "/metrics")


def get(server, path):
    import urllib.request

    with urllib.request.urlopen(server.url + path, timeout=30) as answer:
        return answer.read().decode()


def told(scrape):
    """The labels of each name in a scrape."""
    found = {}
    for name, labels in re.findall(r"^(registry_\w+)(?:{(.*)})? \S+$", scrape, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    return found


def expressions():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def test_dashboard_asks_for_nothing_that_no_server_tells(scrape):
    """Each name in it is in a scrape, with the labels that it sums by, selects and shows."""
    metrics = told(scrape)
    assert expressions()
    for expression in expressions():
        (name,) = re.findall(r"registry_\w+", expression)
        assert name in metrics, expression
        asked = set(re.findall(r"(\w+)=~?\"", expression))
        for by in re.findall(r"by \(([^)]*)\)", expression):
            asked |= {label.strip() for label in by.split(",")}
        assert asked <= metrics[name] | LABELS_OF_PROMETHEUS, expression


def test_dashboard_shows_everything_that_a_server_tells(scrape):
    """A metric that nobody looks at is found out here."""
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for expression in expressions()
        for name in re.findall(r"registry_\w+", expression)
    }
    families = set(re.findall(r"^# TYPE (registry_\w+) ", scrape, re.MULTILINE))
    assert families == shown


def test_guide_explains_everything_that_a_server_tells(scrape):
    """By the whole name, as people look for it."""
    guide = GUIDE.read_text()
    families = set(re.findall(r"^# TYPE (registry_\w+) ", scrape, re.MULTILINE))
    assert not {family for family in families if f"`{family}`" not in guide}


def test_scrape_is_as_prometheus_wants_it(scrape):
    """By its own tool, where that is installed; warnings about style are none of form."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: Debian's package is prometheus")
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape, capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    """As Grafana wants to import it."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
