"""What a legal name, tag, alias, version and text is: pure functions, the only place with limits.

Each function returns the value it accepted and raises `InvalidArgumentError` with MLflow's wording
(contract 1.4 and 3) where MLflow has one. Every store gets only what passed here, so all of them
accept exactly the same values.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from registry_core.errors import InvalidArgumentError, ModelVersionNotFoundError

NAME_MAX_LENGTH = 256
"""Characters of a registered model's name; MLflow's column, enforced here on every store."""

ALIAS_MAX_LENGTH = 255
"""Characters of an alias (contract 3.2)."""

TAG_KEY_MAX_LENGTH = 250
"""Characters of a tag key (contract 3.2)."""

TAG_VALUE_MAX_LENGTH = 100_000
"""Characters of a tag value, for models too: prompt texts are tag values (contract 3.2)."""

TAGS_MAX_COUNT = 1_000
"""Tags of one registered model or model version. Every read of it brings all of them, so they bound
what an answer costs; MLflow has no limit. Stores check it again when a tag is set."""

TAGS_MAX_BYTES = 1024 * 1024
"""Bytes in UTF-8 of all keys and values of one entity's tags together, for the same reason: ten
tags of the full length, if they are ASCII. A model is read with up to four versions, so with five
times as much."""

ALIASES_MAX_COUNT = 500
"""Aliases of one registered model, for the same reason."""

DESCRIPTION_MAX_LENGTH = 100_000
"""Characters of a description. MLflow's column holds 5,000; a model card is often longer."""

SOURCE_MAX_LENGTH = 4_096
"""Characters of a source, storage location or run link. MLflow's column holds 500."""

RUN_ID_MAX_LENGTH = 256
"""Characters of a run id, model id, user id or deployment job id. MLflow's column holds 32."""

ACTOR_MAX_LENGTH = 256
"""Characters of the name of who makes a change."""

GROUPS_MAX_COUNT = 200
"""Groups of one person that are kept with what they do. Ours: tokens of identity providers have at
most as many, and refer to further ones."""

REASON_MAX_LENGTH = 2_000
"""Characters of the reason for a change: a paragraph, kept with every change forever."""

VERSION_MAX = 2**31 - 1
"""The largest version number; larger ones are well-formed but never exist."""

REGISTERED_MODELS_MAX_RESULTS = 1_000
"""The largest page of registered models (contract 2.6)."""

MODEL_VERSIONS_MAX_RESULTS = 200_000
"""The largest page of model versions (contract 2.18)."""

DEFAULT_PAGE_SIZE = 100
"""Registered models in a page when the caller does not say (contract 2.6)."""

PROMPT_TAG = "mlflow.prompt.is_prompt"
"""The tag whose presence makes a registered model a prompt (contract 5)."""

PROMPT_TEXT_TAG = "mlflow.prompt.text"
"""The tag that holds a prompt version's template."""

TagValue: TypeAlias = str | int | float | bool
"""What callers may give for a tag's value; a number becomes the text that MLflow's client makes of
it: `str` of it."""

_TAG_KEY = re.compile(r"[/\w.\- :]*\Z")
_ALIAS = re.compile(r"[\w\-]*\Z")
_RESERVED_ALIAS = re.compile(r"[vV]\d+\Z")
_VERSION = re.compile(r"-?[0-9]+\Z")
_SEE_DOCS = " See the API docs for more information about request parameters."
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def missing(parameter: str) -> InvalidArgumentError:
    """Return the error for a required parameter that is absent, null or empty."""
    return InvalidArgumentError(f"Missing value for required parameter '{parameter}'.{_SEE_DOCS}")


def text(value: str, *, parameter: str, max_length: int) -> str:
    """Accept what every store can hold: no NUL or lone surrogate, `max_length` characters."""
    if len(value) > max_length:
        raise InvalidArgumentError(
            f"'{parameter}' exceeds the maximum length of {max_length} characters"
        )
    if not value.isascii() or "\x00" in value:
        match = _UNSTORABLE.search(value)
        if match:
            raise InvalidArgumentError(
                f"Invalid value for parameter '{parameter}' supplied: it contains the character "
                f"U+{ord(match.group()):04X} at position {match.start()}, which cannot be stored."
            )
    return value


def uri(value: str, *, parameter: str) -> str:
    """Accept what a URI may hold: no control character.

    A URI is one line, and other people's programs print it, write it into logs and paste it into
    shells. Refused are C0, DEL and C1, Unicode's two line breaks, and what turns the direction of
    writing, by which one text looks like another.
    """
    if match := _CONTROL.search(value):
        raise InvalidArgumentError(
            f"Invalid value for parameter '{parameter}' supplied: it contains the control "
            f"character U+{ord(match.group()):04X} at position {match.start()}."
        )
    return value


def optional_text(value: str | None, *, parameter: str, max_length: int) -> str | None:
    """As `text`, letting `None` pass."""
    return None if value is None else text(value, parameter=parameter, max_length=max_length)


def description(value: str | None) -> str | None:
    """Accept a description, or none."""
    return optional_text(value, parameter="description", max_length=DESCRIPTION_MAX_LENGTH)


def actor(value: str) -> str:
    """Accept the name of who makes a change."""
    if not value:
        raise missing("actor")
    return text(value, parameter="actor", max_length=ACTOR_MAX_LENGTH)


def groups(value: Sequence[str]) -> Sequence[str]:
    """Accept the groups that somebody is in."""
    if len(value) > GROUPS_MAX_COUNT:
        raise InvalidArgumentError(f"Nobody can be in more than {GROUPS_MAX_COUNT} groups")
    for each in value:
        text(each, parameter="group", max_length=ACTOR_MAX_LENGTH)
    return value


def digest(value: str) -> str:
    """Accept what may be the digest of a model version: `sha256:` or `fields:`, then hex digits."""
    if not _DIGEST.match(value):
        raise InvalidArgumentError(f"'{value[:100]}' cannot be the digest of a model version")
    return value


_DIGEST = re.compile(r"(sha256|fields):[0-9a-f]{64}\Z")

_REGISTERED_MODEL_ID = re.compile(r"[0-9A-Za-z_-]{1,64}\Z")
"""Ours have 24 digits, and had 16 before."""


def reason(value: str | None) -> str | None:
    """Accept the reason for a change."""
    return optional_text(value, parameter="reason", max_length=REASON_MAX_LENGTH)


def registered_model_id(value: str) -> str:
    """Accept what may be the id that a registered model keeps when it is renamed."""
    if not _REGISTERED_MODEL_ID.match(value):
        raise InvalidArgumentError(f"'{value}' cannot be the id of a registered model")
    return value


def model_name(value: str, *, parameter: str = "name") -> str:
    """Accept a registered model's name: not blank, no `/` or `:`, its own normal path (3.1)."""
    if not value.strip():
        raise InvalidArgumentError(f"Missing value for required parameter '{parameter}'.")
    if "/" in value or ":" in value:
        raise InvalidArgumentError(
            f"Invalid model name '{value}'. Names cannot contain '/' or ':'."
        )
    _not_a_path(value, parameter="name")
    return text(value, parameter=parameter, max_length=NAME_MAX_LENGTH)


def tag_key(value: str) -> str:
    """Accept a tag key (contract 3.3)."""
    if not _TAG_KEY.match(value):
        raise InvalidArgumentError(
            f"Invalid value {json.dumps(value)} for parameter 'key' supplied: Names may only "
            "contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), "
            "colon(:) and slashes (/)."
        )
    _not_a_path(value, parameter="key")
    return text(value, parameter="key", max_length=TAG_KEY_MAX_LENGTH)


def tag_text(value: TagValue) -> str:
    """Return the text that a caller means by a tag's value: a number's is MLflow's, `True` too."""
    return value if type(value) is str else str(value)


def tag_texts(value: Mapping[str, TagValue] | None) -> dict[str, str]:
    """Return tags as a caller means them, each value a text."""
    return {} if value is None else {key: tag_text(each) for key, each in value.items()}


def tag_value(value: str) -> str:
    """Accept a tag value: any text up to `TAG_VALUE_MAX_LENGTH` characters."""
    return text(value, parameter="value", max_length=TAG_VALUE_MAX_LENGTH)


def version_tag_value(value: str, *, key: str) -> str:
    """As `tag_value`; the text of a prompt has a sentence of its own (contract 2.20)."""
    if key == PROMPT_TEXT_TAG and len(value) > TAG_VALUE_MAX_LENGTH:
        raise InvalidArgumentError(
            f"Prompt text exceeds max length of {TAG_VALUE_MAX_LENGTH} characters."
        )
    return tag_value(value)


def tags(value: Mapping[str, str]) -> Mapping[str, str]:
    """Accept a mapping of tag keys to tag values, as all the tags of one entity."""
    return value and tags_together({tag_key(k): tag_value(v) for k, v in value.items()})


def version_tags(value: Mapping[str, str]) -> Mapping[str, str]:
    """As `tags`, for the tags of a model version."""
    return value and tags_together(
        {tag_key(k): version_tag_value(v, key=k) for k, v in value.items()}
    )


def tags_together(value: Mapping[str, str]) -> Mapping[str, str]:
    """Accept legal tags as all the tags of one entity: not too many, and not too large."""
    if len(value) > TAGS_MAX_COUNT or sum(map(tag_bytes, value, value.values())) > TAGS_MAX_BYTES:
        raise too_many_tags()
    return value


def tag_bytes(key: str, value: str) -> int:
    """Return what a tag counts of `TAGS_MAX_BYTES`; a stand-in for a large value has a `size`."""
    size: int = getattr(value, "size", -1)
    return _bytes(key) + (_bytes(value) if size < 0 else size)


def _bytes(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))


def too_many_tags() -> InvalidArgumentError:
    """Return the error for more tags on one entity than it may have."""
    return InvalidArgumentError(
        f"A registered model or model version may have {TAGS_MAX_COUNT} tags, whose keys and "
        f"values have {TAGS_MAX_BYTES} bytes together; these are more."
    )


def aliases_together(value: Mapping[str, int]) -> Mapping[str, int]:
    """Accept legal aliases as all the aliases of one model: not too many."""
    if len(value) > ALIASES_MAX_COUNT:
        raise too_many_aliases()
    return value


def too_many_aliases() -> InvalidArgumentError:
    """Return the error for more aliases of one model than it may have."""
    return InvalidArgumentError(f"A registered model may have {ALIASES_MAX_COUNT} aliases.")


def alias(value: str) -> str:
    """Accept an alias that may exist (contract 3.8)."""
    if value == "":
        raise missing("alias")
    if not _ALIAS.match(value):
        raise InvalidArgumentError(
            f"Invalid alias name: '{value}'. Names may only contain alphanumerics, underscores "
            "(_), and dashes (-)."
        )
    return text(value, parameter="Registered model alias name", max_length=ALIAS_MAX_LENGTH)


def new_alias(value: str) -> str:
    """Accept an alias that may be set: `latest` and version-like names are reserved."""
    alias(value)
    if is_latest(value):
        raise InvalidArgumentError("'latest' alias name (case insensitive) is reserved.")
    if _RESERVED_ALIAS.match(value):
        raise InvalidArgumentError(f"Version alias name '{value}' is reserved.")
    return value


def is_latest(value: str) -> bool:
    """Return whether an alias means the newest version of a model."""
    return value.lower() == "latest"


def version(value: int | str) -> int:
    """Return the number of a version given as a number or as ASCII digits.

    Numbers below 1 or above `VERSION_MAX` are well-formed; no store holds them.
    """
    if isinstance(value, str):
        if not _VERSION.match(value):
            raise _not_a_version(value)
        # Python refuses to convert thousands of digits; no such version exists either way.
        return int(value) if len(value) <= 20 else VERSION_MAX + 1  # noqa: PLR2004
    if isinstance(value, bool) or not isinstance(value, int):
        raise _not_a_version(value)
    return value


def version_key(name: str, value: int | str) -> tuple[str, int]:
    """Accept the key of a model version, and return it with the number as an int.

    Raises:
        InvalidArgumentError: it is malformed.
        ModelVersionNotFoundError: no version can have the number, on any store.
    """
    model_name(name)
    return name, possible_version(version(value), name=name, written=value)


def possible_version(number: int, *, name: str, written: int | str) -> int:
    """Accept the number of a version that a store may hold; `written` is how the caller put it.

    Raises:
        ModelVersionNotFoundError: no version can have the number, on any store.
    """
    if not 1 <= number <= VERSION_MAX:
        raise ModelVersionNotFoundError(name, written)
    return number


def _not_a_version(value: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"Parameter 'version' must be an integer, got '{value}'.")


def is_prompt(model_tags: Mapping[str, str]) -> bool:
    """Return whether tags mark a prompt for events and prompt calls: value `true` in any case."""
    return model_tags.get(PROMPT_TAG, "").lower() == "true"


def one_of(value: str, *, allowed: Iterable[str], parameter: str) -> str:
    """Accept one of a few words, exactly as written."""
    allowed = tuple(allowed)
    if value not in allowed:
        raise InvalidArgumentError(
            f"Invalid value '{value}' for parameter '{parameter}' supplied: it must be one of "
            f"{', '.join(allowed)}."
        )
    return value


def _not_a_path(value: str, *, parameter: str) -> None:
    # MLflow's rule: a name that is not its own normalised POSIX path, or is absolute or leads up.
    # Without a slash, that can only be what is empty or begins with a dot.
    if value and "/" not in value and value[0] != ".":
        return
    normalised = posixpath.normpath(value)
    if normalised != value or normalised == "." or normalised.startswith(("..", "/")):
        raise InvalidArgumentError(
            f"Invalid value {json.dumps(value)} for parameter '{parameter}' supplied: Names may be "
            "treated as files in certain cases, and must not resolve to other names when treated "
            f"as such. This name would resolve to {normalised!r}"
        )
