"""The acceptance table: which call of MLflow's client works on which store, as the tests saw it.

A test says with `@pytest.mark.covers(...)` which calls it is about and makes them through a
`Recorded` client; a test that does not make a call it names fails. `pytest -m "" tests/acceptance
--write-acceptance docs/evidence/acceptance.md` writes what happened as a table, also under xdist;
without `-m ""`, what the gate leaves out would be missing in it.
"""

from __future__ import annotations

import inspect
import re
import time
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest

STORES = {
    "sqlite": "SQLite",
    "postgresql": "PostgreSQL",
    "s3": "S3",
    "mlflow": "MLflow 3.17.2",
}
"""Every store that the tests run on, and its column; the last is the reference itself."""

CLIENT = "MlflowClient"

CALLS = tuple(
    [f"{CLIENT}.{name}" for name in (
        "create_registered_model", "get_registered_model", "update_registered_model",
        "rename_registered_model", "delete_registered_model", "search_registered_models",
        "get_latest_versions", "set_registered_model_tag", "delete_registered_model_tag",
        "set_registered_model_alias", "delete_registered_model_alias",
        "get_model_version_by_alias", "create_model_version", "copy_model_version",
        "get_model_version", "update_model_version", "delete_model_version",
        "transition_model_version_stage", "get_model_version_stages",
        "get_model_version_download_uri", "search_model_versions", "set_model_version_tag",
        "delete_model_version_tag", "create_webhook", "get_webhook", "list_webhooks",
        "update_webhook", "delete_webhook", "test_webhook", "register_prompt", "load_prompt",
        "search_prompts", "search_prompt_versions", "create_prompt", "create_prompt_version",
        "get_prompt", "get_prompt_version", "get_prompt_version_by_alias", "set_prompt_alias",
        "delete_prompt_alias", "set_prompt_tag", "delete_prompt_tag", "set_prompt_version_tag",
        "delete_prompt_version_tag", "delete_prompt", "delete_prompt_version",
        "list_logged_prompts", "detach_prompt_from_run",
    )]
    + [f"mlflow.{name}" for name in (
        "register_model", "search_registered_models", "search_model_versions",
        "set_model_version_tag", "sklearn.log_model", "pyfunc.load_model", "sklearn.load_model",
        "artifacts.download_artifacts", "artifacts.list_artifacts", "models.get_model_info",
        "register_prompt", "load_prompt", "search_prompts", "set_prompt_alias",
        "delete_prompt_alias", "genai.register_prompt", "genai.load_prompt",
        "genai.search_prompts", "genai.set_prompt_alias", "genai.delete_prompt_alias",
        "genai.get_prompt_tags", "genai.set_prompt_tag", "genai.delete_prompt_tag",
        "genai.set_prompt_version_tag", "genai.delete_prompt_version_tag",
        "genai.set_prompt_model_config", "genai.delete_prompt_model_config",
    )]
)  # fmt: skip
"""Every registry call of the 3.17.2 client that a registry serves (contract 9)."""

PASSED, FAILED = "✓", "✗"

_HEADER = """\
# Acceptance: MLflow's own client on every store

Written by the tests: `uv run --dev pytest -m "" tests/acceptance --write-acceptance docs/evidence/acceptance.md`.
Each row is a call of the MLflow 3.17.2 Python client, made over a socket against a server process
with that store, its results compared in depth. The last column is MLflow's own server, which the
same tests must pass: that is what makes them a fair measure. `-` means no test makes the call
there; the reason is in the test.
"""


class Recorded:
    """Passes everything on to `target` and notes the dotted name of each call."""

    def __init__(self, target: object, name: str, made: set[str]) -> None:
        self._target = target
        self._name = name
        self._made = made

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._target, attribute)
        name = f"{self._name}.{attribute}"
        if inspect.ismodule(value):
            return Recorded(value, name, self._made)
        # `mlflow` loads its flavours on first use.
        if not callable(value) or isinstance(value, type):
            if isinstance(value, types.ModuleType) or type(value).__name__ == "LazyLoader":
                return Recorded(value, name, self._made)
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            self._made.add(name)
            return value(*args, **kwargs)

        return call


def declared(item: pytest.Item) -> set[str]:
    """The calls that a test says it covers."""
    return {call for marker in item.iter_markers("covers") for call in marker.args}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--write-acceptance`."""
    parser.addoption(
        "--write-acceptance", type=Path, metavar="PATH", help="write the acceptance table there"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker and, where results arrive, the table."""
    config.addinivalue_line("markers", "covers(*calls): the client's calls that a test is about")
    path = config.getoption("--write-acceptance")
    if path is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Table(path))


@attrs.define(eq=False)
class _Table:
    path: Path
    outcomes: dict[tuple[str, str], bool] = attrs.field(factory=dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        for call in properties.get("calls", ()):
            key = (call, properties["store"])
            self.outcomes[key] = self.outcomes.get(key, True) and report.passed

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(render(self.outcomes))


def render(outcomes: dict[tuple[str, str], bool]) -> str:
    """The table of outcomes as Markdown."""
    rows = [_row(["call", *STORES.values()]), _row(["---"] * (len(STORES) + 1))]
    for call in CALLS:
        cells = [_cell(outcomes.get((call, store))) for store in STORES]
        rows.append(_row([f"`{call}`", *cells]))
    return "\n".join([_HEADER, *rows, ""])


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """The cells of a written table, by call, with its header as the call named ``call``."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0].strip("`"): tuple(cells[1:]) for cells in lines if cells[0] != "---"}


def _cell(outcome: bool | None) -> str:
    return "-" if outcome is None else PASSED if outcome else FAILED


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def failure(code: str, message: str | re.Pattern[str]) -> pytest.RaisesExc[Exception]:
    """What a call raises when the server answers with that code and exactly that message.

    A pattern need only be found in the message, where MLflow appends something of its own. The
    client puts the code before a server's message, and not before those of its own checks.
    """
    from mlflow.exceptions import MlflowException

    if isinstance(message, re.Pattern):
        return pytest.raises(
            MlflowException, match=message, check=lambda error: error.error_code == code
        )
    return pytest.raises(
        MlflowException,
        match=f"^({code}: )?{re.escape(message)}$",
        check=lambda error: error.error_code == code,
    )


def invalid(message: str | re.Pattern[str]) -> pytest.RaisesExc[Exception]:
    """What a call raises when an argument breaks a rule."""
    return failure("INVALID_PARAMETER_VALUE", message)


def missing(parameter: str) -> pytest.RaisesExc[Exception]:
    """What a call raises when a required parameter is empty."""
    return invalid(
        f"Missing value for required parameter '{parameter}'. See the API docs for more "
        "information about request parameters."
    )


def no_model(name: str) -> pytest.RaisesExc[Exception]:
    """What a call raises when the registered model does not exist."""
    return failure("RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found")


def no_version(name: str, version: object) -> pytest.RaisesExc[Exception]:
    """What a call raises when the model version does not exist."""
    return failure(
        "RESOURCE_DOES_NOT_EXIST", f"Model Version (name={name}, version={version}) not found"
    )


def wait_for_later_time() -> None:
    """Return when what is written from now on has a later time than what was written before.

    Times are milliseconds, and a store may write more than once in one.
    """
    before = _milliseconds()
    while _milliseconds() == before:
        time.sleep(0.0002)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
