"""What a wrapper does not do itself is done by what it wraps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def forward(
    wrapper: object, inner: object, change: Callable[[str, Any], Any] = lambda _, value: value
) -> None:
    """Gives the wrapper the public attributes of `inner` that its class does not define.

    Really gives them: since Python 3.12 a protocol does not recognise what `__getattr__` makes up.
    `change` may replace a value; it is told the name.
    """
    for name in dir(inner):
        if not name.startswith("_") and not hasattr(type(wrapper), name):
            setattr(wrapper, name, change(name, getattr(inner, name)))
