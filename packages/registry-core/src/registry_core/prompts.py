"""Prompts as values: what a version of a prompt is made of, in MLflow's terms (contract 5).

A prompt is a registered model with a tag that says so. Each of its versions keeps its template as a
tag, and has no bytes. What a client of MLflow's has registered is read here, and the reverse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from registry_core import validation
from registry_core.display import Shown, Timed
from registry_core.errors import InvalidArgumentError, StoreCorruptedError
from registry_core.models import ModelVersion, RegisteredModel
from registry_core.uris import SCHEME, ModelUri, parse_reference

PROMPT_SCHEME = "prompts:/"
"""How MLflow's clients begin the URI of a prompt's version."""

SOURCE = "prompt-template"
"""The source of every version: MLflow's placeholder, since there are no bytes."""

TYPE_TAG = "_mlflow_prompt_type"
RESPONSE_FORMAT_TAG = "_mlflow_prompt_response_format"
MODEL_CONFIG_TAG = "_mlflow_prompt_model_config"

Message: TypeAlias = Mapping[str, Any]
"""A message of a chat: `role` and `content`."""

Template: TypeAlias = str | Sequence[Message]
"""A text, or the messages of a chat. `{{name}}` in them stands for a value that comes later."""

_VARIABLE = re.compile(r"\{\{\s*([a-zA-Z_]\w*(?:\.[a-zA-Z_]\w*)*)\s*\}\}", re.ASCII)
_RESERVED = frozenset(
    {
        validation.PROMPT_TAG,
        validation.PROMPT_TEXT_TAG,
        TYPE_TAG,
        RESPONSE_FORMAT_TAG,
        MODEL_CONFIG_TAG,
    }
)


@attrs.frozen(kw_only=True, slots=False, repr=False)
class Prompt(Shown, Timed):
    """A prompt: all but its versions.

    Example:
        >>> registry.prompts.get("greeting").newest_version
        1
    """

    name: str
    newest_version: int | None
    """The highest number of a version; None before there is one."""
    description: str | None
    tags: Mapping[str, str]
    """Without those that MLflow keeps for itself."""
    aliases: Mapping[str, int]
    creation_timestamp: int
    last_updated_timestamp: int

    @classmethod
    def of(cls, model: RegisteredModel) -> Prompt:
        """Return the prompt that a registered model is."""
        return cls(
            name=model.name,
            newest_version=max((each.version for each in model.latest_versions), default=None),
            description=model.description,
            tags=_own(model.tags),
            aliases=model.aliases,
            creation_timestamp=model.creation_timestamp,
            last_updated_timestamp=model.last_updated_timestamp,
        )

    def _facts(self) -> list[str]:
        return [repr(self.name), f"newest version {self.newest_version}"]


@attrs.frozen(kw_only=True, slots=False, repr=False)
class PromptVersion(Shown, Timed):
    """A version of a prompt.

    Example:
        >>> registry.prompts.get_version("greeting", 1).uri
        'prompts:/greeting/1'
    """

    name: str
    version: int
    template: Template
    description: str | None
    """What MLflow calls the commit message."""
    tags: Mapping[str, str]
    """Without those that MLflow keeps for itself."""
    aliases: tuple[str, ...]
    response_format: Mapping[str, Any] | None
    """The JSON schema that answers have to follow."""
    model_config: Mapping[str, Any] | None
    """The model that the prompt is for, and its parameters."""
    creation_timestamp: int
    last_updated_timestamp: int

    @classmethod
    def of(cls, version: ModelVersion) -> PromptVersion:
        """Return the version of a prompt that a model version is.

        Raises:
            StoreCorruptedError: The template of a chat is not a list of messages in JSON, or what
                else is JSON in it is not.
        """
        text = version.tags.get(validation.PROMPT_TEXT_TAG, "")
        is_chat = version.tags.get(TYPE_TAG) == "chat"
        return cls(
            name=version.name,
            version=version.version,
            template=_messages(version) if is_chat else text,
            description=version.description,
            tags=_own(version.tags),
            aliases=version.aliases,
            response_format=_loaded(version, RESPONSE_FORMAT_TAG),
            model_config=_loaded(version, MODEL_CONFIG_TAG),
            creation_timestamp=version.creation_timestamp,
            last_updated_timestamp=version.last_updated_timestamp,
        )

    @property
    def uri(self) -> str:
        """How MLflow's clients name it."""
        return f"{PROMPT_SCHEME}{self.name}/{self.version}"

    @property
    def text(self) -> str:
        """The template as one text: that of a chat with the role before each message."""
        if isinstance(self.template, str):
            return self.template
        return "\n".join(f"{each.get('role')}: {each.get('content')}" for each in self.template)

    @property
    def variables(self) -> frozenset[str]:
        """The names that `format` needs values of."""
        texts = _texts(self.template)
        return frozenset(name for text in texts for name in _VARIABLE.findall(text))

    def format(self, **values: object) -> Any:
        """Return the template with its variables replaced: a text, or the messages of a chat.

        Raises:
            InvalidArgumentError: A variable has no value; the message names those that have none.
        """
        if missing := self.variables - values.keys():
            raise InvalidArgumentError(
                f"The prompt {self.uri} needs values of: {', '.join(sorted(missing))}"
            )
        return _filled(self.template, values)

    def _facts(self) -> list[str]:
        return [repr(self.uri), f"aliases {', '.join(self.aliases)}" if self.aliases else ""]


def version_tags(
    template: Template,
    *,
    tags: Mapping[str, str],
    response_format: Mapping[str, Any] | None,
    model_config: Mapping[str, Any] | None,
) -> dict[str, str]:
    """Return the tags of a model version that is a version of a prompt.

    Raises:
        InvalidArgumentError: The template is empty, or a tag is one of MLflow's own.
    """
    if not template:
        raise validation.missing("template")
    own = {validation.PROMPT_TAG: "true"}
    is_text = isinstance(template, str)
    own[validation.PROMPT_TEXT_TAG] = template if isinstance(template, str) else _dumped(template)
    own[TYPE_TAG] = "text" if is_text else "chat"
    for key, value in ((RESPONSE_FORMAT_TAG, response_format), (MODEL_CONFIG_TAG, model_config)):
        if value is not None:
            own[key] = _dumped(value)
    if kept := _RESERVED & tags.keys():
        raise InvalidArgumentError(
            f"The tag '{min(kept)}' is one of those by which MLflow tells what a prompt is"
        )
    return {**tags, **own}


def parse_prompt_reference(text: str) -> ModelUri:
    """Return what `prompts:/greeting/3`, `prompts:/greeting@live` or the same without scheme names.

    Raises:
        InvalidArgumentError: It is none of these.
    """
    return parse_reference(SCHEME + text.removeprefix(PROMPT_SCHEME))


def _own(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if key not in _RESERVED}


def _loaded(version: ModelVersion, tag: str) -> Any:
    text = version.tags.get(tag)
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError) as error:
        raise _damaged(version, tag, f"JSON: {error}") from None


def _messages(version: ModelVersion) -> Sequence[Message]:
    loaded = _loaded(version, validation.PROMPT_TEXT_TAG)
    if not isinstance(loaded, list) or not all(isinstance(each, Mapping) for each in loaded):
        raise _damaged(version, validation.PROMPT_TEXT_TAG, "a list of the messages of a chat")
    return loaded


def _damaged(version: ModelVersion, tag: str, expected: str) -> StoreCorruptedError:
    return StoreCorruptedError(
        f"The tag '{tag}' of models:/{version.name}/{version.version} is not {expected}"
    )


def _dumped(value: object) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"A prompt has to be made of texts and JSON: {error}") from None


def _texts(part: Any) -> Iterator[str]:
    """Yield the texts of a template that `_filled` fills in."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, Mapping | Sequence):
        for each in part.values() if isinstance(part, Mapping) else part:
            yield from _texts(each)


def _filled(part: Any, values: Mapping[str, object]) -> Any:
    if isinstance(part, str):
        return _VARIABLE.sub(lambda match: str(values[match[1]]), part)
    if isinstance(part, Mapping):
        return {key: _filled(each, values) for key, each in part.items()}
    return [_filled(each, values) for each in part] if isinstance(part, Sequence) else part
