"""The import contracts leave out no module."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "packages/registry-server/src/registry_server"


def test_layers_of_the_server_have_every_module_once():
    """Those of its rooms are exhaustive by themselves; this is the list across rooms."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (across,) = (one for one in contracts["contracts"] if one["name"] == "server layers")
    stated = [name for layer in across["layers"] for name in layer.split(" | ")]
    assert len(stated) == len(set(stated))
    there = {
        ".".join(("registry_server", *path.relative_to(SERVER).with_suffix("").parts))
        for path in SERVER.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {module for module in there if not covers(module, stated)} == set()
    assert {name for name in stated if not any(covers(module, [name]) for module in there)} == set()


def test_each_room_of_the_server_has_a_contract_of_its_own():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    exhaustive = {
        container
        for contract in contracts["contracts"]
        if contract.get("exhaustive")
        for container in contract["containers"]
    }
    rooms = {f"registry_server.{path.parent.name}" for path in SERVER.glob("*/__init__.py")}
    assert rooms
    assert rooms <= exhaustive


def covers(module, stated):
    return any(module == name or module.startswith(f"{name}.") for name in stated)
