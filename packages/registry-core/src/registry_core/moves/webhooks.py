"""The webhooks of a registry in a copy: everything of them but their secrets.

Strategy. A webhook keeps no history, so nothing says who changed it. But a copy leaves a digest of
what it has written, so that the next one knows whether that is still there. Then the webhook is
brought up to date; or else it is a conflict, and the caller has said what becomes of it. Where no
digest is kept, one that was never changed since it was made is brought up to date. A server chooses
the ids of its webhooks itself: one that the target does not know by its id is the one with the same
name and URL.

Secrets stay where they are: each registry encrypts them with a key of its own, and servers never
show them. A secret that the target was given since is kept whatever else is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from registry_core.calls.snapshots import OnConflict
from registry_core.errors import RegistryError, UnsupportedBackendError
from registry_core.models import Webhook, WebhookChanges
from registry_core.moves.outcomes import Copied, Difference, Outcome
from registry_core.store import Store
from registry_core.webhook_records import differing_fields, digest_of
from registry_core.webhooks import UrlPolicy, Webhooks


@runtime_checkable
class WebhookSource(Protocol):
    """A source that has webhooks."""

    def webhooks(self) -> list[Webhook]:
        """Return all webhooks, their secrets as they are kept.

        Raises:
            UnsupportedBackendError: A server of a release of MLflow that has none.
        """
        ...


def webhooks_in(source: object) -> list[Webhook]:
    """Return the webhooks of a source; none of one that keeps none."""
    if not isinstance(source, WebhookSource):
        return []
    try:
        return source.webhooks()
    except UnsupportedBackendError:
        return []  # MLflow before 3.3


def copy_webhooks(
    source: object, target: Store, *, on_conflict: OnConflict = "fail", dry_run: bool = False
) -> Iterator[Copied]:
    """Copy all webhooks of a source, without secrets, and yield what became of each."""
    try:
        hooks = webhooks_in(source)
        others = target.list_webhooks() if hooks else []
    except RegistryError as error:
        yield Copied(name="webhooks", outcome=Outcome.FAILED, detail=str(error))
        return
    for wanted, there in _paired(hooks, others):
        if wanted is None:
            continue
        outcome, detail = _decide(wanted, there, on_conflict)
        if outcome.is_written and not dry_run:
            try:
                _write(wanted, there, target)
            except RegistryError as error:
                outcome, detail = Outcome.FAILED, str(error)
        yield Copied(name=_title(wanted), outcome=outcome, detail=detail)


def compare_webhooks(one: object, other: object) -> Iterator[Difference]:
    """Yield where the webhooks of two sources differ. No URL is in it: some hold credentials."""
    for left, right in _paired(webhooks_in(one), webhooks_in(other)):
        if left is not None and right is not None:
            for field in differing_fields(left, right):
                yield Difference(name=_title(left), difference=f"{field} differs")
            continue
        present, side = (left, "first") if right is None else (right, "second")
        assert present is not None, "a webhook is on one side at least"
        yield Difference(
            name=_title(present),
            difference=f"only in the {side}",
            is_only_in_second=left is None,
        )


def _paired(
    found: Sequence[Webhook], others: Sequence[Webhook]
) -> Iterator[tuple[Webhook | None, Webhook | None]]:
    """Yield each webhook with the one of the other side that is the same, if there is one."""
    left = {each.webhook_id: each for each in others}
    pairs = {each.webhook_id: left.pop(each.webhook_id, None) for each in found}
    # Oldest first, so that equal ones are paired in the order in which they were made.
    for each in reversed(found):
        if pairs[each.webhook_id] is None:
            same = (other for other in reversed(left.values()) if _is_named(each, other))
            if (named := next(same, None)) is not None:
                pairs[each.webhook_id] = left.pop(named.webhook_id)
    for each in reversed(found):
        yield each, pairs[each.webhook_id]
    for other in left.values():
        yield None, other


def _is_named(one: Webhook, other: Webhook) -> bool:
    return (one.name, one.url) == (other.name, other.url)


def _decide(wanted: Webhook, there: Webhook | None, on_conflict: OnConflict) -> tuple[Outcome, str]:
    if there is None:
        return Outcome.COPIED, ""
    differing = differing_fields(wanted, there)
    if not differing:
        return Outcome.UNCHANGED, ""
    if _is_as_copied(there):
        return Outcome.UPDATED, ""
    if on_conflict == "replace":
        return Outcome.REPLACED, ""
    outcome = Outcome.SKIPPED if on_conflict == "skip" else Outcome.FAILED
    return outcome, f"others have changed it in the target: {', '.join(differing)}"


def _is_as_copied(there: Webhook) -> bool:
    if there.copied_as is None:
        return there.last_updated_timestamp == there.creation_timestamp
    return there.copied_as == digest_of(there)


def _write(wanted: Webhook, there: Webhook | None, target: Store) -> None:
    # Addresses are looked at by the server that delivers, in its own network and at each delivery.
    urls = UrlPolicy(schemes=("https", "http"), allow_private_addresses=True)
    webhooks = Webhooks(target, urls=urls, new_id=lambda: wanted.webhook_id)
    if there is None:
        webhooks.create_webhook(
            wanted.name,
            url=wanted.url,
            events=wanted.events,
            description=wanted.description,
            status=wanted.status,
            copied_as=digest_of(wanted),
        )
        return
    changes = WebhookChanges(
        name=wanted.name,
        url=wanted.url,
        events=wanted.events,
        description=wanted.description,
        status=wanted.status,
        copied_as=digest_of(wanted),
    )
    webhooks.update_webhook(there.webhook_id, changes)


def _title(webhook: Webhook) -> str:
    return f"webhook '{webhook.name}' ({webhook.webhook_id})"
