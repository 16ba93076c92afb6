"""The same journey over every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, urljoin

import pytest

from registry_core import Registry, open_registry
from services.in_process import InProcessServer
from services.pages_browser import Browser, Parsed
from services.stores import store_url


@pytest.fixture(params=["sqlite", "postgresql", "s3"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    with store_url(request.param, request) as url:
        yield open_registry(url, artifacts="none", local_sources=False)


def test_journey_is_the_same_on_every_store(registry):
    """See, register, tag, move, lose a race, put back, compare, look back, rename, delete, restore."""
    with InProcessServer(registry) as server:
        browser = Browser(server)
        assert "There are no models yet" in browser.page("/").text
        browser.submit(browser.form("/new", "/new"), name="churn", description="*why*")
        for number in (1, 2, 3):
            registry.create_model_version(
                "churn", source=f"s3://b/{number}", tags={"auc": f"0.{number}"}
            )
        tag = browser.form("/models/churn/settings", "/tags")
        assert browser.submit(tag, key="team", value="risk").status == 303
        new = browser.form("/models/churn/aliases", "/aliases")
        assert browser.submit(new, alias="champion", version="1").status == 303
        form = browser.form("/models/churn/aliases/champion", "/champion")
        assert browser.submit(form, version="2", reason="better").status == 303
        lost = browser.submit(form, version="3")
        assert lost.status == 409
        assert "is 2 and not 1" in Parsed(lost.body.decode()).text
        back = browser.form("/models/churn/aliases/champion", "/rollback")
        assert browser.submit(back, reason="worse").status == 303
        assert registry.get_registered_model("churn").aliases == {"champion": 1}
        found = browser.page("/?q=tags.team+%3D+%27risk%27").text
        assert "champion 1" in found
        assert "anonymous moved champion" in found
        assert (
            "version 1 since just now , by anonymous · before: 2"
            in browser.page("/models/churn").text
        )
        history = browser.page("/models/churn/history?alias=champion").text
        assert history.index("“worse”") < history.index("“better”")
        assert "0.1" in browser.page("/models/churn/compare?a=1&b=3").text
        rename = browser.form("/models/churn/settings", "/rename")
        assert browser.submit(rename, new_name="churn 2").status == 303
        assert "renamed the model" in browser.page("/activity").text
        delete = browser.form("/models/churn%202/settings", "202/delete")
        assert browser.submit(delete, confirmed="churn 2").status == 303
        assert "There are no models yet" in browser.page("/").text
        listed = browser.page("/trash")
        link = urljoin(browser.url, listed.links["Restore"])
        assert browser.submit(browser.form(link, ""), new_name="churn").status == 303
        assert registry.get_registered_model("churn").aliases == {"champion": 1}
        assert "renamed the model" in browser.page("/models/churn/history").text


def test_text_that_no_store_can_hold_is_a_problem_of_the_search(registry):
    """The page says so beside the box; PostgreSQL would refuse the statement."""
    registry.create_registered_model("m")
    with InProcessServer(registry) as server:
        browser = Browser(server)
        for path in ("/", "/prompts", "/models/m"):
            for text in ("\x00", "a\x00b", "name = 'a\x00b'"):
                page = browser.page(f"{path}?q={quote(text)}").text
                assert "it contains the character U+0000" in page, (path, text)
