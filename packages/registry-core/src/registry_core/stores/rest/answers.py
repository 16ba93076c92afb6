"""The entities in the answers of a server, made complete."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from registry_core import wire
from registry_core.models import Approval, ModelVersion, RegisteredModel, Stage
from registry_core.wire.approvals import decode_approval

_STAGES = tuple(Stage)


def model_of(answer: wire.Json) -> RegisteredModel:
    """Return the registered model in an answer."""
    return complete(wire.decode_registered_model(answer.get("registered_model")))


def version_of(answer: wire.Json) -> ModelVersion:
    """Return the model version in an answer."""
    return wire.decode_model_version(answer.get("model_version"))


def approval_of(answer: wire.Json) -> Approval:
    """Return the approval in an answer."""
    return decode_approval(answer.get("approval"))[1]


def complete(model: RegisteredModel) -> RegisteredModel:
    """Return the model with its latest versions in order and with their aliases.

    MLflow's have neither.
    """
    latest = sorted(model.latest_versions, key=lambda item: _STAGES.index(item.current_stage))
    return attrs.evolve(
        model, latest_versions=tuple(aliased(version, model.aliases) for version in latest)
    )


def aliased(version: ModelVersion, aliases: Mapping[str, int]) -> ModelVersion:
    """Return the version with those of its model's aliases that point at it."""
    names = sorted(alias for alias, number in aliases.items() if number == version.version)
    return attrs.evolve(version, aliases=tuple(names))
