"""The calls of the chaos runs, made over HTTP; see `calls` for the same on a store.

The words are those of the specification. An attempt is one request: whoever tries again makes
another call, for a server may have carried out both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chaos.calls import NOTHING
from chaos.linearizability import UNKNOWN
from chaos.registry_model import DONE, EXISTS, NOT_FOUND
from services.wire_client import Response, WireClient

_MODELS = "/registered-models"
_VERSIONS = "/model-versions"
_ALIASES = "/registered-models/alias"


def attempt(client: WireClient, family: str, name: str, arguments: tuple[Any, ...]) -> Any:
    """The outcome of one request, as the specification words it.

    Any answer that a registry should not give is an outcome that the specification does not know.
    """
    request, outcome = _CALLS[name]
    try:
        answer = request(client, family, *arguments)
    except ConnectionRefusedError:
        return NOTHING
    except OSError:
        return UNKNOWN
    if answer.status == 200:
        return outcome(answer.json)
    failure = (answer.status, answer.error_code)
    return _FAILURES.get(failure, ("unexpected", *failure))


_FAILURES: Mapping[tuple[int, str | None], Any] = {
    (404, "RESOURCE_DOES_NOT_EXIST"): NOT_FOUND,
    # An alias that is not there, as MLflow has it; all arguments of the runs are valid.
    (400, "INVALID_PARAMETER_VALUE"): NOT_FOUND,
    (400, "RESOURCE_ALREADY_EXISTS"): EXISTS,
    (409, "ABORTED"): NOTHING,
    (429, "RESOURCE_EXHAUSTED"): NOTHING,
    (503, "TEMPORARILY_UNAVAILABLE"): UNKNOWN,
    # A proxy's own answers: what it has sent on, it does not know either.
    (502, None): UNKNOWN,
    (503, None): UNKNOWN,
    (504, None): UNKNOWN,
}


def _done(_: Any) -> str:
    return DONE


def _tags(entity: Any) -> Any:
    return tuple(sorted((tag["key"], tag["value"]) for tag in entity.get("tags", ())))


def _version(version: Any) -> Any:
    number, stage = int(version["version"]), version["current_stage"]
    return number, version["run_id"], stage, _tags(version)


def _view(model: Any) -> Any:
    latest = sorted(model.get("latest_versions", ()), key=lambda one: one["current_stage"])
    aliases = sorted((one["alias"], int(one["version"])) for one in model.get("aliases", ()))
    return _tags(model), tuple(aliases), tuple(_version(version) for version in latest)


def _listed(found: Any) -> Any:
    return tuple((model["name"], _view(model)) for model in found.get("registered_models", ()))


def _numbered(number: int) -> dict[str, str]:
    return {"version": str(number)}


_CALLS: Mapping[str, tuple[Callable[..., Response], Callable[[Any], Any]]] = {
    "create_model": (
        lambda c, _, m, tag: c.post(f"{_MODELS}/create", name=m, tags=[{"key": "t", "value": tag}]),
        _done,
    ),
    "rename": (lambda c, _, m, new: c.post(f"{_MODELS}/rename", name=m, new_name=new), _done),
    "delete_model": (lambda c, _, m: c.delete(f"{_MODELS}/delete", name=m), _done),
    "create_version": (
        lambda c, _, m, run: c.post(f"{_VERSIONS}/create", name=m, source="s3://b/p", run_id=run),
        lambda found: int(found["model_version"]["version"]),
    ),
    "delete_version": (
        lambda c, _, m, n: c.delete(f"{_VERSIONS}/delete", name=m, **_numbered(n)),
        _done,
    ),
    "transition": (
        lambda c, _, m, n, stage: c.post(
            f"{_VERSIONS}/transition-stage",
            name=m,
            **_numbered(n),
            stage=stage,
            archive_existing_versions=True,
        ),
        _done,
    ),
    "set_alias": (
        lambda c, _, m, alias, n: c.post(_ALIASES, name=m, alias=alias, **_numbered(n)),
        _done,
    ),
    "set_version_tag": (
        lambda c, _, m, n, value: c.post(
            f"{_VERSIONS}/set-tag", name=m, **_numbered(n), key="t", value=value
        ),
        _done,
    ),
    "set_tag": (
        lambda c, _, m, key, value: c.post(f"{_MODELS}/set-tag", name=m, key=key, value=value),
        _done,
    ),
    "get": (
        lambda c, _, m: c.get(f"{_MODELS}/get", name=m),
        lambda found: _view(found["registered_model"]),
    ),
    "get_versions": (
        lambda c, _, m: c.get(
            f"{_VERSIONS}/search",
            filter=f"name = '{m}'",
            order_by="version_number ASC",
            max_results="1000",
        ),
        lambda found: tuple(_version(version) for version in found.get("model_versions", ())),
    ),
    "get_by_alias": (
        lambda c, _, m, alias: c.get(_ALIASES, name=m, alias=alias),
        lambda found: int(found["model_version"]["version"]),
    ),
    "list": (
        lambda c, family: c.get(f"{_MODELS}/search", filter=f"name LIKE '{family}-%'"),
        _listed,
    ),
}
