"""`NameScope`: the registered models that somebody may see, as patterns of their names.

A pattern is a whole name with `*` for any run of characters and `?` for any one; nothing else has a
meaning in it. Searches carry a scope, and every store applies it to the rows before it cuts a page.

Strategy: most patterns are whole names or a literal beginning with one `*` behind it. Those are
found in a set and by bisection, whatever their number; the others are one regular expression that
cannot backtrack.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from fnmatch import translate
from functools import cached_property

import attrs

PATTERN_MAX_LENGTH = 256
"""Characters of a pattern: no name is longer. One that is could only match what cannot exist."""

_WILDCARD = re.compile(r"[*?]")


def is_exact(pattern: str) -> bool:
    """Return whether a pattern is the one name that it matches."""
    return _WILDCARD.search(pattern) is None


def prefix_of(pattern: str) -> str | None:
    """Return the text that all names begin with that a pattern matches, if that is all of it."""
    head, rest = pattern[:-1], pattern[-1:]
    return head if rest == "*" and is_exact(head) else None


def regex_of(pattern: str) -> str:
    """Return the regular expression of a pattern, which matches whole names."""
    # `fnmatch` takes brackets for sets of characters.
    return translate(pattern.replace("[", "[[]"))


def like_of(pattern: str) -> str:
    r"""Return the pattern of SQL's `LIKE … ESCAPE '\'` that matches the same names."""
    escaped = re.sub(r"[%_\\]", r"\\\g<0>", pattern)
    return escaped.replace("*", "%").replace("?", "_")


@attrs.frozen(slots=False, cache_hash=True)
class NameScope:
    """A set of names by patterns. All of its parts are sorted, and have nothing twice."""

    names: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    """None of them begins another one."""
    globs: tuple[str, ...] = ()
    """Patterns that are neither a name nor a prefix."""

    @classmethod
    def of(cls, patterns: Iterable[str]) -> NameScope:
        """Return the names that any of the patterns matches."""
        names, prefixes, globs = set[str](), set[str](), set[str]()
        for pattern in patterns:
            prefix = prefix_of(pattern)
            if prefix is not None:
                prefixes.add(prefix)
            else:
                (names if is_exact(pattern) else globs).add(pattern)
        return cls(tuple(sorted(names)), tuple(minimal(prefixes)), tuple(sorted(globs)))

    @property
    def is_everything(self) -> bool:
        """Whether every name is in it."""
        return self.prefixes == ("",)

    def __contains__(self, name: str) -> bool:
        """Whether a name is in it."""
        if name in self._names or begins_with(name, self.prefixes) is not None:
            return True
        return self._regex is not None and self._regex.match(name) is not None

    @cached_property
    def digest(self) -> str:
        """Tells this scope from others, in every process."""
        text = repr((self.names, self.prefixes, self.globs)).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, digest_size=12).hexdigest()

    @cached_property
    def likes(self) -> tuple[str, ...]:
        """The prefixes and globs as patterns of LIKE."""
        return tuple(like_of(f"{prefix}*") for prefix in self.prefixes) + tuple(
            map(like_of, self.globs)
        )

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.names)

    @cached_property
    def _regex(self) -> re.Pattern[str] | None:
        return re.compile("|".join(map(regex_of, self.globs))) if self.globs else None


def minimal(prefixes: Iterable[str]) -> Iterator[str]:
    """Yield, sorted, the prefixes that no other one begins."""
    last: str | None = None
    for prefix in sorted(prefixes):
        if last is None or not prefix.startswith(last):
            yield prefix
            last = prefix


def begins_with(name: str, prefixes: tuple[str, ...]) -> int | None:
    """Return the place of the prefix that a name begins with, of sorted ones as `minimal` gives."""
    # Whatever lies between a prefix of the name and the name begins with that prefix, too.
    place = bisect_right(prefixes, name) - 1
    return place if place >= 0 and name.startswith(prefixes[place]) else None
