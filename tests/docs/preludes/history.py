"""A model whose champion `ben` has set and `ann` has moved, long enough ago for a pruning."""

from contextlib import closing
from itertools import count

from registry_core import Registry
from registry_core.stores.sql import open_store

MINUTES = count(1_731_571_200_000, 60_000)
"""Each change is a minute after the one before, on a day of November 2024."""

with closing(open_store("sqlite:///registry.db", clock=lambda: next(MINUTES))) as store:
    registry = Registry(store)
    registry.create_registered_model("churn", tags={"frozen": "ann"})
    for version in range(1, 6):
        registry.create_model_version("churn", source=f"s3://models/churn/{version}")
    ben = registry.acting_as("ben", reason="first release")
    ben.set_registered_model_alias("churn", "champion", 5)
    for version in range(6, 9):
        registry.create_model_version("churn", source=f"s3://models/churn/{version}")
    registry.transition_model_version_stage("churn", 7, stage="Staging")
    ann = registry.acting_as("ann", reason="AUC 0.91 on the holdout")
    ann.set_registered_model_alias("churn", "champion", 7)
