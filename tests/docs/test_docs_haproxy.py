"""The proxies of `docs/guides/high-availability.md` are those that the tests run."""

import re
import subprocess
from pathlib import Path

import pytest

from chaos import cluster
from services import patroni
from services.haproxy import program

PAGE = (Path(__file__).parents[2] / "docs/guides/high-availability.md").read_text()
_BACKEND = re.compile(r"^```text\n(backend (\w+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = {name: block for block, name in _BACKEND.findall(PAGE)}
RUN = {"leader": patroni._before([]), "servers": cluster._FRONT}


def _settings(configuration):
    """The lines that say how a proxy works, and not where its servers are."""
    lines = {line.strip() for line in configuration.splitlines()}
    return {line for line in lines if not line.startswith(("backend ", "server "))}


@pytest.mark.parametrize("name", RUN)
def test_settings_of_a_backend_are_those_that_are_run(name):
    """Every line of it."""
    assert _settings(SHOWN[name]) - _settings(RUN[name]) == set()


@pytest.mark.parametrize("name", RUN)
def test_haproxy_takes_the_backends_as_they_are_shown(name, tmp_path):
    """Below what any configuration has."""
    mode = {"leader": "tcp", "servers": "http"}[name]
    timeouts = [f"timeout {each} 5s" for each in ("connect", "client", "server")]
    path = tmp_path / "haproxy.cfg"
    frontend = ["frontend all", "bind 127.0.0.1:1", f"default_backend {name}"]
    path.write_text("\n".join(["defaults", f"mode {mode}", *timeouts, *frontend, SHOWN[name]]))
    done = subprocess.run(
        [program(), "-c", "-f", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
