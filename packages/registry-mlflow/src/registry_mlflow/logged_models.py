"""Models that MLflow tracks, as sources of model versions: `models:/m-<id>`.

Only who tracks a model knows where its files are and which run has made it. MLflow's own store asks
when a version is created, and so does this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from registry_core import sources, uris


@attrs.frozen(kw_only=True)
class Origin:
    """What is known of the source of a version to create."""

    source: str
    """As it was given."""
    model: Any = None
    """MLflow's `LoggedModel`; None where the source is none, or nobody knows it here."""

    @property
    def run_id(self) -> str | None:
        """The run that has made the logged model."""
        return None if self.model is None else self.model.source_run_id

    def files(self, local_model_path: str | None) -> str:
        """Return what to upload: the logged model's directory on this disk, else the source.

        Args:
            local_model_path: Where the caller still has the files, if it does.
        """
        if not sources.is_logged_model(self.source):
            return self.source
        for candidate in (local_model_path, getattr(self.model, "artifact_location", None)):
            if candidate and sources.is_local(candidate):
                path = sources.local_path(candidate)
                if path.is_dir():
                    return Path(path).absolute().as_uri()
        return self.source


def origin_of(
    source: str, model_id: str | None, tracking_uri: str | None, *, is_server: bool
) -> Origin:
    """Return what is known of a source, having asked the tracking server if it is a model.

    A model that the server does not know is not an error: a client that loads it may know where.

    Args:
        source: As it was given.
        model_id: Of the logged model that the source comes from.
        tracking_uri: Of the client that registers it.
        is_server: The tracking is then that of this process.
    """
    if sources.is_logged_model(source):
        model_id = source.partition("/")[2]
    elif uris.is_model_uri(source):
        # A version of the registry's own, from which the ids are inherited.
        model_id = None
    if not model_id:
        return Origin(source=source)
    client = MlflowClient() if is_server else MlflowClient(tracking_uri=tracking_uri)
    try:
        return Origin(source=source, model=client.get_logged_model(model_id))
    except MlflowException:
        return Origin(source=source)
