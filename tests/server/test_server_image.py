"""The container image and the compose file: what they start, read from the files themselves.

No container engine is needed: the command and the environment of the image are given to the code
that the command runs.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from registry_server.process.arguments import from_arguments
from registry_server.process.command import StartError, _check_exposure

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def started(environment):
    """The settings with which the image starts in this environment of its operator."""
    (command,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "registry-server"
    return from_arguments(arguments, {**own_environment(), **environment})


def own_environment():
    """What the image itself sets."""
    lines = re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def test_image_does_not_start_open_to_the_world():
    """It listens on every address; its operator has to say who may call, or that anybody may."""
    with pytest.raises(
        StartError, match=r"REGISTRY_ACCESS_FILE.*REGISTRY_ALLOW_UNAUTHENTICATED=true"
    ):
        _check_exposure(started({}))


@pytest.mark.parametrize(
    "environment",
    [
        {"REGISTRY_ACCESS_FILE": "/run/secrets/access.toml"},
        {"REGISTRY_AUTH_FILE": "/run/secrets/users"},
        {"REGISTRY_ALLOW_UNAUTHENTICATED": "true"},
        {"HOST": "127.0.0.1"},
    ],
)
def test_image_starts_as_its_operator_says(environment):
    """By environment alone."""
    _check_exposure(started(environment))


def test_image_has_every_extra():
    """A setting that the image cannot obey would be found out in production."""
    project = tomllib.loads((ROOT / "packages/registry-core/pyproject.toml").read_text())
    extras = set(project["project"]["optional-dependencies"]) - {"testing"}
    (installed,) = re.findall(r"registry-core\[([^]]+)\]", DOCKERFILE)
    assert set(installed.split(",")) == extras


def test_compose_publishes_on_this_machine_alone():
    """A port without an address is published on all of them, past the machine's firewall."""
    for service in COMPOSE["services"].values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_compose_starts_what_the_image_would_refuse():
    """In words, where nobody else can call."""
    service = COMPOSE["services"]["registry"]
    settings = started(service["environment"])
    _check_exposure(settings)
    assert settings.allow_unauthenticated
    assert service["ports"]
