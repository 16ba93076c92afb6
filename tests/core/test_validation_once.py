"""A call checks each name, alias, key and value that it is given once, whatever the store."""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from registry_core import Registry, validation
from registry_core.stores.memory import MemoryStore

CHECKS = ("model_name", "alias", "tag_key", "tag_value", "version")
"""The functions that look at one word each; all others call them."""


@pytest.fixture
def counted():
    """How often each function looked at each value, whoever called it and by whatever name."""
    looks = Counter()
    codes = {getattr(validation, name).__code__: name for name in CHECKS}

    def profile(frame, event, _):
        if event == "call" and frame.f_code in codes:
            looks[codes[frame.f_code], str(frame.f_locals["value"])] += 1

    sys.setprofile(profile)
    yield looks
    sys.setprofile(None)


@pytest.fixture
def registry():
    made = Registry(MemoryStore())
    made.create_registered_model("m")
    made.create_model_version("m", source="s3://b/p")
    made.set_registered_model_alias("m", "a", 1)
    return made


CALLS = {
    "create model": lambda r: r.create_registered_model("n", tags={"k": "v"}),
    "get model": lambda r: r.get_registered_model("m"),
    "update model": lambda r: r.update_registered_model("m", description="d"),
    "rename model": lambda r: r.rename_registered_model("m", new_name="n"),
    "delete model": lambda r: r.delete_registered_model("m"),
    "latest versions": lambda r: r.get_latest_versions("m"),
    "create version": lambda r: r.create_model_version("m", source="s3://b/p", tags={"k": "v"}),
    "create from a version": lambda r: r.create_model_version("n", source="models:/m/1"),
    "create from an alias": lambda r: r.create_model_version("n", source="models:/m@a"),
    "create from a stage": lambda r: r.create_model_version("n", source="models:/m/None"),
    "get version": lambda r: r.get_model_version("m", 1),
    "resolve a version": lambda r: r.resolve("models:/m/1"),
    "resolve an alias": lambda r: r.resolve("models:/m@a"),
    "resolve a stage": lambda r: r.resolve("models:/m/None"),
    "resolve the latest": lambda r: r.resolve("models:/m/latest"),
    "update version": lambda r: r.update_model_version("m", 1, description="d"),
    "transition": lambda r: r.transition_model_version_stage("m", 1, stage="Staging"),
    "delete version": lambda r: r.delete_model_version("m", 1),
    "download URI": lambda r: r.get_model_version_download_uri("m", 1),
    "set alias": lambda r: r.set_registered_model_alias("m", "b", 1),
    "get by alias": lambda r: r.get_model_version_by_alias("m", "a"),
    "get by latest": lambda r: r.get_model_version_by_alias("m", "latest"),
    "delete alias": lambda r: r.delete_registered_model_alias("m", "a"),
    "set model tag": lambda r: r.set_registered_model_tag("m", "k", "v"),
    "delete model tag": lambda r: r.delete_registered_model_tag("m", "k"),
    "set version tag": lambda r: r.set_model_version_tag("m", 1, "k", "v"),
    "delete version tag": lambda r: r.delete_model_version_tag("m", 1, "k"),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_checks_each_value_once(counted, registry, call):
    if call in (
        CALLS["create from a version"],
        CALLS["create from an alias"],
        CALLS["create from a stage"],
    ):
        registry.create_registered_model("n")
    counted.clear()
    call(registry)
    assert {value for kind, value in counted if kind == "model_name"}
    assert {key: looks for key, looks in counted.items() if looks > 1} == {}
