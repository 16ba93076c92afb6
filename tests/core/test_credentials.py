"""Credentials: what a header can carry is sent, and nothing of what it cannot is repeated."""

from __future__ import annotations

import base64
import traceback

import pytest

from registry_core.credentials import basic_authorization, bearer_authorization, check_token
from registry_core.errors import BackendError

UNFIT = ["hunter2\r\nX-Evil: 1", "hun\nter2", "hunter2\x00", "hunter2\x7f", "\x1b[31mhunter2", "hunter2\x85x", "hunter2\ud800"]  # fmt: skip
"""Control characters, and what is no character at all."""


def decoded(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(rest).decode()


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_line_break_that_ends_a_file_is_no_part_of_it(end: str) -> None:
    """`$(cat file)` drops it, an orchestrator's secret does not."""
    assert decoded(basic_authorization(f"ann{end}", f" p w {end}", origin="x")) == "ann: p w "
    assert bearer_authorization(f" tok{end}", origin="x") == "Bearer tok"


def test_any_language_may_be_spoken_in_a_password() -> None:
    """It is sent as UTF-8 (RFC 7617)."""
    assert decoded(basic_authorization("ånn", "wört…🔑:", origin="x")) == "ånn:wört…🔑:"


@pytest.mark.parametrize(
    "use",
    [
        lambda text: basic_authorization(text, "p", origin="HERE"),
        lambda text: basic_authorization("ann", text, origin="HERE"),
        lambda text: bearer_authorization(text, origin="HERE"),
        lambda text: check_token(text, what="HERE"),
    ],
    ids=["user", "password", "token", "key"],
)
@pytest.mark.parametrize("unfit", UNFIT)
def test_what_no_header_carries_is_refused_and_not_repeated(use, unfit: str) -> None:
    """The error names the place and the character, in its traceback too."""
    with pytest.raises(BackendError, match=r"HERE.*cannot be sent") as caught:
        use(unfit)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown.replace(repr(unfit), "")
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize("unfit", ["hunter 2", "hünter2", "hunter2…", "hunter2\n"])
def test_token_is_printable_ascii(unfit: str) -> None:
    """The library below would say which character of the whole does not fit."""
    with pytest.raises(BackendError, match="cannot be sent") as caught:
        check_token(unfit, what="The key")
    assert "unter" not in str(caught.value)


def test_name_with_a_colon_is_refused() -> None:
    """It would become another name, with another password."""
    with pytest.raises(BackendError, match="a ':' would end it"):
        basic_authorization("a:b", "p", origin="x")
