"""What readers see while others write."""

from __future__ import annotations

import threading

from registry_core.errors import RegisteredModelNotFoundError
from registry_core.models import Stage
from registry_core.testing.calls import Calls
from registry_core.testing.cases import (
    StoreCase,
    create_model,
    create_version,
    create_versions,
    new_webhook,
    transition,
)
from registry_core.testing.observing import (
    model_names,
    models_query,
    numbers,
    version_keys,
    versions_query,
    walk,
)
from registry_core.testing.racing import (
    FEW,
    ROUNDS,
    assert_all_succeeded,
    race,
    setting,
    values,
)


class ReadersTests(StoreCase):
    """What reads and searches see while writes happen."""

    def test_reads_during_transitions_see_one_moment(self, handles: tuple[Calls, Calls]) -> None:
        """There is one version in the stage at any moment, never none and never two."""
        writer, reader = handles
        create_model(writer)
        create_versions(writer, FEW)
        transition(writer, 1, Stage.PRODUCTION)

        done = threading.Event()

        def write() -> list[int]:
            with setting(done):
                for number in range(2, FEW + 1):
                    transition(writer, number, Stage.PRODUCTION, archive=True)
            return []

        def search() -> list[int]:
            counts = []
            while not done.is_set():
                found = list(walk(reader.search_model_versions, versions_query()))
                counts.append([v.current_stage for v in found].count(Stage.PRODUCTION))
            return counts

        def get() -> list[int]:
            counts = []
            while not done.is_set():
                latest = reader.get_registered_model("m").latest_versions
                counts.append([v.current_stage for v in latest].count(Stage.PRODUCTION))
            return counts

        outcomes = race(write, search, get)
        assert_all_succeeded(outcomes)
        assert {count for counted in values(outcomes) for count in counted} <= {1}

    def test_reads_during_a_rename_find_the_model_once(self, handles: tuple[Calls, Calls]) -> None:
        """Searches show it under one name; a reader that misses the old name finds the new one."""
        writer, reader = handles
        create_model(writer, "name 0")
        create_version(writer, "name 0")

        done = threading.Event()

        def write() -> list[list[str]]:
            with setting(done):
                for index in range(ROUNDS):
                    writer.rename_registered_model(f"name {index}", new_name=f"name {index + 1}")
            return []

        def search() -> list[list[str]]:
            found = []
            while not done.is_set():
                found.append(model_names(reader, models_query()))
            return found

        def get() -> list[list[str]]:
            index = 0
            while index < ROUNDS and not done.is_set():
                try:
                    reader.get_registered_model(f"name {index}")
                except RegisteredModelNotFoundError:
                    # It was renamed before we looked, so that its next name existed since.
                    index += 1
            return [[reader.get_registered_model(f"name {ROUNDS}").name]]

        outcomes = race(write, search, get)
        assert_all_succeeded(outcomes)
        assert {len(names) for names in outcomes[1].value or []} <= {1}
        assert model_names(reader, models_query()) == [f"name {ROUNDS}"]

    def test_a_write_is_seen_through_the_other_handle_at_once(
        self, handles: tuple[Calls, Calls]
    ) -> None:
        """By reads and by searches, whatever either handle has seen before."""
        here, there = handles
        for turn in range(4):
            here, there = there, here
            name, new_name = f"m{turn}", f"renamed{turn}"
            assert model_names(there, models_query(f"name = '{name}'")) == []
            create_model(here, name)
            assert model_names(there, models_query(f"name = '{name}'")) == [name]
            assert there.get_registered_model(name).tags == {}
            here.set_registered_model_tag(name, "k", "v")
            assert there.get_registered_model(name).tags == {"k": "v"}
            assert model_names(there, models_query(f"tags.k = 'v' AND name = '{name}'")) == [name]
            create_version(here, name)
            assert there.get_model_version(name, 1).tags == {}
            here.set_model_version_tag(name, 1, "k", "v")
            assert there.get_model_version(name, 1).tags == {"k": "v"}
            query = versions_query(f"tags.k = 'v' AND name = '{name}'")
            assert version_keys(there, query) == [(name, 1)]
            here.set_registered_model_alias(name, "a", version=1)
            assert there.get_model_version_by_alias(name, "a").version == 1
            transition(here, 1, Stage.STAGING, name=name)
            assert there.get_model_version(name, 1).current_stage is Stage.STAGING
            here.rename_registered_model(name, new_name=new_name)
            assert model_names(there, models_query(f"name LIKE '%{turn}'")) == [new_name]
            here.delete_model_version(new_name, 1)
            assert numbers(there, new_name) == []
            here.delete_registered_model(new_name)
            assert model_names(there, models_query()) == []
            hook = here.create_webhook(new_webhook())
            assert there.list_webhooks() == [hook]
            here.delete_webhook(hook.webhook_id)
            assert there.list_webhooks() == []
