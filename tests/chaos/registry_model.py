"""What a few registered models do, as a specification for the checker: small, pure, its own words.

It shares nothing with the code under test. A state is a tuple of `(name, model)`, a model is
`(next version, versions, aliases, tags)`, a version `(number, run id, stage, tags)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

BIRTH_TAG = "t"
"""A tag that a model is created with, that no other model has, and that nobody changes."""

EMPTY: tuple[Any, ...] = ()

VALUES = {"create_model": 1, "create_version": 1, "set_tag": 2, "set_version_tag": 2}
"""Which argument of a call is a text that reads show once it has taken effect."""

WITHOUT_OTHER_EFFECT = frozenset({"set_tag", "set_version_tag"})
"""Calls that change nothing but what reads show of that text: no other call's outcome depends on it."""

NOT_FOUND = "not found"
EXISTS = "already exists"
DONE = "done"


READS = frozenset({"get", "get_versions", "get_by_alias", "find"})


def is_idle(name: str, outcome: Any) -> bool:
    """Whether a call with this outcome has changed nothing, whenever it happened."""
    return name in READS or outcome in (NOT_FOUND, EXISTS)


@attrs.frozen(cache_hash=True)
class Model:
    """One registered model."""

    next_version: int = 1
    versions: tuple[tuple[int, str, str, tuple[tuple[str, str], ...]], ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()


def apply(state: tuple[Any, ...], name: str, arguments: tuple[Any, ...]) -> tuple[Any, Any]:
    """The outcome of a call, and the state after it."""
    return _CALLS[name](dict(state), *arguments)


def _create_model(models: dict[str, Model], name: str, tag: str) -> tuple[Any, Any]:
    if name in models:
        return EXISTS, _state(models)
    return DONE, _state({**models, name: Model(tags=((BIRTH_TAG, tag),))})


def _rename(models: dict[str, Model], name: str, new_name: str) -> tuple[Any, Any]:
    if name not in models:
        return NOT_FOUND, _state(models)
    if new_name in models:
        return EXISTS, _state(models)
    rest = {key: model for key, model in models.items() if key != name}
    return DONE, _state({**rest, new_name: models[name]})


def _delete_model(models: dict[str, Model], name: str) -> tuple[Any, Any]:
    if name not in models:
        return NOT_FOUND, _state(models)
    return DONE, _state({key: model for key, model in models.items() if key != name})


def _create_version(models: dict[str, Model], name: str, run_id: str) -> tuple[Any, Any]:
    if name not in models:
        return NOT_FOUND, _state(models)
    model = models[name]
    number = model.next_version
    after = attrs.evolve(
        model,
        next_version=number + 1,
        versions=(*model.versions, (number, run_id, "None", ())),
    )
    return number, _state({**models, name: after})


def _delete_version(models: dict[str, Model], name: str, number: int) -> tuple[Any, Any]:
    def change(model: Model) -> Model:
        return attrs.evolve(
            model,
            versions=tuple(v for v in model.versions if v[0] != number),
            aliases=tuple(pair for pair in model.aliases if pair[1] != number),
        )

    return _on_version(models, name, number, change)


def _transition(models: dict[str, Model], name: str, number: int, stage: str) -> tuple[Any, Any]:
    def moved(version: Any) -> Any:
        if version[0] == number:
            return (*version[:2], stage, version[3])
        return (*version[:2], "Archived", version[3]) if version[2] == stage else version

    def change(model: Model) -> Model:
        return attrs.evolve(model, versions=tuple(map(moved, model.versions)))

    return _on_version(models, name, number, change)


def _set_alias(models: dict[str, Model], name: str, alias: str, number: int) -> tuple[Any, Any]:
    def change(model: Model) -> Model:
        return attrs.evolve(model, aliases=_with(model.aliases, alias, number))

    return _on_version(models, name, number, change)


def _set_version_tag(
    models: dict[str, Model], name: str, number: int, value: str
) -> tuple[Any, Any]:
    def tagged(version: Any) -> Any:
        return (*version[:3], (("t", value),)) if version[0] == number else version

    def change(model: Model) -> Model:
        return attrs.evolve(model, versions=tuple(map(tagged, model.versions)))

    return _on_version(models, name, number, change)


def _set_tag(models: dict[str, Model], name: str, key: str, value: str) -> tuple[Any, Any]:
    if name not in models:
        return NOT_FOUND, _state(models)
    after = attrs.evolve(models[name], tags=_with(models[name].tags, key, value))
    return DONE, _state({**models, name: after})


def _get(models: dict[str, Model], name: str) -> tuple[Any, Any]:
    return (view(models[name]) if name in models else NOT_FOUND), _state(models)


def _get_versions(models: dict[str, Model], name: str) -> tuple[Any, Any]:
    return (models[name].versions if name in models else ()), _state(models)


def _get_by_alias(models: dict[str, Model], name: str, alias: str) -> tuple[Any, Any]:
    aliases = dict(models[name].aliases) if name in models else {}
    return aliases.get(alias, NOT_FOUND), _state(models)


def _find(models: dict[str, Model], born: str) -> tuple[Any, Any]:
    """The model that was created with this tag, under whatever name it has now."""
    for name, model in models.items():
        if dict(model.tags)[BIRTH_TAG] == born:
            return (name, view(model)), _state(models)
    return NOT_FOUND, _state(models)


def view(model: Model) -> Any:
    """What a read of the whole model shows: tags, aliases, and the newest version per stage."""
    newest = {version[2]: version for version in model.versions}
    return model.tags, model.aliases, tuple(newest[stage] for stage in sorted(newest))


def _on_version(
    models: dict[str, Model], name: str, number: int, change: Callable[[Model], Model]
) -> tuple[Any, Any]:
    if name not in models or number not in {version[0] for version in models[name].versions}:
        return NOT_FOUND, _state(models)
    return DONE, _state({**models, name: change(models[name])})


def _with(pairs: tuple[tuple[str, Any], ...], key: str, value: Any) -> tuple[Any, ...]:
    return tuple(sorted({**dict(pairs), key: value}.items()))


def _state(models: dict[str, Model]) -> tuple[Any, ...]:
    return tuple(sorted(models.items(), key=lambda item: item[0]))


_CALLS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "create_model": _create_model,
    "rename": _rename,
    "delete_model": _delete_model,
    "create_version": _create_version,
    "delete_version": _delete_version,
    "transition": _transition,
    "set_alias": _set_alias,
    "set_version_tag": _set_version_tag,
    "set_tag": _set_tag,
    "get": _get,
    "get_versions": _get_versions,
    "get_by_alias": _get_by_alias,
    "find": _find,
}
