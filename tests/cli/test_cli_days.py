"""Three users' days, typed into a real shell on terminals of three widths."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest

from registry_cli.tables import display_width
from services.launchers import launchers
from services.shells import COMMANDS, Shell


class Typed(NamedTuple):
    """A line, what it shows, and how it ends. `fits`: nothing of it is wider than the terminal."""

    line: str
    shows: tuple[str, ...] = ()
    code: int = 0
    fits: bool = False


def _typed(line: str, *shows: str, code: int = 0, fits: bool = False) -> Typed:
    return Typed(line, shows, code, fits)


ENGINEER = [
    _typed("regctl models list", "There is no registry at sqlite:///registry.db", code=3),
    _typed("regctl models create churn --tag team=risk", "Made a new registry", "team=risk"),
    _typed("regctl models push churn ./model", "churn", "READY"),
    _typed("regctl models push churn ./model --if-changed", "nothing was pushed"),
    _typed("echo more >> model/weights"),
    _typed('regctl models push churn ./model --description "with May" --alias challenger', "100%"),
    _typed("regctl models alias churn champion 1", "champion: nothing -> 1"),
    _typed("regctl models list", "NAME", "churn", fits=True),
    _typed("regctl versions list churn", "VERSION", "READY", fits=True),
    _typed("regctl versions get churn@challenger", "with May"),
    _typed("regctl versions diff churn@champion churn@challenger", "description", fits=True),
    _typed("regctl versions tag churn@challenger auc=0.91", "Set tag 'auc' of models:/churn/2."),
    _typed("regctl versions list --filter \"tags.auc = '0.91'\" -o name", "models:/churn/2"),
    _typed("regctl models list --filter \"naem = 'x'\"", "naem = 'x'\n  ^^^^", code=2),
    _typed("regctl models alias churn champion churn@challenger --if-current 1", "1 -> 2"),
    _typed("regctl models alias churn champion 1 --if-current 1", "champion", code=5),
    _typed("regctl history churn --alias champion", "champion", "set_alias", fits=True),
    _typed("regctl models rollback churn --alias champion --reason slow", "put back to 1"),
    _typed("regctl models pull churn@champion -o out && cat out/weights", "100%", "weights"),
    _typed("regctl models pull churn@nobody -o out", "nobody not found", code=3),
]
"""From the first command in an empty folder to a rollback."""

PLATFORM = [
    _typed("registry-server --version", "registry-server, version"),
    _typed("registry-server --prot 80", "Error: No such option '--prot'", "--port", code=2),
    _typed("regctl --version", "regctl, version"),
    _typed(
        "export REGISTRY_STORE=registry.db; regctl models list",
        "mean sqlite:///registry.db",
        code=2,
    ),
    _typed("export REGISTRY_STORE=sqlite:///new/r.db; regctl db upgrade", "does not exist", code=2),
    _typed("export REGISTRY_STORE=sqlite:///registry.db; regctl db upgrade", "at revision"),
    _typed("regctl db current", "current", "head"),
    _typed("regctl apply -f registry.toml --check", "models:/churn", "SUBJECT", code=8, fits=True),
    _typed("regctl apply -f registry.toml", "changes: 5"),
    _typed("regctl apply -f registry.toml --check", "is what the file says"),
    _typed("regctl webhooks list", "ACTIVE", fits=True),
    _typed(
        "regctl versions create churn s3://b/churn/1 --idempotency-key build-1", "s3://b/churn/1"
    ),
    _typed("regctl versions create churn s3://b/churn/1 --idempotency-key build-1", "version"),
    _typed("regctl activity --since 1d --limit 3", "churn", fits=True),
    _typed("regctl store fsck", "clean: yes", fits=True),
    _typed("regctl export backup.jsonl.gz", "Exported 2 models"),
    _typed(
        "regctl --store sqlite:///two.db import backup.jsonl.gz", "Made a new registry", "2 models"
    ),
    _typed("regctl diff sqlite:///registry.db sqlite:///two.db --no-webhooks"),
    _typed("regctl copy sqlite:///registry.db sqlite:///two.db --dry-run", "Would be: 2 models"),
    _typed("regctl models delete churn --yes; regctl models restore churn", "Deleted", "churn"),
]
"""Setting up, models as code, checks, backups."""

TEAM = [
    _typed("regctl models list", "NAME", fits=True),
    _typed("regctl models create 'demand forecast'", "demand forecast"),
    _typed("regctl models push churn ./model --create --alias champion", "READY"),
    _typed("regctl models push churn ./model --create", "READY"),
    _typed("regctl models list -o name | sort | head -1", "churn"),
    _typed("regctl versions list churn", "churn", fits=True),
    _typed("regctl versions get churn/2 -o name", "models:/churn/2"),
    _typed("regctl versions tag churn/2 note='50 % of 模型'", "Set tag 'note' of models:/churn/2."),
    _typed("regctl versions list --filter \"tags.note LIKE '50 %'\" -o name", "models:/churn/2"),
    _typed(
        "regctl versions tag --filter \"name = 'churn'\" seen=yes --dry-run",
        "2 model versions",
        fits=True,
    ),
    _typed("regctl versions tag --filter \"name = 'churn'\" seen=yes", "Set seen=yes of 2"),
    _typed("regctl artifacts list churn@champion", "weights", fits=True),
    _typed("regctl artifacts verify churn@champion", "digest"),
    _typed("regctl models pull churn@champion -o pulled", "pulled"),
    _typed("regctl versions transition churn 2 production", "Production"),
    _typed("regctl versions latest churn", "Production", fits=True),
    _typed("regctl versions get churn/9", "not found", code=3),
    _typed("regctl models rename 'demand forecast' demand", "demand"),
    _typed("regctl versions delete churn/1 < /dev/null", "pass --yes", code=2),
    _typed("regctl models delete demand --yes", "Deleted registered model 'demand'."),
]
"""A bucket, names with blanks and letters of elsewhere, pipes."""

DAYS = {"engineer": ENGINEER, "platform": PLATFORM, "team": TEAM}

GATE = {("engineer", "bash", 60), ("platform", "zsh", 80), ("team", "bash", 200)}
"""One shell and one width for each user in the gate; `-m long` has the rest."""

CASES = [
    pytest.param(*case, marks=() if case in GATE else pytest.mark.long, id="-".join(map(str, case)))
    for case in product(DAYS, COMMANDS, (60, 80, 200))
]

FILE = """
[models.churn]
description = "who leaves"
tags = { team = "risk" }

[models.fraud]

[webhooks.ci]
url = "https://1.1.1.1/hook"
events = ["model_version.created"]
"""


@pytest.fixture
def programs() -> Iterator[Path]:
    """Where the shell finds ours; near the root, since the address of a socket must be short."""
    with tempfile.TemporaryDirectory() as directory, launchers(Path(directory)) as programs:
        yield programs


def _environment(programs: Path, store: str | None) -> dict[str, str]:
    environment = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment |= {"HISTFILE": "", "LC_ALL": "C.UTF-8", "REGISTRY_STORE": store or ""}
    return environment


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("weights\n" * 10_000)
    (tmp_path / "registry.toml").write_text(FILE)
    return tmp_path


@pytest.mark.parametrize(("user", "shell", "columns"), CASES)
def test_a_day_at_a_terminal(
    user: str,
    shell: str,
    columns: int,
    *,
    folder: Path,
    programs: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Each command ends as it should, shows what it should, and fits."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (Debian's package {shell})")
    store = request.getfixturevalue("s3_url") if user == "team" else None
    day = DAYS[user]
    assert len(day) == 20
    environment = _environment(programs, store)
    with Shell(shell, columns=columns, directory=folder, environment=environment) as typed:
        for step in day:
            code, shown = typed.run(step.line)
            assert code == step.code, (step.line, shown)
            assert "Traceback" not in shown, (step.line, shown)
            for wanted in step.shows:
                assert wanted in shown, (step.line, shown)
            # A bar is drawn again on its line, after a carriage return.
            drawn = [part for line in shown.splitlines() for part in line.split("\r")]
            for line in drawn:
                # What is a table or a bar has columns; a notice is wrapped by the terminal.
                is_bar = "[" in line and "%" in line
                if is_bar or (step.fits and "  " in line.strip()):
                    assert display_width(_plain(line)) <= columns, (step.line, line)


def _plain(line: str) -> str:
    """Without what shows and hides the cursor."""
    return line.replace("\x1b[?25l", "").replace("\x1b[?25h", "").replace("\x1b[K", "")


@pytest.mark.parametrize("shell", ["bash", pytest.param("zsh", marks=pytest.mark.long)])
def test_tab_completes_an_alias(shell: str, folder: Path, programs: Path) -> None:
    """By the script that the docs name, in the shell's own line editor."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed (Debian's package {shell})")
    environment = _environment(programs, "sqlite:///registry.db")
    with Shell(
        shell, columns=120, directory=folder, environment=environment, is_edited=True
    ) as typed:
        typed.run("regctl models create churn > /dev/null 2>&1")
        typed.run("regctl versions create churn s3://b/1 > /dev/null")
        typed.run("regctl models alias churn champion 1 2> /dev/null")
        if shell == "zsh":
            typed.run("autoload -Uz compinit && compinit -u")
        else:
            # Bash would take what is before them for a word of its own.
            typed.run("COMP_WORDBREAKS=${COMP_WORDBREAKS//[@:]/}")
        code, _ = typed.run(f'eval "$(_REGCTL_COMPLETE={shell}_source regctl)"')
        assert code == 0
        assert typed.type_until("regctl versions get churn@\t", "churn@champion")
