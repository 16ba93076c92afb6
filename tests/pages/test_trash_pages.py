"""The trash: what was deleted, and the forms that bring it back."""

from __future__ import annotations

from urllib.parse import quote, urljoin

import pytest

from registry_core import Registry
from registry_core.stores.memory import MemoryStore
from services.in_process import InProcessServer
from services.pages_browser import Parsed


@pytest.fixture
def server():
    """A server over an empty registry, whose store has the clock that retention goes by."""
    with InProcessServer(Registry(MemoryStore(), local_sources=False)) as server:
        yield server


@pytest.fixture
def registry(server):
    return server.registry.acting_as("ann")


def followed(browser, answer):
    assert answer.status == 303, Parsed(answer.body.decode()).text
    return browser.page(answer.headers["location"])


def test_model_is_deleted_and_restored_under_another_name(browser, registry):
    """The name is in use by then: the form says so, and keeps the reason."""
    name = "a/b".replace("/", "\u2215") + " <i>?&"
    registry.create_registered_model(name, tags={"k": "v"})
    registry.create_model_version(name, source="s3://b/1")
    settings = f"/models/{quote(name, safe='')}/settings"
    delete = browser.form(settings, "%26/delete")
    assert (
        "The trash has it"
        in followed(browser, browser.submit(delete, confirmed=name, reason="obsolete")).text
    )
    registry.create_registered_model(name)
    trash = browser.page("/trash")
    assert f"{name} just now by anonymous: “obsolete” 30 days" in trash.text
    link = urljoin(browser.url, trash.links["Restore"])
    form = browser.form(link, "")
    taken = browser.submit(form, reason="needed")
    page = Parsed(taken.body.decode())
    assert taken.status == 409
    assert "under another name" in page.text
    assert page.forms[-1].fields["reason"] == "needed"
    done = followed(browser, browser.submit(page.forms[-1], new_name="restored"))
    assert "restored is back. It was called" in done.text
    event = next(registry.history("restored"))
    assert (event.action.value, event.reason, event.actor) == (
        "restore_model",
        "needed",
        "anonymous",
    )
    assert registry.get_registered_model("restored").tags == {"k": "v"}
    assert "Nothing was deleted lately" in browser.page("/trash").text
    assert "restored the model under another name" in browser.page("/activity").text
    assert browser.get(link).status == 404, "it has been restored"


def test_version_is_deleted_and_restored_with_a_reason(browser, registry):
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/1", description="the *first*")
    form = browser.form("/models/churn/versions/1", "/1/delete")
    browser.submit(form, confirmed="1", reason="broken")
    listed = browser.page("/trash?q=CHU")
    link = urljoin(browser.url, listed.links["Restore"])
    assert "Nothing of that name" in browser.page("/trash?q=other").text
    page = browser.page(link)
    assert "anonymous deleted it just now : “broken”" in page.text
    assert "the *first*" in page.text
    done = followed(browser, browser.submit(browser.form(link, ""), reason="was fine"))
    assert "Version 1 is back" in done.text
    assert registry.get_model_version("churn", 1).description == "the *first*"
    assert "restored version 1 “was fine”" in browser.page("/models/churn/history").text


def test_trash_as_data(browser, registry):
    registry.create_registered_model("churn")
    for _ in range(2):
        registry.create_model_version("churn", source="s3://b/1", tags={"k": "v"})
    registry.delete_model_version("churn", 2)
    registry.create_registered_model("gone")
    registry.delete_registered_model("gone", reason="why")
    data = browser.get("/trash", accept="application/json").json
    (model,), (version,) = data["deleted_models"], data["deleted_versions"]
    assert (model["name"], model["reason"], model["deleted_by"]) == ("gone", "why", "ann")
    assert (version["name"], version["version"], version["fields"]["source"]) == (
        "churn",
        2,
        "s3://b/1",
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [("/trash/models/none/0", 404), ("/trash/versions/churn/1", 404), ("/trash/nothing", 404),
     ("/trash/versions/none/1", 404), ("/trash/versions/churn/x", 400)],
)  # fmt: skip
def test_what_is_not_in_the_trash_is_not_found(browser, registry, path, status):
    registry.create_registered_model("churn")
    assert browser.get(path).status == status
