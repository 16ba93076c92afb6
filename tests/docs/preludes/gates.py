"""Version 7 of `churn`: an hour old, with files, and with one tag of the two that the gate asks for."""

import time
from contextlib import closing
from pathlib import Path

from registry_core import Registry
from registry_core.backends import open_artifacts
from registry_core.stores.sql import open_store

HOUR_AGO = round((time.time() - 3600) * 1000)

Path("model").mkdir()
Path("model/MLmodel").write_text("flavors: {}\n")
root = open_artifacts(Path("registry-artifacts").resolve().as_uri())
with closing(open_store("sqlite:///registry.db", clock=lambda: HOUR_AGO)) as store:
    registry = Registry(store, artifacts=root).acting_as("ann")
    registry.create_registered_model("churn")
    for version in range(1, 7):
        registry.create_model_version("churn", source=f"s3://models/churn/{version}")
    registry.push_model_version("churn", "model", tags={"reviewed": "2026-11-25"})
