"""The `regctl` command."""

from __future__ import annotations

import io
import sys
import textwrap
import traceback
from typing import Any

import click

import registry_core
from registry_cli import output
from registry_cli.errors import ExitCode, exit_code, message
from registry_cli.examples import example
from registry_cli.groups import Lazy, LazyGroup
from registry_cli.options import artifacts_option, gates_option, output_option, store_option
from registry_cli.session import Session


class Regctl(LazyGroup):
    """A group whose commands end in one of `ExitCode`, and never in a traceback unless asked."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Return the context of an invocation; complaints about options are escaped."""
        try:
            return super().make_context(*args, **kwargs)
        except click.ClickException as error:
            raise output.EscapedError(error) from error

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what it raises becomes a message on stderr and an exit code."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except click.exceptions.Exit:
            raise
        except click.ClickException as error:
            raise output.EscapedError(error) from error
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, click.Abort) and not _interrupted(error):
                raise
            code = _report(error, ctx.find_object(Session))
            output.flush_or_abandon()
            raise click.exceptions.Exit(code) from error
        return result


def _report(error: BaseException, session: Session | None) -> ExitCode:
    if _interrupted(error):
        if isinstance(error, registry_core.PushInterrupted):
            output.notice(str(error))
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    if session is not None and session.show_traceback:
        output.block(textwrap.indent(traceback.format_exc(), "  "))
    output.error(message(error))
    return exit_code(error)


def _interrupted(error: BaseException) -> bool:
    # Click turns Ctrl-C at a question into Abort, as it does a refusal.
    return isinstance(error, KeyboardInterrupt) or (
        isinstance(error, click.Abort) and isinstance(error.__context__, KeyboardInterrupt)
    )


@click.group(
    "regctl",
    cls=Regctl,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example("regctl --store sqlite:///registry.db models list"),
)
@store_option
@artifacts_option
@output_option
@gates_option
@click.option("--traceback", "show_traceback", is_flag=True, help="Show where an error came from.")
@click.version_option(package_name="registry-cli", prog_name="regctl")
@click.pass_context
def regctl(
    ctx: click.Context,
    *,
    store: str | None,
    artifacts: str | None,
    gates: str | None,
    output: str | None,
    show_traceback: bool,
) -> None:
    """Read and change a registry of machine-learning models.

    The registry may be a SQLite file, a PostgreSQL database, a bucket or an
    MLflow-compatible server; its URL says which.

    Results go to stdout, everything else to stderr.
    """
    ctx.obj = Session(
        store=store,
        artifacts=artifacts,
        gates=gates,
        output=output or "table",
        show_traceback=show_traceback,
    )


regctl.lazy = {
    "access": Lazy("access:access", "Who may do what: the access file of a server."),
    "activity": Lazy(
        "history:activity", "Show what was done to all registered models, newest first."
    ),
    "apply": Lazy(
        "applying:apply", "Make registered models and webhooks what a file says they are."
    ),
    "approvals": Lazy(
        "approvals:approvals", "Approvals of model versions, and what gates say of them."
    ),
    "artifacts": Lazy(
        "artifacts:artifacts", "The files of model versions, kept below the artifact root."
    ),
    "copy": Lazy(
        "moves:copy", "Copy registered models and prompts from one registry into another."
    ),
    "db": Lazy("db:db", "The schema of a registry kept in a SQL database."),
    "diff": Lazy("moves:diff", "Show where two registries differ; exits with 1 if they do."),
    "events": Lazy("events:events", "Changes of registered models, as they happen."),
    "export": Lazy(
        "moves:export", "Write all registered models and prompts into a file, history included."
    ),
    "history": Lazy(
        "history:history", "Show who changed a registered model, when, why, and from what to what."
    ),
    "import": Lazy(
        "moves:import_", "Write the registered models of an exported file into the registry."
    ),
    "models": Lazy("models:models", "Registered models, their tags and their aliases."),
    "prompts": Lazy(
        "prompts:prompts", "Prompts and their versions, as MLflow's clients keep them."
    ),
    "store": Lazy(
        "store:store", "What a registry keeps: metadata, and the files of model versions."
    ),
    "versions": Lazy("versions:versions", "Model versions, their stages and their tags."),
    "webhooks": Lazy(
        "webhooks:webhooks",
        "Webhooks, their queued deliveries and their dead letters.",
    ),
}
"""The commands by name: where each is, and the first sentence of its help."""


def main() -> None:
    """Run `regctl` on the process's arguments and exit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal's encoding lacks must not fail the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    regctl(prog_name="regctl")
