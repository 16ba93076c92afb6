"""What the documentation shows, exists and works."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import registry_core
from registry_cli.main import regctl
from registry_core import errors as errors_module
from registry_server.process import arguments, hashing, settings
from services import forking

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")])
ABOVE = sorted({*ROOT.glob("*.md"), *ROOT.glob("changes/README.md")} - {*PAGES})
"""Pages for those who work on it, which link to others, and show nothing to be run."""
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]+\]\(([^)#:]+)(?:#[^)]*)?\)")


PLAYED = {ROOT / "README.md", *ROOT.glob("docs/get-started/*.md")}
"""Pages whose blocks belong together; `test_pages_played` types them one after the other."""


def _blocks(language):
    return [
        pytest.param(code, id=f"{page.relative_to(ROOT)}:{number}")
        for page in PAGES
        if page not in PLAYED
        for number, (found, code) in enumerate(_FENCE.findall(page.read_text()))
        if found == language
    ]


@pytest.mark.parametrize("page", [*PAGES, *ABOVE], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_page(page):
    """A page that is named is there."""
    missing = [
        link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()
    ]
    assert not missing


@pytest.mark.parametrize("page", [*PAGES, *ABOVE], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_is_there(page):
    """Of the repository or of a package: a path that was moved misleads those who work on it."""
    named = re.findall(
        r"`((?:docs|examples|packages|registry_\w+|tests)/[\w./-]+)`", page.read_text()
    )
    missing = [
        path
        for path in named
        if not any((*ROOT.glob(path.rstrip("/")), *ROOT.glob(f"packages/*/src/{path}")))
    ]
    assert not missing


def test_every_public_name_has_a_place_in_the_reference():
    """The Python API's page, or an error, which stands there with its module."""
    page = (ROOT / "docs/reference/python-api.md").read_text()
    public = {name: getattr(registry_core, name) for name in registry_core.__all__}
    errors = {name for name in public if hasattr(errors_module, name)}
    shown = set(re.findall(r"auto\w+:: (?:[\w.]+\.)?(\w+)$", page, re.MULTILINE))
    assert public.keys() - errors - shown == set()


def test_every_picture_is_there_and_all_are_small():
    """Whoever clones the repository gets them; `nox -s screenshots` takes them."""
    shown = {
        (page.parent / picture).resolve()
        for page in PAGES
        for picture in re.findall(r'src(?:set)?="([^":]+)"', page.read_text())
    }
    taken = {*ROOT.glob("docs/images/*.png")}
    assert {picture for picture in shown if picture.suffix == ".png"} == taken
    assert sum(picture.stat().st_size for picture in taken) <= 600_000


@pytest.mark.parametrize("code", _blocks("python"))
def test_every_python_block_runs(code, tmp_path):
    """What a newcomer pastes, works."""
    done = forking.run(forking.CODE, code, directory=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("code", _blocks("console"))
def test_every_command_exists(code):
    """The commands and flags in the text are the real ones."""
    for line in code.splitlines():
        words = line.removeprefix("$ ").split()
        if line.startswith("$ regctl "):
            shown = _help_of_regctl(words[1:])
        elif line.startswith("$ registry-server"):
            shown = _help_of_server() + _help_of_hash()
        else:
            continue
        for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert flag in shown, f"{flag} of: {line}"


@pytest.mark.parametrize("option", settings.OPTIONS, ids=lambda option: option.field)
def test_every_setting_of_the_server_is_in_a_guide(option):
    """By its flag or a variable."""
    guides = "\n".join(page.read_text() for page in ROOT.glob("docs/guides/*.md"))
    names = [option.flag, *option.variables]
    assert any(re.search(rf"`{name}\b(?!-)", guides) for name in names)


def _help_of_hash():
    command = hashing.command()
    return command.get_help(click.Context(command))


def _help_of_server():
    return arguments.command().get_help(click.Context(arguments.command()))


def _help_of_regctl(words):
    """The help of every group and command that a line names."""
    group, shown = regctl, ""
    path = []
    for word in words:
        command = _command(group, word)
        if command is not None:
            path.append(word)
            shown += _help(path[:-1])
            group = command
    assert path, f"no command in: {words}"
    return shown + _help(path)


def _command(group, word):
    """A command of a group, which may load it only now."""
    if not isinstance(group, click.Group):
        return None
    return group.get_command(click.Context(group, info_name="regctl"), word)


def _help(path):
    done = CliRunner().invoke(regctl, [*path, "--help"])
    assert done.exit_code == 0, done.output
    return done.output
