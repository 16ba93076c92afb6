"""`models:/` URIs: parsed and printed."""

from __future__ import annotations

import attrs

from registry_core.errors import InvalidArgumentError

SCHEME = "models:/"

_MAX_DIGITS = 4_096
"""As many as a source can hold, and less than Python refuses to convert: a number that no version
has is still a number, and no stage."""


@attrs.frozen(kw_only=True)
class ModelUri:
    """A parsed `models:/` URI; exactly one of the four references after `name` is set.

    `models:/name/3` has `version`, `models:/name@champion` has `alias`, `models:/name/Production`
    has `stage` (the text as written), and both `models:/name/latest` and `models:/name@latest`
    are `latest`.

    Example:
        >>> str(ModelUri(name="churn", alias="champion"))
        'models:/churn@champion'
    """

    name: str
    version: int | None = None
    alias: str | None = None
    stage: str | None = None
    latest: bool = False

    def __str__(self) -> str:
        if self.version is not None:
            return f"{SCHEME}{self.name}/{self.version}"
        if self.alias is not None:
            return f"{SCHEME}{self.name}@{self.alias}"
        return f"{SCHEME}{self.name}/{'latest' if self.latest else self.stage}"


def is_model_uri(text: str) -> bool:
    """Return whether a text claims to be a `models:` URI, well-formed or not."""
    return text.lower().startswith("models:")


def has_host(text: str) -> bool:
    """Return whether a text is `models://host/...`, which means another registry."""
    return text[: len(SCHEME) + 1].lower() == f"{SCHEME}/" and bool(_split(text)[0])


def is_bare(text: str) -> bool:
    """Return whether a text is `models:/` and one word, as the URI of a logged model is."""
    _, word = _split(text)
    return text[: len(SCHEME)].lower() == SCHEME and word != "" and not {"/", "@"} & {*word}


def parse_model_uri(text: str) -> ModelUri:
    """Return the reference in `models:/name/<version | stage | latest>` or `models:/name@<alias>`.

    More slashes may precede the name, as where a host was left out.

    Raises:
        InvalidArgumentError: any other text, `models://host/...` and `models:/m-<id>` included.

    Example:
        >>> parse_model_uri("models:/churn/3").version
        3
    """
    host, path = _split(text)
    if text[: len(SCHEME)].lower() != SCHEME or host:
        raise _invalid(text)
    name, slash, suffix = path.partition("/")
    if slash:
        if not name.strip() or not suffix.strip() or "/" in suffix:
            raise _invalid(text)
        if suffix.lower() == "latest":
            return ModelUri(name=name, latest=True)
        if suffix.isascii() and suffix.isdecimal() and len(suffix) <= _MAX_DIGITS:
            return ModelUri(name=name, version=int(suffix))
        return ModelUri(name=name, stage=suffix)
    name, at, alias = path.rpartition("@")
    if not at or not name.strip() or not alias.strip():
        raise _invalid(text)
    if alias.lower() == "latest":
        return ModelUri(name=name, latest=True)
    return ModelUri(name=name, alias=alias)


def parse_reference(text: str) -> ModelUri:
    """Return the reference in a `models:/` URI, or in one without scheme: `churn@champion`.

    Raises:
        InvalidArgumentError: It is neither.
    """
    has_form = "/" in text or "@" in text
    is_short = has_form and not text.startswith("/") and "://" not in text
    if is_short and not is_model_uri(text):
        return parse_model_uri(SCHEME + text)
    return parse_model_uri(text)


def _split(text: str) -> tuple[str, str]:
    """The host of a `models:` URI, mostly none, and what follows the slashes."""
    rest = text[len(SCHEME) :]
    host = ""
    if rest.startswith("/"):
        host, _, rest = rest[1:].partition("/")
    return host, rest.lstrip("/")


def _invalid(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"Not a proper models:/ URI: {text}. Models URIs must be of the form "
        "'models:/model_name/suffix' or 'models:/model_name@alias' where suffix is a model "
        "version, stage, or the string 'latest' and where alias is a registered model alias. "
        "Only one of suffix or alias can be defined at a time."
    )
