"""`example`: what the help of each command ends with. It stands with its command."""

from __future__ import annotations


def example(line: str) -> str:
    r"""Return the end of a command's help: a line that somebody may copy.

    Example:
        >>> example("regctl models list")
        '\x08\nExample:\n  regctl models list'
    """
    # \b keeps the line as it is.
    return f"\b\nExample:\n  {line}"
