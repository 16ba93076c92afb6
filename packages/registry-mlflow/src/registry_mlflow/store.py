"""`RegistryStore`: a registry of ours behind the interface that MLflow has for registry stores.

Every method translates its arguments, makes one call of `Registry`, and translates the result. What
MLflow makes of such calls itself, as prompts and copies of versions, it inherits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.store.entities.paged_list import PagedList
from mlflow.store.model_registry.abstract_store import AbstractStore

from registry_core import Registry, open_registry
from registry_core.models import StageName
from registry_core.validation import DEFAULT_PAGE_SIZE, MODEL_VERSIONS_MAX_RESULTS
from registry_mlflow import entities, logged_models
from registry_mlflow.artifacts import SCHEME_PREFIX
from registry_mlflow.errors import mlflow_errors
from registry_mlflow.opened import OpenedRegistry
from registry_mlflow.webhooks import WebhookCalls


class RegistryStore(WebhookCalls, AbstractStore):
    """MLflow's registry in the store at a URL.

    Raises MLflow's exceptions only. Safe for threads, and in processes that were forked; a pickled
    one opens the store anew.

    Args:
        store_url: As `registry_core.open_registry` takes it.
        tracking_uri: Where models are tracked that are registered by their id.
        serving: Whether this is the registry of MLflow's server, in one of its workers. What it is
            given is then data of other people's, and it uploads nothing from its own disk.
    """

    def __init__(
        self, store_url: str, *, tracking_uri: str | None = None, serving: bool = False
    ) -> None:
        super().__init__(store_url, tracking_uri)
        self.store_url = store_url
        self.tracking_uri = tracking_uri
        self.serving = serving
        self._opened = OpenedRegistry(self._open)
        # What is wrong with the URL is said to who sets it, and not to who makes the first call.
        self._call(lambda _: None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened_anew, (self.store_url, self.tracking_uri, self.serving)

    def _open(self) -> Registry:
        if not self.serving:
            return open_registry(self.store_url)
        registry = open_registry(self.store_url, artifacts="none")
        self._start_delivering(registry)
        return registry

    def _call(self, call: Callable[[Registry], Any]) -> Any:
        with mlflow_errors():
            return call(self._opened.get())

    # Registered models

    def create_registered_model(
        self,
        name: str,
        tags: Iterable[Any] | None = None,
        description: str | None = None,
        deployment_job_id: str | None = None,
    ) -> RegisteredModel:
        """See `AbstractStore`."""
        return entities.registered_model(
            self._call(
                lambda registry: registry.create_registered_model(
                    name,
                    tags=entities.tags(tags),
                    description=description,
                    deployment_job_id=deployment_job_id,
                )
            )
        )

    def update_registered_model(
        self, name: str, description: str | None, deployment_job_id: str | None = None
    ) -> RegisteredModel:
        """See `AbstractStore`. The id of a deployment job is fixed when a model is created."""
        return entities.registered_model(
            self._call(lambda it: it.update_registered_model(name, description=description))
        )

    def rename_registered_model(self, name: str, new_name: str) -> RegisteredModel:
        """See `AbstractStore`."""
        return entities.registered_model(
            self._call(lambda it: it.rename_registered_model(name, new_name=new_name))
        )

    def delete_registered_model(self, name: str) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.delete_registered_model(name))

    def get_registered_model(self, name: str) -> RegisteredModel:
        """See `AbstractStore`."""
        return entities.registered_model(self._call(lambda it: it.get_registered_model(name)))

    def search_registered_models(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList:
        """See `AbstractStore`."""
        page = self._call(
            lambda registry: registry.search_registered_models(
                filter_string,
                order_by=tuple(order_by or ()),
                max_results=DEFAULT_PAGE_SIZE if max_results is None else max_results,
                page_token=page_token,
            )
        )
        return entities.paged(page, entities.registered_model)

    def get_latest_versions(
        self, name: str, stages: Iterable[str] | None = None
    ) -> list[ModelVersion]:
        """See `AbstractStore`."""
        versions_ = self._call(
            lambda it: it.get_latest_versions(
                name, stages=cast("tuple[StageName, ...]", tuple(stages or ()))
            )
        )
        return [*map(entities.model_version, versions_)]

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.set_registered_model_tag(name, tag.key, str(tag.value)))

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.delete_registered_model_tag(name, key))

    # Model versions

    def create_model_version(
        self,
        name: str,
        source: str,
        run_id: str | None = None,
        tags: Iterable[Any] | None = None,
        run_link: str | None = None,
        description: str | None = None,
        local_model_path: str | None = None,
        model_id: str | None = None,
    ) -> ModelVersion:
        """See `AbstractStore`.

        Files on this disk are uploaded, where the registry keeps files: a directory named by
        `source`, and that of a logged model which is on this disk. MLflow's server uploads nothing.
        """
        origin = logged_models.origin_of(
            source, model_id, self.tracking_uri, is_server=self.serving
        )

        def create(registry: Registry) -> Any:
            keeps_files = registry.artifacts is not None
            return registry.create_model_version(
                name,
                source=origin.files(local_model_path) if keeps_files else source,
                run_id=run_id or origin.run_id or run_id,
                tags=entities.tags(tags),
                run_link=run_link,
                description=description,
                model_id=model_id or None,
            )

        return entities.model_version(self._call(create))

    def update_model_version(
        self, name: str, version: int | str, description: str | None
    ) -> ModelVersion:
        """See `AbstractStore`."""
        return entities.model_version(
            self._call(lambda it: it.update_model_version(name, version, description=description))
        )

    def transition_model_version_stage(
        self,
        name: str,
        version: int | str,
        stage: str,
        archive_existing_versions: bool,  # noqa: FBT001 MLflow's interface
    ) -> ModelVersion:
        """See `AbstractStore`."""
        return entities.model_version(
            self._call(
                lambda registry: registry.transition_model_version_stage(
                    name,
                    version,
                    stage=cast("StageName", stage),
                    archive_existing_versions=bool(archive_existing_versions),
                )
            )
        )

    def delete_model_version(self, name: str, version: int | str) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.delete_model_version(name, version))

    def get_model_version(self, name: str, version: int | str) -> ModelVersion:
        """See `AbstractStore`."""
        return entities.model_version(self._call(lambda it: it.get_model_version(name, version)))

    def get_model_version_download_uri(self, name: str, version: int | str) -> str:
        """See `AbstractStore`. What the registry keeps on this disk is for MLflow to copy."""

        def find(registry: Registry) -> str:
            uri = registry.get_model_version_download_uri(name, version)
            is_kept = registry.artifacts is not None and registry.files.stored_path(uri) is not None
            return f"{SCHEME_PREFIX}{uri}" if is_kept and uri.startswith("file:") else uri

        uri: str = self._call(find)
        return uri

    def search_model_versions(
        self,
        filter_string: str | None = None,
        max_results: int | None = None,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList:
        """See `AbstractStore`."""
        page = self._call(
            lambda registry: registry.search_model_versions(
                filter_string,
                order_by=tuple(order_by or ()),
                max_results=MODEL_VERSIONS_MAX_RESULTS if max_results is None else max_results,
                page_token=page_token,
            )
        )
        return entities.paged(page, entities.model_version)

    def set_model_version_tag(self, name: str, version: int | str, tag: Any) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.set_model_version_tag(name, version, tag.key, str(tag.value)))

    def delete_model_version_tag(self, name: str, version: int | str, key: str) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.delete_model_version_tag(name, version, key))

    # Aliases

    def set_registered_model_alias(self, name: str, alias: str, version: int | str) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.set_registered_model_alias(name, alias, version))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """See `AbstractStore`."""
        self._call(lambda it: it.delete_registered_model_alias(name, alias))

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """See `AbstractStore`."""
        return entities.model_version(
            self._call(lambda it: it.get_model_version_by_alias(name, alias))
        )


def _opened_anew(store_url: str, tracking_uri: str | None, serving: bool) -> RegistryStore:  # noqa: FBT001 positional for pickle
    return RegistryStore(store_url, tracking_uri=tracking_uri, serving=serving)
