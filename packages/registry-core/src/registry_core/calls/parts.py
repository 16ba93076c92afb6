"""Calls about aliases and tags."""

from __future__ import annotations

from registry_core import validation
from registry_core.calls.base import RegistryBase
from registry_core.changes import (
    DeleteAlias,
    DeleteModelTag,
    DeleteVersionTag,
    SetAlias,
    SetModelTag,
    SetVersionTag,
)
from registry_core.models import (
    UNSET,
    ModelVersion,
    Unset,
)
from registry_core.requirements import AliasIs, Requirement, TagIs
from registry_core.source_resolver import version_by_alias
from registry_core.validation import TagValue


class PartCalls(RegistryBase):
    """Calls about aliases and tags."""

    def set_registered_model_alias(
        self,
        name: str,
        alias: str,
        version: int | str,
        *,
        expected: int | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Point the alias at that version.

        Args:
            name: The registered model.
            alias: The alias.
            version: The number of the version, or its digits.
            expected: Where the alias has to point now: a version's number, or None for nowhere.
                Anywhere by default.
            reason: Why, for the history.

        Raises:
            StaleValueError: The alias does not point where it is expected; nothing was changed.

        Example:
            >>> registry.set_registered_model_alias("churn", "champion", 3, expected=2)
        """
        validation.model_name(name)
        validation.new_alias(alias)
        number = validation.possible_version(
            validation.version(version), name=name, written=version
        )
        requires = () if isinstance(expected, Unset) else (_alias_is(name, alias, expected),)
        change = SetAlias(name=name, alias=alias, version=number, requires=requires)
        self._writer(reason).apply(change)

    def get_model_version_by_alias(self, name: str, alias: str) -> ModelVersion:
        """Return the version that the alias names.

        `latest`, in any case of letters, is the version with the highest number.

        Raises:
            AliasNotFoundError: there is no such alias.

        Example:
            >>> registry.get_model_version_by_alias("churn", "champion").version
            2
        """
        return version_by_alias(self.store, name, alias)

    def delete_registered_model_alias(
        self,
        name: str,
        alias: str,
        *,
        expected: int | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Remove the alias; it need not exist.

        `expected` as in `set_registered_model_alias`.

        Example:
            >>> registry.delete_registered_model_alias("churn", "champion", expected=2)
        """
        name, alias = validation.model_name(name), validation.alias(alias)
        requires = () if isinstance(expected, Unset) else (_alias_is(name, alias, expected),)
        self._writer(reason).apply(DeleteAlias(name=name, alias=alias, requires=requires))

    def set_registered_model_tag(
        self,
        name: str,
        key: str,
        value: TagValue,
        *,
        expected: TagValue | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Set a tag of the registered model.

        A number becomes the text that MLflow makes of it. `expected` is what the tag has to be now,
        None for absent; anything by default.

        Raises:
            StaleValueError: The tag is not what is expected; nothing was changed.

        Example:
            >>> registry.set_registered_model_tag("churn", "tier", "gold", expected=None)
        """
        name, key = validation.model_name(name), validation.tag_key(key)
        change = SetModelTag(
            name=name,
            key=key,
            value=validation.tag_value(validation.tag_text(value)),
            requires=_tag_is(name, None, key, expected),
        )
        self._writer(reason).apply(change)

    def delete_registered_model_tag(
        self,
        name: str,
        key: str,
        *,
        expected: TagValue | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Remove a tag of the registered model; it need not exist.

        `expected` as in `set_registered_model_tag`.

        Example:
            >>> registry.delete_registered_model_tag("churn", "team")
        """
        name, key = validation.model_name(name), validation.tag_key(key)
        change = DeleteModelTag(name=name, key=key, requires=_tag_is(name, None, key, expected))
        self._writer(reason).apply(change)

    def set_model_version_tag(
        self,
        name: str,
        version: int | str,
        key: str,
        value: TagValue,
        *,
        expected: TagValue | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Set a tag of the model version; `expected` as in `set_registered_model_tag`.

        Example:
            >>> registry.set_model_version_tag("churn", 2, "auc", 0.94, expected="0.93")
        """
        number = _spelt(name, version)
        validation.tag_key(key)
        text = validation.version_tag_value(validation.tag_text(value), key=key)
        number = validation.possible_version(number, name=name, written=version)
        requires = _tag_is(name, number, key, expected)
        change = SetVersionTag(name=name, version=number, key=key, value=text, requires=requires)
        self._writer(reason).apply(change)

    def delete_model_version_tag(
        self,
        name: str,
        version: int | str,
        key: str,
        *,
        expected: TagValue | Unset | None = UNSET,
        reason: str | None = None,
    ) -> None:
        """Remove a tag of the model version; it need not exist.

        `expected` as in `set_registered_model_tag`.

        Example:
            >>> registry.delete_model_version_tag("churn", 2, "auc")
        """
        number = _spelt(name, version)
        validation.tag_key(key)
        number = validation.possible_version(number, name=name, written=version)
        requires = _tag_is(name, number, key, expected)
        change = DeleteVersionTag(name=name, version=number, key=key, requires=requires)
        self._writer(reason).apply(change)


def _alias_is(name: str, alias: str, expected: int | None) -> Requirement:
    return AliasIs(name=name, alias=alias, version=expected)


def _tag_is(
    name: str, version: int | None, key: str, expected: TagValue | Unset | None
) -> tuple[Requirement, ...]:
    if isinstance(expected, Unset):
        return ()
    value = None if expected is None else validation.tag_text(expected)
    return (TagIs(name=name, version=version, key=key, value=value),)


def _spelt(name: str, version: int | str) -> int:
    """Refuse a malformed key before anything else; there may be no version of that number."""
    validation.model_name(name)
    return validation.version(version)
