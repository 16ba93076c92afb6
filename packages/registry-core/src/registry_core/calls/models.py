"""Calls about registered models."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import attrs

from registry_core import validation
from registry_core.calls.base import RegistryBase
from registry_core.calls.queries import ITERATION_PAGE_SIZE, check_max_results, query_of
from registry_core.changes import (
    CreateModel,
    DeleteModel,
    RenameModel,
    UpdateModel,
)
from registry_core.errors import AlreadyExistsError, RegisteredModelNotFoundError
from registry_core.idempotency import Idempotency
from registry_core.models import (
    ModelVersion,
    NewRegisteredModel,
    RegisteredModel,
    Stage,
    StageName,
)
from registry_core.search import (
    Entity,
    Page,
    all_pages,
)
from registry_core.validation import (
    DEFAULT_PAGE_SIZE,
    REGISTERED_MODELS_MAX_RESULTS,
    TagValue,
)


class ModelCalls(RegistryBase):
    """Calls about registered models."""

    def create_registered_model(
        self,
        name: str,
        *,
        description: str | None = None,
        tags: Mapping[str, TagValue] | None = None,
        deployment_job_id: str | None = None,
        idempotency_key: str | None = None,
        exist_ok: bool = False,
        reason: str | None = None,
    ) -> RegisteredModel:
        """Create a registered model, and return it.

        With `exist_ok` a registered model of that name is returned as it is, if there is one:
        neither its description nor its tags are changed.

        `idempotency_key` makes the call safe to repeat: within a day the same call under the same
        key creates nothing more, and gets what the first one has made.

        Raises:
            AlreadyExistsError: a model or prompt of that name exists. With `exist_ok`: a prompt has
                the name that is asked for a model, or the reverse.
            IdempotencyKeyReusedError: the key was used for another call about this name.

        Example:
            >>> registry.create_registered_model("fraud", tags={"team": "risk"}).name
            'fraud'
            >>> registry.create_registered_model("fraud", exist_ok=True).tags["team"]
            'risk'
        """
        new = NewRegisteredModel(
            name=name,
            description=description or None,
            tags=validation.tag_texts(tags),
            deployment_job_id=deployment_job_id,
        )
        recognised = None
        if idempotency_key is not None:
            asked = attrs.asdict(new)
            recognised = Idempotency.of(idempotency_key, what="create model", asked=asked)
        change = CreateModel(new, idempotency=recognised)
        try:
            return self._writer(reason).apply(change)
        except AlreadyExistsError:
            if not exist_ok:
                raise
            with contextlib.suppress(RegisteredModelNotFoundError):
                existing = self.store.get_registered_model(name)
                if existing.is_prompt != validation.is_prompt(new.tags):
                    raise
                return existing
        # Somebody has deleted it meanwhile.
        return self._writer(reason).apply(change)

    def get_registered_model(self, name: str) -> RegisteredModel:
        """Return the registered model with its tags, aliases and latest versions.

        Raises:
            RegisteredModelNotFoundError: there is none.

        Example:
            >>> registry.get_registered_model("churn").aliases["champion"]
            2
        """
        return self.store.get_registered_model(validation.model_name(name))

    def search_registered_models(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        max_results: int = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
    ) -> Page[RegisteredModel]:
        """Return a page of registered models that match the filter.

        They are ordered by name unless the call says otherwise.

        Prompts are left out unless the filter asks for them. Filter and order are MLflow's
        language; a page holds 1 to 1,000 models.

        Example:
            >>> page = registry.search_registered_models("tags.team = 'risk'", max_results=50)
            >>> [model.name for model in page]
            ['churn']
            >>> page.next_page_token is None
            True
        """
        check_max_results(max_results, REGISTERED_MODELS_MAX_RESULTS)
        return self.store.search_registered_models(
            query_of(Entity.REGISTERED_MODEL, filter, order_by, max_results, page_token)
        )

    def iter_registered_models(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        page_size: int = ITERATION_PAGE_SIZE,
    ) -> Iterator[RegisteredModel]:
        """Return every registered model that matches, read page by page.

        Example:
            >>> [model.name for model in registry.iter_registered_models("name LIKE 'ch%'")]
            ['churn']
        """
        return all_pages(
            lambda token: self.search_registered_models(
                filter, order_by=order_by, max_results=page_size, page_token=token
            )
        )

    def update_registered_model(
        self, name: str, *, description: str | None, reason: str | None = None
    ) -> RegisteredModel:
        """Set the description of the registered model, and return the model.

        None or an empty text erases it.

        Example:
            >>> model = registry.update_registered_model("churn", description="Who leaves next")
            >>> model.description
            'Who leaves next'
        """
        change = UpdateModel(
            name=validation.model_name(name),
            description=validation.description(description) or None,
        )
        return self._writer(reason).apply(change)

    def rename_registered_model(
        self, name: str, *, new_name: str, reason: str | None = None
    ) -> RegisteredModel:
        """Give the registered model another name, and return it with all it had.

        `models:/` URIs kept as sources elsewhere are not rewritten.

        Raises:
            RegisteredModelNotFoundError: there is no `name`.
            AlreadyExistsError: `new_name` is taken.

        Example:
            >>> registry.rename_registered_model("churn", new_name="churn-eu").name
            'churn-eu'
        """
        # Of two wrong names MLflow tells the new one.
        new_name = validation.model_name(new_name, parameter="new_name")
        change = RenameModel(name=validation.model_name(name), new_name=new_name)
        return self._writer(reason).apply(change)

    def delete_registered_model(self, name: str, *, reason: str | None = None) -> None:
        """Delete the registered model with all its versions, tags and aliases.

        It can be restored for a while; see `restore_registered_model`.

        Raises:
            RegisteredModelNotFoundError: There is none.

        Example:
            >>> registry.delete_registered_model("churn", reason="replaced by churn-eu")
        """
        self._writer(reason).apply(DeleteModel(name=validation.model_name(name)))

    def get_latest_versions(
        self, name: str, *, stages: Sequence[Stage | StageName] | None = None
    ) -> tuple[ModelVersion, ...]:
        """Return the newest version of each stage that has one; of the given stages only, if any.

        Example:
            >>> newest = registry.get_latest_versions("churn", stages=["None"])
            >>> [version.version for version in newest]
            [3]
        """
        latest = self.get_registered_model(name).latest_versions
        chosen = {Stage.parse(stage) for stage in stages or ()} or set(Stage)
        return tuple(version for version in latest if version.current_stage in chosen)
