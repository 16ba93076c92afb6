"""`constraints.txt` has a release of everything that the packages need, and no address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_constraints_name_a_release_of_every_requirement():
    """The plug-in's alone are MLflow's, which its users have already."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[^ @:/]+( ; .+)?", line) for line in pinned), pinned
    names = {line.partition("==")[0] for line in pinned}
    required = {
        name
        for package in ("registry-core", "registry-server", "registry-cli")
        for name in requirements(package)
        if not name.startswith("registry-")
    }
    assert required - {"pytest", "hypothesis"} <= names


def requirements(package):
    """The names of what a package requires, extras included."""
    project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    return {re.match(r"[A-Za-z0-9-]+", each)[0].lower() for group in groups for each in group}
