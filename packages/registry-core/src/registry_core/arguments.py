"""The types of arguments, checked where people call: said once, by each method's own annotations.

Strategy: an argument of a type that its annotation names exactly passes after one look into a set,
which is what a server pays for a call. The looks are written out, one line for each argument, by
the first call of a method. Only another type is looked at closely: it is what somebody means by it
(one text in place of a sequence, a number of another library), or the call is refused with the
argument's name. What a legal value is, `registry_core.validation` says.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from registry_core import fields
from registry_core.errors import InvalidArgumentError

P = ParamSpec("P")
R = TypeVar("R")
ClassT = TypeVar("ClassT", bound=type)

SHOWN_LENGTH = 60
"""Characters of a wrong argument that an error repeats."""

CHECKED_BY_VALUE = frozenset({"version"})
"""Arguments whose type `validation` looks at with the value, since MLflow has a sentence for it."""


class _Refused(Exception):  # noqa: N818 never leaves this module
    """The value has not the type."""


class Rule(NamedTuple):
    """What an annotation accepts.

    `exact` are the types that pass as they are; `accept` returns what another value means, or
    raises `_Refused`; `phrase` is what people read.
    """

    exact: frozenset[type]
    accept: Callable[[Any], Any]
    phrase: str


def checked_methods(cls: ClassT) -> ClassT:
    """Have every public method of a class check the types of its arguments."""
    for name, member in list(vars(cls).items()):
        if not name.startswith("_") and inspect.isfunction(member):
            setattr(cls, name, checked(member))
    return cls


def checked(method: Callable[P, R]) -> Callable[P, R]:
    """Return the method with its arguments checked against its annotations.

    Raises:
        InvalidArgumentError: An argument has another type; the message names it.
    """
    if len(inspect.signature(method).parameters) == 1:  # only self
        return method
    # Written out by the first call: an import must not pay for all of them.
    written: Callable[..., R] | None = None

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        nonlocal written
        if written is None:
            written = functools.wraps(method)(_written_out(method))
            kind = type(args[0]) if args else None
            for owner in kind.__mro__ if kind else ():
                if owner.__dict__.get(method.__name__) is call:
                    setattr(owner, method.__name__, written)
        return written(*args, **kwargs)

    return call


def _written_out(method: Callable[..., R]) -> Callable[..., R]:
    """A function of the same parameters that looks at each, and then calls the method."""
    names: dict[str, Any] = {"_method": method, "_meant": _meant, "type": type}
    heads: list[str] = []
    passed: list[str] = []
    checks: list[str] = []
    rules = rules_of(method)
    is_named = False
    for name, parameter in inspect.signature(method).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not is_named:
            is_named = True
            heads.append("*")
        heads.append(name)
        if parameter.default is not parameter.empty:
            names[f"_default_{name}"] = parameter.default
            heads[-1] += f"=_default_{name}"
        passed.append(f"{name}={name}" if is_named else name)
        rule = rules.get(name, _ANYTHING)
        if rule is not _ANYTHING:
            names |= {f"_exact_{name}": rule.exact, f"_rule_{name}": rule}
            checks.append(
                f"    if type({name}) not in _exact_{name}:\n"
                f"        {name} = _meant('{name}', _rule_{name}, {name})\n"
            )
    head = f"def {method.__name__}({', '.join(heads)}):\n"
    body = f"{''.join(checks)}    return _method({', '.join(passed)})\n"
    return fields.define(head + body, **names)


def rules_of(method: Callable[..., Any]) -> dict[str, Rule]:
    """Return the rule of each argument of a method, `self` left out, in their order."""
    hints = typing.get_type_hints(method)
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    return {
        name: _ANYTHING if name in CHECKED_BY_VALUE else rule_of(hints.get(name, Any))
        for name in names
    }


def _meant(name: str, rule: Rule, value: Any) -> Any:
    try:
        return rule.accept(value)
    except _Refused as refusal:
        detail = str(refusal) or f"but it is {_described(value)}"
        raise InvalidArgumentError(f"'{name}' must be {rule.phrase}, {detail}.") from None


def _described(value: object) -> str:
    shown = repr(value)
    cut = shown if len(shown) <= SHOWN_LENGTH else f"{shown[:SHOWN_LENGTH]}..."
    return "None" if value is None else f"{cut} of type {type(value).__name__}"


def rule_of(hint: Any) -> Rule:
    """Return what an annotation accepts; one that says nothing at run time accepts everything."""
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    rule = _compound(hint, typing.get_origin(hint))
    if rule is not None:
        return rule
    kind = typing.get_origin(hint) or hint
    if not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return _ANYTHING
    return Rule(frozenset({kind}), _instance_of(kind), f"a {kind.__name__}")


def _compound(hint: Any, origin: Any) -> Rule | None:
    if origin in (typing.Union, types.UnionType):
        return _any_of([rule_of(part) for part in typing.get_args(hint)])
    if origin is typing.Literal:
        # Which words there are, the method says itself, in any case of letters where it may be.
        return _any_of([rule_of(kind) for kind in {type(each) for each in typing.get_args(hint)}])
    if origin in (collections.abc.Sequence, collections.abc.Iterable):
        return _sequence(rule_of(typing.get_args(hint)[0]))
    if origin is collections.abc.Mapping:
        return _mapping(*map(rule_of, typing.get_args(hint)))
    if origin is collections.abc.Callable or hint is collections.abc.Callable:
        return Rule(frozenset(), _instance_of(collections.abc.Callable), "callable")
    return None


def _instance_of(kind: Any) -> Callable[[Any], Any]:
    def accept(value: Any) -> Any:
        if isinstance(value, kind):
            return value
        raise _Refused

    return accept


def _text(value: Any) -> str:
    if isinstance(value, str):
        # Drivers and encoders look at the exact type: a member of an enumeration is a text here.
        return str.__str__(value)
    raise _Refused


def _whole(value: Any) -> int:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    raise _Refused


def _number(value: Any) -> Any:
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        return value
    raise _Refused


def _anything(value: Any) -> Any:
    return value


class _All(frozenset[type]):
    """Every type."""

    def __contains__(self, _: object) -> bool:
        return True


_ANYTHING = Rule(_All(), _anything, "anything")

_SIMPLE: Mapping[Any, Rule] = {
    Any: _ANYTHING,
    object: _ANYTHING,
    types.NoneType: Rule(frozenset({types.NoneType}), _instance_of(types.NoneType), "None"),
    str: Rule(frozenset({str}), _text, "a text"),
    int: Rule(frozenset({int}), _whole, "a whole number"),
    float: Rule(frozenset({float, int}), _number, "a number"),
    bool: Rule(frozenset({bool}), _instance_of(bool), "True or False"),
}


def _any_of(rules: list[Rule]) -> Rule:
    def accept(value: Any) -> Any:
        for rule in rules:
            if type(value) in rule.exact:
                return value
        for rule in rules:
            try:
                return rule.accept(value)
            except _Refused as refusal:
                if str(refusal):  # it was the right container, of wrong things
                    raise
        raise _Refused

    if any(rule is _ANYTHING for rule in rules):
        return _ANYTHING
    exact = frozenset[type]().union(*(rule.exact for rule in rules))
    return Rule(exact, accept, _either([rule.phrase for rule in rules]))


def _either(phrases: list[str]) -> str:
    if "a number" in phrases and "a whole number" in phrases:
        phrases = [phrase for phrase in phrases if phrase != "a whole number"]
    *first, last = phrases
    # "or" of a part would else run on into this one.
    between = "; or " if last == "None" and any(" or " in each for each in first) else " or "
    return f"{', '.join(first)}{between}{last}" if first else last


def _sequence(element: Rule) -> Rule:
    def accept(value: Any) -> Any:
        if isinstance(value, str):
            value = (value,)  # one text, and not its letters
        if not isinstance(value, Iterable) or isinstance(value, bytes | bytearray | Mapping):
            raise _Refused
        return tuple(_part(element, each) for each in value)

    alone = f"{element.phrase}, or " if str in element.exact else ""
    return Rule(frozenset(), accept, f"{alone}a sequence of which each is {element.phrase}")


def _mapping(key: Rule, item: Rule) -> Rule:
    def accept(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _Refused
        return {_part(key, each): _part(item, value[each], of=each) for each in value}

    return Rule(frozenset(), accept, f"a mapping from {key.phrase} to {item.phrase}")


def _part(rule: Rule, value: Any, *, of: object = None) -> Any:
    if type(value) in rule.exact:
        return value
    try:
        return rule.accept(value)
    except _Refused as refusal:
        where = "" if of is None else f" under {of!r}"
        raise _Refused(str(refusal) or f"but it has {_described(value)}{where}") from None
