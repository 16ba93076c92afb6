"""What the documentation shows of files and messages is what their readers read."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from registry_core import declarations
from registry_core.access import load as load_access
from registry_core.gates import load_gates
from registry_core.wire import decode_request
from registry_core.wire.webhooks import CreateWebhook
from services.patroni import CLUSTER

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")])
_FENCE = re.compile(r"^ *```(toml|yaml|json)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

PARSERS = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}


def _access(path):
    """An access file, with its gates."""
    return load_access(path).policy, load_gates(path)


def _gates(path):
    """Gates alone, which stand in an access file."""
    (gate,) = load_gates(path)
    assert load_access(path).policy is not None
    return gate


def _webhook(path):
    """The body of a request."""
    return decode_request(CreateWebhook, json.loads(path.read_text()))


def _patroni(path):
    """What the nodes of the tests are set up with."""
    shown = yaml.safe_load(path.read_text())
    assert shown["bootstrap"]["dcs"] == CLUSTER
    return shown


def _policy(path):
    """What a bucket's users may do: the prefix of the objects is that of the list."""
    objects, listing = json.loads(path.read_text())["Statement"]
    bucket = listing["Resource"]
    assert objects["Resource"] == f"{bucket}/{listing['Condition']['StringLike']['s3:prefix']}"
    return objects


READERS = {
    ("docs/guides/access.md", "toml"): [_access],
    ("docs/guides/gates.md", "toml"): [_gates],
    ("docs/guides/high-availability.md", "yaml"): [_patroni],
    # The others are what a server sends.
    ("docs/guides/webhooks.md", "json"): [_webhook, None, None],
    ("docs/reference/regctl.md", "toml"): [declarations.load],
    ("docs/reference/s3-store.md", "json"): [_policy],
    ("docs/reference/writing-a-store.md", "toml"): [None],
    # What MLflow's server sends.
    ("docs/reference/wire-contract.md", "json"): [None] * 8,
}
"""What reads the blocks of a page beside the parser of their language, in their order."""


def _blocks():
    found = {}
    for page in PAGES:
        name = page.relative_to(ROOT).as_posix()
        for language, text in _FENCE.findall(page.read_text()):
            found.setdefault((name, language), []).append(text)
    return found


BLOCKS = [
    pytest.param(
        language,
        text,
        READERS.get((name, language), [])[number : number + 1],
        id=f"{name}:{language}:{number}",
    )
    for (name, language), texts in _blocks().items()
    for number, text in enumerate(texts)
]


@pytest.mark.parametrize(("language", "text", "reader"), BLOCKS)
def test_every_block_of_data_is_read(language, text, reader, tmp_path, monkeypatch):
    """By what reads the file or the message that it shows."""
    PARSERS[language](text)
    monkeypatch.setenv("CI_HOOK_SECRET", "a secret of the reader's")
    for read in filter(None, reader):
        path = tmp_path / f"shown.{language}"
        path.write_text(text)
        assert read(path)


def test_every_block_of_data_has_a_row():
    """A new one has to say here what reads it, and a row of what is gone has to go."""
    assert {key: len(texts) for key, texts in _blocks().items()} == {
        key: len(readers) for key, readers in READERS.items()
    }
