"""What every distribution says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
SAME = ("version", "requires-python", "license", "license-files", "classifiers", "keywords")
"""What is the same for all of them."""


def project(package: Path) -> dict[str, object]:
    return tomllib.loads((package / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_distribution_brings_what_the_others_bring(package: Path) -> None:
    """The license, its text, a page, and what an index sorts by."""
    said, others = project(package), project(ROOT / "packages" / "registry-core")
    assert {key: said.get(key) for key in SAME} == {key: others[key] for key in SAME}
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (package / str(said["readme"])).is_file()
    assert said["name"] == package.name
