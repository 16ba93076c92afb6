"""What the options of one invocation amount to."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

import registry_core
from registry_cli.output import OUTPUTS, Output, notice, route_logs

if TYPE_CHECKING:
    from registry_core import Registry

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

PAGE_SIZE = 1_000
"""Rows that a list reads at a time: the most that MLflow's search of models gives."""


ACCESS_FILE = "REGISTRY_ACCESS_FILE"
"""The environment variable that names the access file, as for a server."""

_HOW_TO_GO_ON = (
    "Name another one with --store or REGISTRY_STORE, or make one here: "
    "`regctl models create NAME`, or `regctl db upgrade`"
)


class Session:
    """The stores and the output that the user chose; the registry is opened on first use."""

    def __init__(
        self,
        *,
        store: str | None,
        output: str,
        show_traceback: bool,
        artifacts: str | None = None,
        gates: str | None = None,
    ) -> None:
        self.store = store
        self.artifacts = artifacts
        self.gates = gates
        self.reason: str | None = None
        self.output_format = output
        self.show_traceback = show_traceback
        self.may_create = False
        """Whether the command makes a registry that does not exist yet."""

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
        registry = self.opened(self.store_url, artifacts=self.artifacts)
        click.get_current_context().find_root().call_on_close(registry.close)
        self._set_gates(registry)
        return registry.acting_as(reason=self.reason, origin=registry_core.Origin.REGCTL)

    def _set_gates(self, registry: Registry) -> None:
        """Put the gates of the access file in force that was named, if any was."""
        is_served = self.store_url.startswith(("http:", "https:"))
        if is_served and self.gates is not None:
            raise click.UsageError("--gates is for a store of one's own: a server has its gates.")
        path = self.gates or os.environ.get(ACCESS_FILE)
        if path and not is_served:
            from registry_core.gates import load_gates  # noqa: PLC0415 few commands have gates

            registry.gates.replace(load_gates(path))

    def opened(self, url: str, *, artifacts: str | None = None) -> Registry:
        """Return the registry at a URL.

        One that is not there is made by a command that makes things.

        Raises:
            StoreNotFoundError: There is none, and the command only looks or changes.
        """
        try:
            return registry_core.open_registry(url, artifacts=artifacts, create=False)
        except registry_core.StoreNotFoundError as error:
            if not self.may_create:
                raise registry_core.StoreNotFoundError(f"{error}. {_HOW_TO_GO_ON}") from None
        registry = registry_core.open_registry(url, artifacts=artifacts)
        notice(f"Made a new registry: {repr(registry).partition(' ')[2].rstrip('>')}")
        return registry


pass_session = click.make_pass_decorator(Session)


def makes_registry(command: CommandT) -> CommandT:
    """Let a command make a registry that does not exist yet; below `pass_session`."""

    @wraps(command)
    def call(session: Session, *args: Any, **options: Any) -> Any:
        session.may_create = True
        return command(session, *args, **options)

    return cast("CommandT", call)
