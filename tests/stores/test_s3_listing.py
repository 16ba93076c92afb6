"""A listing of many pages shows every model once, whatever is renamed between the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from registry_core.errors import ConflictError
from registry_core.models import NewRegisteredModel
from registry_core.stores.s3 import S3Store, listing
from registry_core.testing.observing import model_names, models_query
from services.opened import open_s3_store as open_store

pytestmark = pytest.mark.usefixtures("found_out")

NAMES = ("b", "d", "f", "h", "j")


@pytest.fixture
def writer(s3_url: str) -> Iterator[S3Store]:
    """Has models in three pages, two keys to a page."""
    store = open_store(s3_url)
    for name in NAMES:
        store.create_registered_model(NewRegisteredModel(name=name, tags={"born": name}))
    yield store
    store.close()


@pytest.fixture
def reader(s3_url: str) -> Iterator[S3Store]:
    store = open_store(s3_url)
    store.list_webhooks()
    store._prefix.objects.page_keys = 2
    yield store
    store.close()


def between_pages(reader: S3Store, page: int, act: Callable[[], object]) -> None:
    """Acts just before that page of the next listing is asked for."""
    left = [page]

    def observe(operation: str, key: str) -> None:
        if operation == "list" and key.endswith("models/"):
            left[0] -= 1
            if left[0] == -1:
                act()

    reader.observe(observe)


def born(reader: S3Store) -> list[str]:
    """Which models a listing shows, by the tag that they were created with."""
    page = reader.search_registered_models(models_query())
    return sorted(model.tags["born"] for model in page.items)


def rename(writer: S3Store, *steps: tuple[str, str]) -> Callable[[], None]:
    def act() -> None:
        for old, new in steps:
            writer.rename_registered_model(old, new_name=new)

    return act


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize(
    "steps",
    [
        [("b", "z")],
        [("j", "a")],
        [("j", "a"), ("b", "z")],
        [("j", "i"), ("i", "a")],
        [("b", "c"), ("c", "z"), ("z", "k")],
        [("j", "a"), ("f", "j")],
        [("b", "z"), ("z", "b")],
    ],
    ids=str,
)
def test_renames_between_pages_hide_and_repeat_nothing(
    writer: S3Store, reader: S3Store, page: int, steps: list[tuple[str, str]]
) -> None:
    """Forward, backward, on and on, there and back, and onto a name that just became free."""
    between_pages(reader, page, rename(writer, *steps))
    assert born(reader) == sorted(NAMES)
    reader.observe(None)
    assert born(reader) == sorted(NAMES)
    assert len(model_names(reader, models_query())) == len(NAMES)


def test_a_model_that_leaves_to_where_another_came_is_found(
    writer: S3Store, reader: S3Store
) -> None:
    """Its trail leads past a name that somebody else has by now; he may be shown as well."""

    def act() -> None:
        rename(writer, ("j", "a"), ("a", "c"))()
        writer.create_registered_model(NewRegisteredModel(name="a", tags={"born": "a"}))

    between_pages(reader, 1, act)
    assert set(NAMES) <= set(born(reader)) <= {*NAMES, "a"}
    assert born(reader) == sorted([*NAMES, "a"])


def test_a_model_deleted_after_it_was_renamed_is_not_shown(
    writer: S3Store, reader: S3Store
) -> None:
    """The trail ends at a tombstone."""

    def act() -> None:
        writer.rename_registered_model("j", new_name="a")
        writer.delete_registered_model("a")

    between_pages(reader, 1, act)
    assert born(reader) == sorted(set(NAMES) - {"j"})


def test_a_registry_where_everything_moves_all_the_time_is_a_conflict(
    writer: S3Store, reader: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a listing that may lack something."""

    def torn(entries: object) -> None:
        raise listing._TornError

    monkeypatch.setattr(listing, "_listing", torn)
    sent = []
    reader.observe(lambda operation, key: sent.append(operation))
    with pytest.raises(ConflictError, match="renamed faster"):
        reader.search_registered_models(models_query())
    assert sent.count("list") >= listing.TORN_ATTEMPTS


def test_a_search_by_names_shows_a_model_under_one_of_them(
    writer: S3Store, reader: S3Store
) -> None:
    """Each name is read for itself, and a rename may come in between."""
    for number, (old, new) in enumerate([("b", "z"), ("z", "b")] * 2):
        left = [1 + number // 2]

        def observe(operation: str, key: str, step=(old, new), left=left) -> None:
            left[0] -= 1
            if left[0] == 0:
                writer.rename_registered_model(step[0], new_name=step[1])

        reader.observe(observe)
        assert len(model_names(reader, models_query("name IN ('b', 'z')"))) == 1
        reader.observe(None)
        assert model_names(reader, models_query("name IN ('b', 'z')")) == [new]


def test_an_unfinished_rename_is_shown_once_and_then_finished(
    writer: S3Store, reader: S3Store
) -> None:
    """By the first listing that meets it; the next one costs its pages only."""

    class CrashError(BaseException):
        pass

    left = [3]

    def crash(operation: str, key: str) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise CrashError

    writer.observe(crash)
    with pytest.raises(CrashError):
        writer.rename_registered_model("b", new_name="z")
    assert born(reader) == sorted(NAMES)
    sent = []
    reader.observe(lambda operation, key: sent.append(operation))
    assert model_names(reader, models_query()) == ["d", "f", "h", "j", "z"]
    assert set(sent) == {"list"}
