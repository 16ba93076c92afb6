"""A registry as code: what a file says of models and webhooks, and what it takes to make it so.

Only what is declared is looked at: the tags and aliases of a model that the file does not name stay
as they are, unless they are to be pruned. Models and versions are data, and are never deleted here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from registry_core import validation
from registry_core.errors import (
    InvalidArgumentError,
    RegisteredModelNotFoundError,
    StaleValueError,
)
from registry_core.models import (
    UNSET,
    RegisteredModel,
    Unset,
    Webhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.registry import Registry
from registry_core.toml_tables import WHOLE_FILE, Table, content_of, parsed, tables
from registry_core.validation import VERSION_MAX
from registry_core.webhooks.events import check_events
from registry_core.webhooks.facade import Webhooks, check_name


@attrs.frozen(kw_only=True)
class DeclaredModel:
    """What a registered model should be like; `UNSET` is whatever it is."""

    name: str
    description: str | Unset = UNSET
    tags: Mapping[str, str] | Unset = UNSET
    aliases: Mapping[str, int] | Unset = UNSET


@attrs.frozen(kw_only=True)
class DeclaredWebhook:
    """What a webhook should be like, by its name."""

    name: str
    url: str
    events: tuple[WebhookEvent, ...]
    description: str | None = None
    status: WebhookStatus = WebhookStatus.ACTIVE
    secret: str | None = attrs.field(default=None, repr=False)
    """What deliveries are signed with. Whether it is still the same, no store tells: it is set when
    the webhook is made, and with another change."""


@attrs.frozen(kw_only=True)
class Declarations:
    """A whole file. Without a table `webhooks` in it, webhooks are left alone."""

    models: tuple[DeclaredModel, ...] = ()
    webhooks: tuple[DeclaredWebhook, ...] | None = None


@attrs.frozen(kw_only=True)
class Step:
    """One change that leads to what is declared."""

    subject: str
    """What it is about: `models:/churn`, or `webhook ci`."""
    what: str
    """Which part of it: `tag 'team'`, `alias 'champion'`, or nothing for all of it."""
    before: str | None
    after: str | None
    apply: Callable[[], object] = attrs.field(repr=False, eq=False)
    """Make the change, unless somebody has changed the part since the plan was made.

    Of tags and aliases the store sees to that in the step that makes the change. A description or a
    webhook is looked at again right before.

    Raises:
        StaleValueError: Somebody has; nothing was changed.
        WebhookNotFoundError: Somebody has deleted the webhook.
    """


def load(path: str | Path) -> Declarations:
    """Return what a file of TOML declares.

    Raises:
        InvalidArgumentError: It cannot be read, or as `declarations_of`.
    """
    _, document = parsed(content_of(Path(path)), str(path))
    return declarations_of(document, file=str(path))


def declarations_of(document: Mapping[str, Any], *, file: str = "registry.toml") -> Declarations:
    """Return what a document of TOML or JSON declares; `file` is what errors call it.

    Raises:
        InvalidArgumentError: It has another form; the message names the table and the key.
    """
    Table(file, WHOLE_FILE, document).only("models", "webhooks")
    models = tuple(_model(name, each) for name, each in tables(file, document, "models"))
    webhooks = tuple(_webhook(name, each) for name, each in tables(file, document, "webhooks"))
    return Declarations(models=models, webhooks=webhooks if "webhooks" in document else None)


def plan(registry: Registry, declared: Declarations, *, prune: bool = False) -> list[Step]:
    """Return what it takes to make a registry what is declared; nothing is changed.

    `prune` also removes the tags and aliases of declared models that are not declared, and the
    webhooks that are not, if any are declared.

    Raises:
        InvalidArgumentError: What is declared is illegal.
    """
    steps = [step for model in declared.models for step in _steps_of(registry, model, prune=prune)]
    if declared.webhooks is not None:
        steps += _webhook_steps(registry, declared.webhooks, prune=prune)
    return steps


def _steps_of(registry: Registry, declared: DeclaredModel, *, prune: bool) -> Iterator[Step]:
    uri, name = f"models:/{declared.name}", declared.name
    try:
        model = registry.get_registered_model(name)
    except RegisteredModelNotFoundError:
        model = RegisteredModel(name=name, creation_timestamp=0, last_updated_timestamp=0)
        create = partial(registry.create_registered_model, name)
        yield Step(subject=uri, what="", before=None, after="created", apply=create)
    if not isinstance(declared.description, Unset):
        before, after = model.description or None, declared.description or None
        if before != after:
            change = _unless_changed(
                f"The description of model '{name}'",
                lambda: registry.get_registered_model(name).description or None,
                before,
                partial(registry.update_registered_model, name, description=after),
            )
            yield Step(subject=uri, what="description", before=before, after=after, apply=change)
    if not isinstance(declared.tags, Unset):
        yield from _parts(
            uri,
            "tag",
            model.tags,
            declared.tags,
            put=partial(registry.set_registered_model_tag, name),
            remove=partial(registry.delete_registered_model_tag, name),
            prune=prune,
        )
    if not isinstance(declared.aliases, Unset):
        yield from _parts(
            uri,
            "alias",
            model.aliases,
            declared.aliases,
            put=partial(registry.set_registered_model_alias, name),
            remove=partial(registry.delete_registered_model_alias, name),
            prune=prune,
        )


def _parts(
    uri: str,
    kind: str,
    current: Mapping[str, Any],
    declared: Mapping[str, Any],
    *,
    put: Callable[..., object],
    remove: Callable[..., object],
    prune: bool,
) -> Iterator[Step]:
    for key in sorted(declared.keys() | (current.keys() if prune else ())):
        before, after = current.get(key), declared.get(key)
        if before == after:
            continue
        change = (
            partial(remove, key, expected=before)
            if after is None
            else partial(put, key, after, expected=before)
        )
        yield Step(
            subject=uri,
            what=f"{kind} '{key}'",
            before=None if before is None else str(before),
            after=None if after is None else str(after),
            apply=change,
        )


def _webhook_steps(
    registry: Registry, declared_webhooks: tuple[DeclaredWebhook, ...], *, prune: bool
) -> Iterator[Step]:
    webhooks = registry.webhooks
    hooks = webhooks.store.list_webhooks()
    for declared in declared_webhooks:
        named = _named(hooks, declared.name)
        if len(named) > 1:
            raise InvalidArgumentError(
                f"Several webhooks are called '{declared.name}': rename some"
            )
        yield from _steps_of_webhook(webhooks, declared, named[0] if named else None)
    declared_names = {each.name for each in declared_webhooks}
    for hook in hooks if prune else ():
        if hook.name not in declared_names:
            remove = _unless_webhook_changed(
                webhooks, hook, partial(webhooks.delete_webhook, hook.webhook_id)
            )
            yield Step(
                subject=f"webhook {hook.name}", what="", before=hook.url, after=None, apply=remove
            )


def _named(listed: Iterable[Webhook], name: str) -> list[Webhook]:
    return [hook for hook in listed if hook.name == name]


def _steps_of_webhook(
    webhooks: Webhooks, declared: DeclaredWebhook, known: Webhook | None
) -> Iterator[Step]:
    fields = {key: getattr(declared, key) for key in _FIELDS}
    secret: dict[str, Any] = {} if declared.secret is None else {"secret": declared.secret}
    subject = f"webhook {declared.name}"
    if known is None:

        def look() -> str | None:
            there = _named(webhooks.store.list_webhooks(), declared.name)
            return _shown_webhook(there[0]) if there else None

        create = partial(webhooks.create_webhook, declared.name, **fields, **secret)
        make = _unless_changed(f"Webhook '{declared.name}'", look, None, create)
        yield Step(subject=subject, what="", before=None, after=declared.url, apply=make)
        return
    differing = {key: value for key, value in fields.items() if _differs(known, key, value)}
    if differing:
        changes = WebhookChanges(**differing, **secret)
        yield Step(
            subject=subject,
            what=", ".join(differing),
            before=_shown({key: getattr(known, key) for key in differing}),
            after=_shown(differing),
            apply=_unless_webhook_changed(
                webhooks, known, partial(webhooks.update_webhook, known.webhook_id, changes)
            ),
        )


_FIELDS = ("url", "events", "description", "status")
"""What a declaration says of a webhook, beside its name and its secret."""


def _unless_webhook_changed(
    webhooks: Webhooks, known: Webhook, change: Callable[[], object]
) -> Callable[[], object]:
    return _unless_changed(
        f"Webhook '{known.name}'",
        lambda: _shown_webhook(webhooks.get_webhook(known.webhook_id)),
        _shown_webhook(known),
        change,
    )


def _unless_changed(
    what: str,
    look: Callable[[], str | None],
    before: str | None,
    change: Callable[[], object],
) -> Callable[[], object]:
    def apply() -> object:
        current = look()
        if current != before:
            raise StaleValueError(
                f"{what} was changed by somebody else since the plan was made", current=current
            )
        return change()

    return apply


def _shown_webhook(hook: Webhook) -> str:
    return _shown({key: getattr(hook, key) for key in _FIELDS})


def _differs(known: Webhook, key: str, value: Any) -> bool:
    before = getattr(known, key)
    if key == "events":
        return sorted(before) != sorted(value)
    return (before or None) != (value or None)


def _shown(fields: Mapping[str, Any]) -> str:
    return ", ".join(
        " ".join(f"{event.entity}.{event.action}" for event in value)
        if key == "events"
        else str(value or "-")
        for key, value in fields.items()
    )


def _model(name: str, table: Table) -> DeclaredModel:
    table.only("description", "tags", "aliases")
    description = table.any_text("description")
    return DeclaredModel(
        name=table.accepted("name", name, validation.model_name),
        description=UNSET
        if description is None
        else table.accepted("description", description, validation.description) or "",
        tags=_tags(table) if table.has("tags") else UNSET,
        aliases=_aliases(table) if table.has("aliases") else UNSET,
    )


def _tags(table: Table) -> Mapping[str, str]:
    tags = table.values("tags", '{ team = "risk" }')
    for key, value in tags.items():
        if not isinstance(value, str | int | float):
            raise table.error("tags", f"must have a text or a number for '{key}'")
    return table.accepted("tags", tags, lambda value: validation.tags(validation.tag_texts(value)))


def _aliases(table: Table) -> Mapping[str, int]:
    aliases = table.values("aliases", "{ champion = 7 }")
    for alias, number in aliases.items():
        table.accepted("aliases", alias, validation.new_alias)
        if type(number) is not int or not 1 <= number <= VERSION_MAX:
            raise table.error("aliases", f"must have the number of a version for '{alias}'")
    return aliases


def _webhook(name: str, table: Table) -> DeclaredWebhook:
    table.only("url", "events", "description", "enabled", "secret_env")
    events = tuple(_event(each, table) for each in table.texts("events"))
    is_enabled = table.truth("enabled", default=True)
    return DeclaredWebhook(
        name=table.accepted("name", name, check_name),
        url=table.text("url"),
        events=table.accepted("events", events, check_events),
        description=table.any_text("description"),
        status=WebhookStatus.ACTIVE if is_enabled else WebhookStatus.DISABLED,
        secret=_secret(table) if table.has("secret_env") else None,
    )


def _secret(table: Table) -> str:
    variable = table.text("secret_env")
    secret = os.environ.get(variable)
    if not secret:
        raise table.error("secret_env", f"names '{variable}', which is not set")
    return secret


def _event(text: str, table: Table) -> WebhookEvent:
    entity, _, action = text.lower().partition(".")
    try:
        return WebhookEvent(WebhookEntity(entity), WebhookAction(action))
    except ValueError:
        raise table.error(
            "events", f"has {text!r}, and wants events such as model_version.created"
        ) from None
