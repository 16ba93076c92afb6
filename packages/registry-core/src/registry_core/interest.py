"""Whether a caller still waits for a call: how a store learns that it may give up long work.

Strategy: a client that hangs up cannot reach the thread that works for it. So the code that hands a
call to a thread leaves a question there, and a store asks it now and then in the middle of what may
take seconds.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


class _Questions(threading.local):
    is_wanted: Callable[[], bool] | None = None


_questions = _Questions()


def is_wanted() -> bool:
    """Return whether a caller still waits for the result of what this thread does."""
    question = _questions.is_wanted
    return question is None or question()


@contextlib.contextmanager
def wanted_while(question: Callable[[], bool]) -> Iterator[None]:
    """Has what this thread does in the block wanted only as long as the question says so."""
    _questions.is_wanted = question
    try:
        yield
    finally:
        _questions.is_wanted = None
