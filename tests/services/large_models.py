"""A registered model with as many versions as a test asks for."""

from __future__ import annotations

from registry_core import ModelVersion, open_registry
from registry_core.snapshots import ModelSnapshot, model_of


def large_model(versions: int) -> ModelSnapshot:
    """A model with so many versions, as a registry without a history has it."""
    tags = {"auc": "0.91", "git": "0" * 40}
    listed = [
        ModelVersion(
            name="large",
            version=number,
            creation_timestamp=number,
            last_updated_timestamp=number,
            source=f"s3://bucket/large/{number}",
            run_id="0" * 32,
            tags=tags,
        )
        for number in range(1, versions + 1)
    ]
    with open_registry("memory:") as registry:
        model = registry.create_registered_model("large")
    return model_of(model, listed, next_version=versions + 1)
