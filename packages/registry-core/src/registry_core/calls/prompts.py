"""Calls about prompts, and the way to those about webhooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from registry_core import validation
from registry_core.arguments import checked_methods
from registry_core.calls.artifacts import ArtifactCalls
from registry_core.calls.models import ModelCalls
from registry_core.calls.parts import PartCalls
from registry_core.calls.queries import ITERATION_PAGE_SIZE
from registry_core.errors import RegisteredModelNotFoundError
from registry_core.models import ModelVersion
from registry_core.prompts import (
    SOURCE,
    Prompt,
    PromptVersion,
    Template,
    parse_prompt_reference,
    version_tags,
)
from registry_core.search import Page, all_pages
from registry_core.validation import DEFAULT_PAGE_SIZE, TagValue

if TYPE_CHECKING:
    from registry_core.webhooks import Webhooks

_IS_PROMPT = f"tags.`{validation.PROMPT_TAG}` = 'true'"


class PromptCalls(ModelCalls, ArtifactCalls, PartCalls):
    """Calls about prompts, and the way to those about webhooks."""

    @property
    def prompts(self) -> Prompts:
        """The prompts of the registry.

        Example:
            >>> registry.prompts.create("greeting", "Hello {{name}}!", exist_ok=True).version
            2
            >>> registry.prompts.resolve("greeting/1").format(name="Ann")
            'Hello Ann!'
        """
        return Prompts(self)

    @property
    def webhooks(self) -> Webhooks:
        """The webhooks of the registry, with the rules for URLs and the key of the environment.

        See `registry_core.webhooks.environment`.

        Example:
            >>> list(registry.webhooks.list_webhooks())
            []
        """
        # A registry without webhooks must not pay for what looks addresses up and encrypts.
        from registry_core.webhooks.environment import webhooks_of  # noqa: PLC0415 see above

        return webhooks_of(self.store)


@checked_methods
class Prompts:
    """The prompts of a registry, as MLflow's clients keep them. Thread-safe.

    Raises subclasses of `registry_core.errors.RegistryError`, as `Registry` does. A registered
    model that is not a prompt is not found here.
    """

    def __init__(self, registry: PromptCalls) -> None:
        self._registry = registry

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._registry!r}>"

    def create(
        self,
        name: str,
        template: Template,
        *,
        description: str | None = None,
        tags: Mapping[str, TagValue] | None = None,
        response_format: Mapping[str, Any] | None = None,
        model_config: Mapping[str, Any] | None = None,
        exist_ok: bool = False,
        reason: str | None = None,
    ) -> PromptVersion:
        """Create a prompt with its first version, and return the version.

        Args:
            name: The prompt.
            template: A text, or the messages of a chat, each with `role` and `content`.
            description: What is new in this version: MLflow's commit message.
            tags: Of the version.
            response_format: The JSON schema that answers have to follow.
            model_config: The model that the prompt is for, and its parameters.
            exist_ok: Add a version to the prompt, if there is one.
            reason: Why, for the history.

        Raises:
            AlreadyExistsError: There is a prompt of that name, and `exist_ok` is not set; or there
                is a registered model of that name.
            InvalidArgumentError: The template is empty or too long.

        Example:
            >>> registry.prompts.create("farewell", "Goodbye {{name}}!").version
            1
        """
        tags_of_version = version_tags(
            template,
            tags=validation.tag_texts(tags),
            response_format=response_format,
            model_config=model_config,
        )
        validation.version_tags(tags_of_version)
        validation.description(description)
        self._registry.create_registered_model(
            name, tags={validation.PROMPT_TAG: "true"}, exist_ok=exist_ok, reason=reason
        )
        made = self._registry.create_model_version(
            name, source=SOURCE, tags=tags_of_version, description=description, reason=reason
        )
        return PromptVersion.of(made)

    def get(self, name: str) -> Prompt:
        """Return a prompt.

        Raises:
            RegisteredModelNotFoundError: There is none of that name.

        Example:
            >>> registry.prompts.get("greeting").name
            'greeting'
        """
        model = self._registry.get_registered_model(name)
        if not model.is_prompt:
            raise RegisteredModelNotFoundError(name)
        return Prompt.of(model)

    def get_version(self, name: str, version: int | str) -> PromptVersion:
        """Return a version of a prompt by its number.

        Raises:
            NotFoundError: There is no such prompt, or no such version of it.

        Example:
            >>> registry.prompts.get_version("greeting", 1).text
            'Hello {{name}}!'
        """
        return _prompt_version(self._registry.get_model_version(name, version))

    def get_version_by_alias(self, name: str, alias: str) -> PromptVersion:
        """Return the version of a prompt that an alias names; `latest` is the newest.

        Raises:
            NotFoundError: There is no such prompt, or no such alias of it.

        Example:
            >>> registry.prompts.get_version_by_alias("greeting", "live").version
            1
        """
        return _prompt_version(self._registry.get_model_version_by_alias(name, alias))

    def resolve(self, reference: str) -> PromptVersion:
        """Return what `prompts:/greeting/3`, `greeting/3` or `greeting@live` stands for now.

        Raises:
            InvalidArgumentError: It is not such a reference.
            NotFoundError: There is no such prompt, version or alias.

        Example:
            >>> registry.prompts.resolve("greeting@live").format(name="Ann")
            'Hello Ann!'
        """
        uri = parse_prompt_reference(reference)
        if uri.version is not None:
            return self.get_version(uri.name, uri.version)
        return self.get_version_by_alias(uri.name, uri.alias or ("latest" if uri.latest else ""))

    def search(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
        max_results: int = DEFAULT_PAGE_SIZE,
        page_token: str | None = None,
    ) -> Page[Prompt]:
        """Return a page of prompts that match a filter, by name unless ordered otherwise.

        Example:
            >>> [prompt.name for prompt in registry.prompts.search("name LIKE 'greet%'")]
            ['greeting']
        """
        # First, so that what is wrong with the user's own text is not blamed on it.
        filter_text = f"{_IS_PROMPT} AND {filter}" if filter else _IS_PROMPT
        page = self._registry.search_registered_models(
            filter_text, order_by=order_by, max_results=max_results, page_token=page_token
        )
        return Page(
            [Prompt.of(each) for each in page], page.next_page_token, unreadable=page.unreadable
        )

    def list(
        self,
        filter: str | None = None,  # noqa: A002 the field's word
        *,
        order_by: Sequence[str] = (),
    ) -> Iterator[Prompt]:
        """Return every prompt that matches, read page by page.

        Example:
            >>> [prompt.name for prompt in registry.prompts.list()]
            ['greeting']
        """
        return all_pages(
            lambda token: self.search(
                filter, order_by=order_by, max_results=ITERATION_PAGE_SIZE, page_token=token
            )
        )

    def versions(self, name: str) -> Iterator[PromptVersion]:
        """Return every version of a prompt, newest first, read page by page.

        Raises:
            RegisteredModelNotFoundError: There is no such prompt.

        Example:
            >>> [version.version for version in registry.prompts.versions("greeting")]
            [1]
        """
        self.get(name)
        # A list is read by the rules of Python, in which any name can be written.
        versions = self._registry.iter_model_versions(
            f"{_IS_PROMPT} AND name IN ({name!r})", order_by=["version_number DESC"]
        )
        return map(PromptVersion.of, versions)

    def set_alias(
        self, name: str, alias: str, version: int | str, *, reason: str | None = None
    ) -> None:
        """Point an alias at a version of a prompt, wherever it pointed before.

        Raises:
            NotFoundError: There is no such prompt, or no such version of it.

        Example:
            >>> registry.prompts.set_alias("greeting", "live", 1)
        """
        self.get(name)
        self._registry.set_registered_model_alias(name, alias, version, reason=reason)


def _prompt_version(version: ModelVersion) -> PromptVersion:
    if not validation.is_prompt(version.tags):
        raise RegisteredModelNotFoundError(version.name)
    return PromptVersion.of(version)
