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


def links_of(browser, path):
    """Where the links of a page lead, by their labels."""
    page = browser.page(path)
    return {label: urljoin(browser.url, link) for label, link in page.links.items()}


def landed(browser, links, label):
    """The page that a link leads to in the end, its address and its status."""
    address = links[label]
    answer = browser.get(address)
    while answer.status == 303:
        address = urljoin(address, answer.headers["location"])
        answer = browser.get(address)
    return address, Parsed(answer.body.decode()), answer.status


def test_links_of_the_activity_lead_to_the_model_whatever_it_is_called_by_now(browser, registry):
    """Not to nothing, and not to another model that has taken the name."""
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/1")
    registry.set_registered_model_alias("churn", "champion", version=1)
    listed = links_of(browser, "/activity")
    assert landed(browser, listed, "churn")[0].endswith("/models/churn")
    assert landed(browser, listed, "1")[0].endswith("/models/churn/versions/1")
    assert landed(browser, listed, "champion")[0].endswith("/models/churn/aliases/champion")
    registry.rename_registered_model("churn", new_name="leavers")
    registry.create_registered_model("churn", description="another")
    assert landed(browser, listed, "churn")[0].endswith("/models/leavers")
    assert landed(browser, listed, "1")[0].endswith("/models/leavers/versions/1")
    registry.delete_model_version("leavers", 1)
    address, page, status = landed(browser, listed, "1")
    assert (address.rpartition("/trash/")[2], status) == ("versions/leavers/1", 200)
    assert "ann deleted it" in page.text
    registry.delete_registered_model("leavers", reason="obsolete")
    for label in ("churn", "1", "champion"):
        _, page, status = landed(browser, listed, label)
        assert status == 200
        assert "ann deleted it just now : “obsolete”" in page.text
        assert "pointed champion at 1" in page.text
        assert "registered the model" in page.text
    assert "Restore" in page.links
    registry.restore_registered_model("leavers")
    assert landed(browser, listed, "churn")[0].endswith("/models/leavers")


def test_a_deleted_model_keeps_its_page_when_it_can_be_restored_no_more(
    browser, registry, monkeypatch
):
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/1")
    registry.delete_model_version("churn", 1)
    history = links_of(browser, "/models/churn/history")
    registry.create_registered_model("gone")
    registry.delete_registered_model("gone")
    listed = links_of(browser, "/activity?about=model")
    monkeypatch.setenv("REGISTRY_TRASH_DAYS", "0")
    _, page, status = landed(browser, listed, "gone")
    assert status == 200
    assert "cannot be restored any more" in page.text
    assert "Restore" not in page.links
    address, page, status = landed(browser, history, "1")
    assert (address.rpartition("/models/")[2], status) == ("churn/history?version=1", 200)
    assert browser.get("/activity/models/" + "0" * 32).status == 404
    assert browser.get("/models/churn/versions/9").status == 404
    answer = browser.get("/models/churn/versions/1", accept="application/json")
    assert answer.status == 404, "programs are told so"


def test_a_version_is_compared_with_the_one_before_it_that_is_still_there(browser, registry):
    registry.create_registered_model("churn")
    for number in range(1, 5):
        registry.create_model_version("churn", source=f"s3://b/{number}")
    registry.delete_model_version("churn", 3)
    compared = {
        path: browser.get(f"/models/churn/{path}").headers["location"].rpartition("?")[2]
        for path in ("compare", "compare?b=4", "compare?b=1", "compare?a=2", "compare?b=x")
    }
    assert compared == {
        "compare": "a=2&b=4",
        "compare?b=4": "a=2&b=4",
        "compare?b=1": "a=1&b=1",
        "compare?a=2": "a=2&b=4",
        "compare?b=x": "a=x&b=x",
    }
    links = links_of(browser, "/models/churn/versions/4")
    assert landed(browser, links, "Compare with the one before")[2] == 200
