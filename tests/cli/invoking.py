"""Running regctl in the tests' own process, on a store that outlives each command."""

from __future__ import annotations

import json
from typing import Any

import attrs
from click.testing import CliRunner, Result

from registry_cli.main import regctl


@attrs.frozen
class Regctl:
    """`regctl` on one store."""

    store: str

    def run(self, *arguments: str, text: str | None = None) -> Result:
        """The outcome of a command, whatever it is."""
        command = ["--store", self.store, *arguments]
        return CliRunner().invoke(regctl, command, input=text, prog_name="regctl")

    def ok(self, *arguments: str) -> str:
        """The stdout of a command that must succeed and say nothing else."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stderr) == (0, ""), result.stderr
        return result.stdout

    def done(self, *arguments: str) -> str:
        """The stdout of a command that must succeed, whatever it says beside it."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def says(self, *arguments: str) -> str:
        """The notice of a command that must succeed and print no result."""
        result = self.run(*arguments)
        assert (result.exit_code, result.stdout) == (0, ""), result.stderr
        return result.stderr

    def json(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.ok("-o", "json", *arguments))

    def names(self, *arguments: str) -> list[str]:
        """The names that a command prints, one to a line."""
        return self.ok("-o", "name", *arguments).splitlines()
