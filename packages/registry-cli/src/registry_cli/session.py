"""What the options of one invocation amount to."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import click

import registry_core
from registry_cli.output import OUTPUTS, Output, route_logs

if TYPE_CHECKING:
    from registry_core import Registry

PAGE_SIZE = 1_000
"""Rows that a list reads at a time: the most that MLflow's search of models gives."""


class Session:
    """The stores and the output that the user chose; the registry is opened on first use."""

    def __init__(
        self,
        *,
        store: str | None,
        output: str,
        show_traceback: bool,
        artifacts: str | None = None,
    ) -> None:
        self.store = store
        self.artifacts = artifacts
        self.reason: str | None = None
        self.output_format = output
        self.show_traceback = show_traceback

    @property
    def output(self) -> Output:
        """Shows results in the format that was asked for."""
        return OUTPUTS[self.output_format]()

    @property
    def store_url(self) -> str:
        """The store that was asked for, or the one of the environment, or the default."""
        return registry_core.store_url(self.store)

    @cached_property
    def registry(self) -> Registry:
        """The registry, closed when the command ends."""
        route_logs()
        registry = registry_core.open_registry(self.store, artifacts=self.artifacts)
        click.get_current_context().find_root().call_on_close(registry.close)
        return registry.acting_as(reason=self.reason, origin=registry_core.Origin.REGCTL)


pass_session = click.make_pass_decorator(Session)
