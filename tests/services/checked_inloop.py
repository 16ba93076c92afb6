"""Tests whose calls in an event loop are checked against the rules of `inloop`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest import mock

import pytest

from registry_core import inloop


@pytest.fixture(scope="module")
def checked_inloop() -> Iterator[None]:
    """The rules are checked, here and in the servers that a test starts."""
    with mock.patch.dict(os.environ, {inloop.DEBUG_VARIABLE: "1"}), inloop.debugging():
        yield
