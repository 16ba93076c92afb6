"""The pages of webhooks: create, test, see what failed, deliver again, switch off, delete."""

from __future__ import annotations

import time
from urllib.parse import urljoin

import pytest

from registry_server import Settings
from services.in_process import InProcessServer, memory_registry
from services.pages_browser import Browser, Parsed
from services.receivers import Receiver, Script
from services.registry_server import WEBHOOKS_ON_LOOPBACK

KEY = WEBHOOKS_ON_LOOPBACK["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]
SETTINGS = Settings(
    threads=2,
    webhook_schemes=("http", "https"),
    webhook_private_addresses=True,
    webhook_retries=0,
    webhook_cache_seconds=0,
    webhook_secret_key=KEY,
)
SECONDS = 20
"""How long a delivery may take on a busy machine."""


@pytest.fixture(scope="module")
def shared_server():
    with InProcessServer(memory_registry(), SETTINGS) as server:
        yield server


def followed(browser, answer):
    assert answer.status == 303, Parsed(answer.body.decode()).text
    return browser.page(answer.headers["location"])


def created(browser, url, **fields):
    """The address of a new webhook's page."""
    form = browser.form("/webhooks/new", "/new")
    fields = {"name": "deploy", "url": url, **fields}
    # The boxes are empty until somebody ticks them.
    sent = {name: form.fields[name] for name in ("form_token",)} | fields
    page = followed(browser, browser.post("/webhooks/new", sent))
    assert "gets events now" in page.text
    return browser.url


def until(browser, address, text):
    """The page, as soon as it says that."""
    end = time.monotonic() + SECONDS
    while text not in (page := browser.page(address)).text:
        assert time.monotonic() < end, page.text
        time.sleep(0.02)
    return page


def test_a_webhook_is_created_a_delivery_fails_and_is_made_again(browser, server):
    with Receiver(Script(418)) as receiver:
        address = created(
            browser, receiver.url, secret="s3cret", **{"registered_model_tag.set": "yes"}
        )
        page = browser.page(address)
        assert "registered_model_tag.set" in page.text
        assert "signed yes" in page.text
        assert "all that happened was delivered" in page.text
        server.registry.create_registered_model("churn")
        server.registry.acting_as("ann").set_registered_model_tag("churn", "k", "v")
        first = receiver.next()
        page = until(browser, address, "status 418")
        assert "ann set k: v churn" in page.text
        (dead,) = browser.get(address, accept="application/json").json["dead"]
        assert (dead["problem"], dead["event"]["actor"]) == ("status 418", "ann")
        again = browser.form(address, "/redeliver")
        assert "1 delivery is made again." in followed(browser, browser.submit(again)).text
        second = receiver.next()
        assert second.headers["x-mlflow-delivery-id"] == first.headers["x-mlflow-delivery-id"]
        assert second.is_signed_with("s3cret")
        until(browser, address, "Given up Nothing")
        # The form sent twice delivers nothing twice.
        assert "Nothing was given up" in followed(browser, browser.submit(again)).text


def test_everything_that_was_given_up_is_made_again_at_once(browser, server):
    with Receiver(Script(500), Script(500)) as receiver:
        address = created(browser, receiver.url, **{"registered_model_tag.set": "yes"})
        server.registry.create_registered_model("churn")
        for value in ("1", "2"):
            server.registry.set_registered_model_tag("churn", "k", value)
        until(browser, address, "Given up 2")
        forms = [f for f in browser.page(address).forms if f.action.endswith("redeliver")]
        (every,) = (form for form in forms if "delivery_id" not in form.fields)
        assert "2 deliveries are made again" in followed(browser, browser.submit(every)).text
        received = [receiver.next().told["data"]["after"] for _ in range(4)]
        assert sorted(received) == ["1", "1", "2", "2"]


@pytest.mark.parametrize(("status", "said"), [(200, "took the sample"), (404, "did not take")])
def test_a_test_shows_what_the_receiver_answered(browser, status, said):
    with Receiver(Script(status, body=b"<b>what</b>")) as receiver:
        address = created(browser, receiver.url, **{"model_version.restored": "yes"})
        answer = browser.submit(browser.form(address, "/test"), event="model_version.restored")
        page = Parsed(answer.body.decode())
        assert answer.status == 200
        assert said in page.text
        assert f"It answered {status}." in page.text
        assert "<b>what</b>" in page.text
        assert receiver.next().event == "model_version.restored"


def test_a_webhook_is_switched_off_changed_and_deleted(browser, server):
    with Receiver() as receiver:
        address = created(
            browser, receiver.url, secret="s", **{"model_version_alias.created": "yes"}
        )
        page = followed(browser, browser.submit(browser.form(address, "/status")))
        assert "gets nothing until you switch it on" in page.text
        assert "off" in browser.page("/webhooks").text
        assert (
            "gets events again"
            in followed(browser, browser.submit(browser.form(address, "/status"))).text
        )
        form = browser.form(f"{address}/edit", "/edit")
        ticked = {
            attributes["name"] for tag, attributes in browser.page(f"{address}/edit").tags
            if tag == "input" and "checked" in attributes
        }  # fmt: skip
        assert ticked == {"model_version_alias.created"}
        sent = {name: form.fields[name] for name in ("form_token", "name", "url")}
        changed = {"name": "audit", "prompt.created": "yes", "unsigned": "yes"}
        followed(browser, browser.post(f"{address}/edit", sent | changed))
        (webhook,) = server.registry.store.list_webhooks()
        assert (webhook.name, webhook.secret) == ("audit", None)
        assert [(event.entity, event.action) for event in webhook.events] == [("prompt", "created")]
        delete = browser.form(address, "/delete")
        assert browser.submit(delete, confirmed="deploy").status == 400
        delete = browser.form(address, "/delete")
        assert "was deleted" in followed(browser, browser.submit(delete, confirmed="audit")).text
        assert "There are no webhooks yet" in browser.page("/webhooks").text


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"url": "gopher://x"}, "URL"),
        ({"name": "-"}, "Webhook name"),
        ({}, "Choose at least one event"),
    ],
)
def test_a_form_that_is_refused_keeps_what_was_ticked(browser, fields, problem):
    token = browser.form("/webhooks/new", "/new").fields["form_token"]
    ticked = {"prompt.created": "yes"} if fields else {}
    sent = {"form_token": token, "name": "deploy", "url": "http://127.0.0.1:9/", **ticked, **fields}
    answer = browser.post("/webhooks/new", sent)
    page = Parsed(answer.body.decode())
    assert answer.status == 400
    assert problem in page.text
    kept = {
        attributes["name"]
        for tag, attributes in page.tags
        if tag == "input" and "checked" in attributes
    }
    assert kept == set(ticked)
    assert page.forms[-1].fields["name"] == sent["name"]


def test_list_shows_no_path_of_a_url_since_that_may_be_a_secret(browser):
    created(browser, "http://127.0.0.1:9/services/T0/s3cret", **{"prompt.created": "yes"})
    listed = browser.page("/webhooks")
    assert "http://127.0.0.1:9" in listed.text
    assert "s3cret" not in browser.get("/webhooks").body.decode()
    assert urljoin(browser.url, listed.links["deploy"]).startswith("http://127.0.0.1:8000/webhooks")


def test_forms_wait_for_receivers_in_threads_of_their_own(browser, server):
    """Two tests that wait for silent receivers hold up nobody else's forms."""
    serving = next(part for part in server.app._parts if part.names == ("pages",)).start.__self__
    scope = {"path": "/webhooks/x/test", "raw_path": b"/webhooks/x/test"}
    assert serving._lane(scope) is serving._waiting
    assert serving._lane({"path": "/models/webhooks/delete"}) is serving._changing


@pytest.mark.parametrize("path", ["", "/edit"])
def test_unknown_webhook_is_not_found(browser, path):
    assert browser.get(f"/webhooks/none{path}").status == 404


def test_read_only_pages_show_webhooks_without_forms_and_paths():
    settings = Settings(threads=2, read_only_pages=True, webhook_schemes=("http",),
                        webhook_private_addresses=True)  # fmt: skip
    with InProcessServer(memory_registry(), settings) as server:
        made = server.call(
            "POST", "/webhooks",
            {"name": "w", "url": "http://127.0.0.1:9/s3cret",
             "events": [{"entity": "PROMPT", "action": "CREATED"}]},
        ).json["webhook"]  # fmt: skip
        browser = Browser(server)
        for path in ("/webhooks", "/webhooks/new", f"/webhooks/{made['webhook_id']}"):
            page = browser.get(path)
            assert b"<form method" not in page.body
            assert b"s3cret" not in page.body
