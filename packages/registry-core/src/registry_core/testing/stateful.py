"""A machine that does the same to a store and to the memory store, and compares what can be seen.

Strategy: every step is one call on both, with the same arguments at the same moment. Its outcome,
a value or an error with its message, must be the same, and so must everything that can be read
afterwards. Steps draw from small pools of odd names, keys, aliases and texts, so that calls often
meet the same thing, and as often one that does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from registry_core import validation
from registry_core.models import (
    UNSET,
    Approval,
    NewWebhook,
    Stage,
    Status,
    WebhookChanges,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.search import Entity, Query
from registry_core.store import KeepsApprovals, approvals_of
from registry_core.testing import strategies
from registry_core.testing.ages import GAPS
from registry_core.testing.calls import Calls
from registry_core.testing.observing import MANY
from registry_core.testing.stateful_comparison import MakeStore, StoreComparison, model_if_any

"""Opens a fresh, empty store that goes by the clock; called once per example."""

POOL = 3
"""Names, keys, aliases and ids of an example: few, so that steps meet."""

_index = st.integers(0, POOL - 1)
_number = st.integers(1, 3) | st.integers(0, 4)
_entity = st.sampled_from(list(Entity))


class StoreMachine(StoreComparison):
    """See the module."""

    @initialize(
        data=st.data(),
        names=st.lists(strategies.names(), min_size=POOL, max_size=POOL, unique=True),
        keys=st.lists(strategies.tag_keys(), min_size=POOL, max_size=POOL, unique=True),
        aliases=st.lists(strategies.aliases(), min_size=POOL, max_size=POOL, unique=True),
        values=st.lists(strategies.texts(), min_size=POOL, max_size=2 * POOL, unique=True),
        ticks=st.lists(st.integers(0, 2), min_size=1, max_size=4),
    )
    def fill(
        self,
        *,
        data: st.DataObject,
        names: list[str],
        keys: list[str],
        aliases: list[str],
        values: list[str],
        ticks: list[int],
    ) -> None:
        """Fixes what the example is about, and starts with two models that have versions."""
        self._names, self._keys, self._aliases = names, keys, aliases
        self._values, self._ticks = values, ticks
        self._steps = 0
        # Strategies are slow to build: once per example, not once per step.
        self._new_models = [strategies.new_registered_models(n, keys, values) for n in names]
        self._new_versions = [strategies.new_model_versions(n, keys, values) for n in names]
        self._filters = {
            entity: strategies.filters(entity, names=names, keys=keys, values=values)
            for entity in Entity
        }
        self._standing = [
            self._draw_query(data, entity, exclude_prompts=exclude, size=MANY)
            for entity in Entity
            for exclude in (False, False, True)
        ]
        for index in (0, 1):
            self.create_model(data, index)
            for _ in range(2):
                self.create_version(data, index)
            self.set_alias(index, number=1, alias=index)

    @rule(gap=st.sampled_from([*GAPS.values()]))
    def let_time_pass(self, gap: int) -> None:
        """Days may lie between two steps; or a clock is set right."""
        self._clock.advance(gap)
        self._wall_clock.advance(gap)

    # Registered models

    @rule(data=st.data(), index=_index)
    def create_model(self, data: st.DataObject, index: int) -> None:
        """Creates a model, or gets the error that its name is taken."""
        new = data.draw(self._new_models[index])
        self._both(lambda store: store.create_registered_model(new), index)

    @rule(index=_index, description=strategies.optional_texts())
    def update_model(self, index: int, description: str | None) -> None:
        """Describes a model."""
        name = self._names[index]
        self._both(
            lambda store: store.update_registered_model(name, description=description), index
        )

    @rule(index=_index, new_index=_index)
    def rename_model(self, index: int, new_index: int) -> None:
        """Renames a model, perhaps to its own name, perhaps to a taken one."""
        name, new_name = self._names[index], self._names[new_index]
        self._both(
            lambda store: store.rename_registered_model(name, new_name=new_name), index, new_index
        )

    @rule(index=_index)
    def delete_model(self, index: int) -> None:
        """Deletes a model."""
        name = self._names[index]
        self._both(lambda store: store.delete_registered_model(name), index)

    # Model versions

    @rule(data=st.data(), index=_index)
    def create_version(self, data: st.DataObject, index: int) -> None:
        """Creates a version."""
        new = data.draw(self._new_versions[index])
        self._both(lambda store: store.create_model_version(new), index)

    @rule(index=_index, number=_number, description=strategies.optional_texts())
    def update_version(self, index: int, number: int, description: str | None) -> None:
        """Describes a version."""
        name = self._names[index]
        self._both(
            lambda store: store.update_model_version(name, number, description=description), index
        )

    @rule(
        index=_index,
        number=_number,
        status=st.sampled_from([Status.READY, Status.FAILED_REGISTRATION]),
        message=st.sampled_from([None, "", "why"]),
        source=st.sampled_from([None, "s3://b/new"]),
        location=st.sampled_from([None, "s3://b/location"]),
    )
    def finalize_version(
        self,
        *,
        index: int,
        number: int,
        status: Status,
        message: str | None,
        source: str | None,
        location: str | None,
    ) -> None:
        """Finalizes a version, pending or not."""
        name = self._names[index]
        self._both(
            lambda store: store.finalize_model_version(
                name,
                number,
                status=status,
                status_message=message,
                source=source,
                storage_location=location,
            ),
            index,
        )

    @rule(
        index=_index,
        number=_number,
        source=st.sampled_from(["s3://b/new", "s3://b/newer"]),
        tags=st.sampled_from([{}, {"k": "relocated"}]),
    )
    def relocate_version(self, index: int, number: int, source: str, tags: dict[str, str]) -> None:
        """Says where a version's files are."""
        name = self._names[index]
        self._both(
            lambda store: store.relocate_model_version(name, number, source=source, tags=tags),
            index,
        )

    @rule(index=_index, number=_number, goal=strategies.stages())
    def transition_version(self, index: int, number: int, goal: tuple[Stage, bool]) -> None:
        """Moves a version to a stage."""
        name, (stage, archive) = self._names[index], goal
        self._both(
            lambda store: store.transition_model_version_stage(
                name, number, stage=stage, archive_existing_versions=archive
            ),
            index,
        )

    @rule(index=_index, number=_number)
    def delete_version(self, index: int, number: int) -> None:
        """Deletes a version."""
        name = self._names[index]
        self._both(lambda store: store.delete_model_version(name, number), index)

    @rule(data=st.data(), index=_index)
    def replace_newest_version(self, data: st.DataObject, index: int) -> None:
        """Deletes the newest version and creates another, which random numbers seldom do."""
        model = model_if_any(self._reference, self._names[index])
        if model is not None and model.latest_versions:
            self.delete_version(index, max(v.version for v in model.latest_versions))
            self.create_version(data, index)

    @rule(index=_index, alias=_index)
    def delete_aliased_version(self, index: int, alias: int) -> None:
        """Deletes a version that has an alias, likewise."""
        model = model_if_any(self._reference, self._names[index])
        if model is not None and self._aliases[alias] in model.aliases:
            self.delete_version(index, model.aliases[self._aliases[alias]])

    # Tags and aliases

    @rule(index=_index, key=_index, data=st.data())
    def set_model_tag(self, index: int, key: int, data: st.DataObject) -> None:
        """Tags a model."""
        name, value = self._names[index], data.draw(st.sampled_from(self._values))
        self._both(
            lambda store: store.set_registered_model_tag(name, self._keys[key], value), index
        )

    @rule(index=_index, value=st.sampled_from(["true", "True", "false", None]))
    def mark_as_prompt(self, index: int, value: str | None) -> None:
        """Makes a model a prompt, or something like it, or a model again."""
        name, key = self._names[index], validation.PROMPT_TAG
        if value is None:
            self._both(lambda store: store.delete_registered_model_tag(name, key), index)
        else:
            self._both(lambda store: store.set_registered_model_tag(name, key, value), index)

    @rule(index=_index, key=_index)
    def delete_model_tag(self, index: int, key: int) -> None:
        """Removes a tag of a model, present or not."""
        name = self._names[index]
        self._both(lambda store: store.delete_registered_model_tag(name, self._keys[key]), index)

    @rule(index=_index, number=_number, key=_index, data=st.data())
    def set_version_tag(self, index: int, number: int, key: int, data: st.DataObject) -> None:
        """Tags a version."""
        name, value = self._names[index], data.draw(st.sampled_from(self._values))
        self._both(
            lambda store: store.set_model_version_tag(name, number, self._keys[key], value), index
        )

    @rule(index=_index, number=_number, key=_index)
    def delete_version_tag(self, index: int, number: int, key: int) -> None:
        """Removes a tag of a version, present or not."""
        name = self._names[index]
        self._both(
            lambda store: store.delete_model_version_tag(name, number, self._keys[key]), index
        )

    @rule(index=_index, number=_number, alias=_index)
    def set_alias(self, index: int, number: int, alias: int) -> None:
        """Points an alias at a version."""
        name = self._names[index]
        self._both(
            lambda store: store.set_registered_model_alias(
                name, self._aliases[alias], version=number
            ),
            index,
        )

    @rule(index=_index, alias=_index)
    def delete_alias(self, index: int, alias: int) -> None:
        """Removes an alias, present or not."""
        name = self._names[index]
        self._both(
            lambda store: store.delete_registered_model_alias(name, self._aliases[alias]), index
        )

    # Approvals

    @rule(index=_index, number=_number, actor=_index, digest=_index)
    def approve_version(self, index: int, number: int, actor: int, digest: int) -> None:
        """Approves a version."""
        approval = Approval(actor=f"actor-{actor}", digest=f"sha256:{str(digest) * 64}")
        self._about_approvals(
            lambda store: store.approve_model_version(self._names[index], number, approval), index
        )

    @rule(index=_index, number=_number, actor=_index)
    def withdraw_approval(self, index: int, number: int, actor: int) -> None:
        """Withdraws an approval, present or not."""
        self._about_approvals(
            lambda store: store.withdraw_approval(self._names[index], number, f"actor-{actor}"),
            index,
        )

    def _about_approvals(self, call: Callable[[Calls], object], index: int) -> None:
        if isinstance(self._subject.backend, KeepsApprovals):
            self._both(call, index)
            self._compare(lambda store: approvals_of(store.backend, self._names[index]))

    # Webhooks

    @rule(index=_index, events=strategies.webhook_events(), text=strategies.optional_texts())
    def create_webhook(
        self, index: int, events: tuple[WebhookEvent, ...], text: str | None
    ) -> None:
        """Creates a webhook, unless there is one under that id: ids are not chosen twice."""
        webhook_id = f"webhook-{index}"
        if webhook_id in {hook.webhook_id for hook in self._reference.list_webhooks()}:
            return
        new = NewWebhook(
            webhook_id=webhook_id,
            name="hook",
            url="https://example.com",
            events=events,
            description=text,
            secret=text,
        )
        self._both(lambda store: store.create_webhook(new))

    @rule(
        index=_index,
        events=st.just(UNSET) | strategies.webhook_events(),
        text=st.just(UNSET) | strategies.optional_texts(),
        status=st.just(UNSET) | st.sampled_from(list(WebhookStatus)),
    )
    def update_webhook(self, index: int, events: Any, text: Any, status: Any) -> None:
        """Changes a webhook."""
        changes = WebhookChanges(events=events, description=text, secret=text, status=status)
        self._both(lambda store: store.update_webhook(f"webhook-{index}", changes))

    @rule(index=_index)
    def delete_webhook(self, index: int) -> None:
        """Deletes a webhook."""
        self._both(lambda store: store.delete_webhook(f"webhook-{index}"))

    # Searches

    @rule(data=st.data(), entity=_entity, exclude=st.booleans(), size=st.integers(1, 4))
    def search(
        self,
        data: st.DataObject,
        entity: Entity,
        exclude: bool,  # noqa: FBT001 drawn by name
        size: int,
    ) -> None:
        """Searches, and walks all pages."""
        query: Query | None = self._draw_query(data, entity, exclude_prompts=exclude, size=size)
        while query is not None:
            query = self._page(query)

    @rule(data=st.data(), entity=_entity)
    def begin_walk(self, data: st.DataObject, entity: Entity) -> None:
        """Reads a first page; other steps come before the next one."""
        query = self._draw_query(data, entity, exclude_prompts=False, size=1)
        self._walk = self._page(query)

    @rule(size=st.integers(1, 3))
    def go_on_walking(self, size: int) -> None:
        """Reads the next page of the walk, in another size."""
        if self._walk is not None:
            self._walk = self._page(attrs.evolve(self._walk, max_results=size))


def store_machine(
    make_store: MakeStore, *, keeps_history: bool = True
) -> type[RuleBasedStateMachine]:
    """The machine for stores of this kind. Hypothesis runs it; its `TestCase` is a test class."""

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(make_store, keeps_history=keeps_history)

    return Machine


class StatefulTests:
    """The machine as a test class: subclass it and override the fixture `make_store`."""

    max_examples: ClassVar[int] = 25
    """Runs of the machine; a nightly job takes more."""

    steps: ClassVar[int] = 30
    """Steps of a run."""

    keeps_history: ClassVar[bool] = True
    """Whether the store keeps events; a store that says False is not asked for them."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Opens a fresh, empty store that goes by the clock it is given."""
        pytest.fail(f"{type(self).__name__} must override the fixture `make_store`")

    def test_store_does_what_the_memory_store_does(self, make_store: MakeStore) -> None:
        """Any steps, any arguments: the same results, errors and contents."""
        run_state_machine_as_test(
            store_machine(make_store, keeps_history=self.keeps_history),
            settings=settings(
                max_examples=self.max_examples,
                stateful_step_count=self.steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
