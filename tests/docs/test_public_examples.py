"""Every public name of the library has an example in its docstring, and every example runs."""

import doctest
import inspect
from datetime import UTC, datetime

import pytest

import registry_core
from registry_core import Registry, open_registry
from registry_core.calls.prompts import Prompts

CLASSES = {"Registry": Registry, "Prompts": Prompts}
FOR_ADAPTERS = ("begin_adoption", "files", "files_of", "finish_adoption", "guarded_files")
"""What the server and regctl use of a registry, and nobody else needs."""


def _methods():
    for name, cls in CLASSES.items():
        for attribute, value in inspect.getmembers(cls):
            is_call = inspect.isfunction(value) or isinstance(value, property)
            if is_call and not attribute.startswith("_") and attribute not in FOR_ADAPTERS:
                yield pytest.param(value, id=f"{name}.{attribute}")


def _names():
    for name in registry_core.__all__:
        value = getattr(registry_core, name)
        is_error = inspect.isclass(value) and issubclass(value, BaseException)
        if not is_error and not inspect.ismodule(value):
            yield pytest.param(value, id=name)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """What the examples talk about: a registry with a few versions, and another one."""
    monkeypatch.chdir(tmp_path)
    model_dir = tmp_path / "model_dir"
    model_dir.mkdir()
    (model_dir / "weights.txt").write_text("0.1\n")
    with (
        open_registry("memory:", artifacts=str(tmp_path / "root")) as registry,
        open_registry("memory:") as elsewhere,
    ):
        registry.create_registered_model("churn", tags={"team": "risk"})
        registry.create_model_version("churn", source="s3://models/churn/1")
        registry.create_model_version("churn", source="s3://models/churn/2", tags={"auc": "0.93"})
        registry.push_model_version("churn", model_dir)
        registry.set_registered_model_alias("churn", "champion", 1, reason="first")
        registry.set_registered_model_alias("churn", "champion", 2, reason="AUC 0.93")
        registry.prompts.create("greeting", "Hello {{name}}!")
        registry.prompts.set_alias("greeting", "live", 1)
        names = {name: getattr(registry_core, name) for name in registry_core.__all__}
        times = {"datetime": datetime, "UTC": UTC}
        yield {**names, **times, "registry": registry, "elsewhere": elsewhere}


@pytest.mark.parametrize("value", [*_names(), *_methods()])
def test_example_runs(value, world):
    """The docstring shows how it is used, and what comes back."""
    docstring = inspect.getdoc(value) or ""
    parsed = doctest.DocTestParser().get_doctest(docstring, world, str(value), None, 0)
    assert parsed.examples, "its docstring has no example"
    failures = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(parsed, out=failures.append)
    assert not failures, "\n".join(failures)
