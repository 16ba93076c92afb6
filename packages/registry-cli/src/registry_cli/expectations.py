"""`--if-current` and `--if-absent`: the options of commands that compare before they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import click

from registry_cli.output import notice

CommandT = TypeVar("CommandT", bound=Callable[..., Any])

SHOWN_CHARACTERS = 200
"""Characters of a tag that a notice repeats. A tag may hold the whole text of a prompt."""


class Expectation:
    """What something has to be for a command to change it; None for absent."""

    def __init__(self, value: Any = None, *, is_given: bool = True) -> None:
        self.value = value
        self.is_given = is_given

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments that say so to the registry; none if the user expects nothing."""
        return {"expected": self.value} if self.is_given else {}

    def require_one(self, things: Sequence[object]) -> None:
        """Refuse an expectation about several things at once."""
        if self.is_given and len(things) > 1:
            raise click.UsageError("--if-current and --if-absent are about one tag.")

    def tell(self, what: str, after: str | int | None) -> None:
        """Say what was changed, as far as the user has said what it was before."""
        if self.is_given:
            tell_change(what, self.value, after)

    def tell_all(self, text: str) -> None:
        """Say what was done, if the user has not said what it was before."""
        if not self.is_given:
            notice(text)


def tags_of(keys: Iterable[str]) -> str:
    """Return the tags by their keys, in a sentence."""
    listed = [f"'{key}'" for key in keys]
    return f"{'tag' if len(listed) == 1 else 'tags'} {', '.join(listed)}"


def tell_change(what: str, before: str | int | None, after: str | int | None) -> None:
    """Say on stderr what was changed."""
    notice(f"{what}: {_shown(before)} -> {_shown(after)}")


def _shown(value: str | int | None) -> str:
    if value is None:
        return "nothing"
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def _expects(
    what: str, *, metavar: str, kind: Any = str, may_be_absent: bool = True
) -> Callable[[CommandT], CommandT]:
    """The options about `what`; the command gets an `Expectation` as `expected`."""

    def decorate(command: CommandT) -> CommandT:
        @wraps(command)
        def expecting(
            *arguments: Any, if_current: Any, if_absent: bool = False, **options: Any
        ) -> Any:
            if if_absent and if_current is not None:
                raise click.UsageError("--if-current and --if-absent exclude each other.")
            expected = Expectation(if_current, is_given=if_absent or if_current is not None)
            return command(*arguments, expected=expected, **options)

        made: Any = expecting
        if may_be_absent:
            absent = f"Only if the {what} does not exist yet."
            made = click.option("--if-absent", is_flag=True, help=absent)(made)
        current = _CURRENT[what]
        made = click.option("--if-current", type=kind, metavar=metavar, help=current)(made)
        return cast("CommandT", made)

    return decorate


_CURRENT = {
    "alias": "Only if the alias points at this version now.",
    "tag": "Only if this is the tag's value now.",
    "stage": "Only if the version is in this stage now.",
}

_VERSION = click.IntRange(min=1)

expects_version = _expects("alias", metavar="VERSION", kind=_VERSION)
"""Where an alias that is set has to point now."""

expects_some_version = _expects("alias", metavar="VERSION", kind=_VERSION, may_be_absent=False)
"""Where an alias that is removed has to point now."""

expects_value = _expects("tag", metavar="VALUE")
"""What a tag that is set has to be now."""

expects_some_value = _expects("tag", metavar="VALUE", may_be_absent=False)
"""What a tag that is removed has to be now."""

expects_stage = _expects("stage", metavar="STAGE", may_be_absent=False)
"""The stage in which a version has to be now."""
