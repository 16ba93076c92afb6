"""What the pages show, and what their forms do, without a browser."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

import pytest

from registry_core import StoreBusyError, StoreUnavailableError, open_registry
from registry_core.authors import Origin
from registry_server import Settings
from services.in_process import InProcessServer, memory_registry
from services.pages_browser import ORIGIN, Browser, Parsed

ODD_NAMES = (
    "plain",
    "with spaces and ümläute 模型",
    "both 'kinds' of \"quotes\"",
    "?query#fragment%2F%",
    "<img src=x onerror=alert(1)>",
    "a&amp;b;c=d+e",
    "back\\slash",
    "x" * 256,
)


@pytest.fixture
def registry(server):
    return server.registry


@pytest.fixture
def churn(registry):
    """A model with versions and a history."""
    ann = registry.acting_as("ann", origin=Origin.HTTP)
    ann.create_registered_model("churn", description="Who *leaves*.", tags={"team": "risk"})
    for number in range(1, 4):
        ann.create_model_version("churn", source=f"s3://b/{number}", tags={"auc": f"0.{number}"})
    ann.set_registered_model_alias("churn", "champion", 1)
    ann.set_registered_model_alias("churn", "champion", 2, reason="better on thin files")
    return ann


def followed(browser, answer):
    """The page that a form leads to."""
    assert answer.status == 303, Parsed(answer.body.decode()).text
    return browser.page(answer.headers["location"])


def test_models_are_listed_with_what_is_in_use_and_who_changed_them(browser, churn):
    page = browser.page("/")
    assert "champion 2" in page.text
    assert "ann moved champion" in page.text
    assert "team: risk" in page.text
    assert page.links["churn"] == "./models/churn"


def test_every_link_of_every_page_leads_to_a_page(browser, churn):
    """Found by following them; also under a prefix, where the root is not the host's."""
    seen, todo = set(), ["/"]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = browser.get(path)
        assert answer.status in (200, 303), path
        if answer.status == 303:
            todo.append(urljoin(browser.url, answer.headers["location"]))
            continue
        for tag, attributes in Parsed(answer.body.decode()).tags:
            for name in ("href", "src", "action"):
                if tag == "form" or name not in attributes or attributes[name].startswith("data:"):
                    continue
                assert not attributes[name].startswith("/"), attributes[name]
                target = urlsplit(urljoin(browser.url, attributes[name]))
                assert target.netloc == "127.0.0.1:8000"
                if not target.path.startswith("/static/"):
                    todo.append(target.path + (f"?{target.query}" if target.query else ""))
    assert len(seen) > 20


@pytest.mark.parametrize("name", ODD_NAMES)
def test_pages_take_every_name_that_a_model_may_have(browser, registry, name):
    registry.create_registered_model(name, tags={"k": name}, description=name)
    registry.create_model_version(name, source="s3://b/1", tags={"k": name}, description=name)
    registry.create_model_version(name, source="s3://b/2")
    registry.set_registered_model_alias(name, "champion", 1, reason=name)
    base = f"/models/{quote(name, safe='')}"
    listed = browser.page("/")
    assert urljoin(f"{browser.url}", listed.links[name]).endswith(base)
    for path in ("", "/history", "/settings", "/aliases", "/aliases/champion", "/versions/1",
                 "/compare?a=1&b=2", "/description", "/versions/1/description"):  # fmt: skip
        page = browser.page(base + path)
        assert name in "".join(page.words) or "".join(name.split()) in "".join(page.text.split())
    done = browser.submit(browser.form(f"{base}/aliases/champion", "champion"), version="2")
    assert "champion now points at version 2" in followed(browser, done).text
    assert registry.get_registered_model(name).aliases == {"champion": 2}


@pytest.mark.parametrize(
    "path", ["/", "/prompts", "/activity", "/models/churn", "/models/churn/history",
             "/models/churn/settings", "/models/churn/aliases", "/models/churn/aliases/champion",
             "/models/churn/versions/1", "/models/churn/compare?a=1&b=2"],
)  # fmt: skip
def test_the_same_address_gives_the_data(browser, churn, path):
    answer = browser.get(path, accept="application/json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(answer.json, dict)


def test_data_of_the_models_is_as_the_api_gives_it(browser, churn, server):
    data = browser.get("/", accept="application/json").json
    found = server.call("GET", "/registered-models/search").json
    assert data["registered_models"] == found["registered_models"]
    assert (data["count"], data["count_is_bounded"]) == (1, False)


def test_box_takes_part_of_a_name_or_a_filter(browser, registry):
    for name in ("fraud-cards", "Fraud_loans", "churn"):
        registry.create_registered_model(name, tags={"team": "risk" if "f" in name else "ops"})
    for text, found in [
        ("FRAUD", {"fraud-cards", "Fraud_loans"}),
        ("d_l", {"Fraud_loans"}),
        ("%", set()),
        ("tags.team = 'ops'", {"churn", "Fraud_loans"}),
        ("name LIKE 'ch%' AND tags.team = 'ops'", {"churn"}),
    ]:
        page = browser.page(f"/?q={quote(text)}")
        listed = {name for name in ("fraud-cards", "Fraud_loans", "churn") if name in page.links}
        assert listed == found, text


def test_box_says_where_a_filter_is_wrong(browser, registry):
    page = browser.page("/?q=" + quote("tags.team = risk"))
    assert "This filter cannot be understood" in page.text
    assert "^" in page.text
    assert browser.get("/?q=" + quote("a = "), accept="application/json").status == 400


def test_pages_of_models_end_and_are_counted(browser, registry):
    for number in range(60):
        registry.create_registered_model(f"m{number:02d}")
    seen, path = [], "/?sort=name"
    while path:
        page = browser.page(path)
        assert "60" in page.text
        seen += sorted(name for name in page.links if name.startswith("m"))
        path = page.links.get("Next →")
        path = path and urljoin(browser.url, path)
    assert seen == [f"m{number:02d}" for number in range(60)]


def test_count_is_bounded(browser, registry, monkeypatch):
    monkeypatch.setattr("registry_server.pages.views.models.REGISTERED_MODELS_MAX_RESULTS", 30)
    for number in range(40):
        registry.create_registered_model(f"m{number:02d}")
    assert "30+" in browser.page("/?q=m").text


def test_alias_board_says_since_when_and_by_whom(browser, churn):
    text = browser.page("/models/churn").text
    assert "champion version 2 since" in text
    assert "by ann · before: 1" in text


def test_history_reads_as_sentences_and_is_filtered(browser, churn):
    churn.acting_as("bob").set_registered_model_tag("churn", "tier", "1")
    text = browser.page("/models/churn/history").text
    assert "ann moved champion from 1 → to 2" in text
    assert "“better on thin files”" in text
    assert "bob set tier: 1" in text
    aliases = browser.page("/models/churn/history?alias=champion").text
    assert "bob set" not in aliases
    by_bob = browser.page("/models/churn/history?by=bob").text
    assert "bob set" in by_bob
    assert "ann moved" not in by_bob
    assert "Nothing of that kind" in browser.page("/models/churn/history?by=nobody").text


def test_history_of_one_actor_goes_on_where_the_search_ended(browser, registry, monkeypatch):
    monkeypatch.setattr("registry_server.pages.views.timeline.SEARCHED", 10)
    registry.acting_as("ann").create_registered_model("m")
    for number in range(30):
        actor = "rare" if number in (2, 25) else "often"
        registry.acting_as(actor).set_registered_model_tag("m", "k", str(number))
    found, path = [], "/models/m/history?by=rare"
    while path:
        page = browser.page(path)
        found += re.findall(r"rare set (k: \d+)", page.text)
        path = page.links.get("Older →")
    assert found == ["k: 25", "k: 2"]


# Forms


def test_alias_is_moved_with_a_reason_in_the_name_of_the_page(browser, churn, registry):
    form = browser.form("/models/churn/aliases/champion", "/aliases/champion")
    assert form.fields["expected"] == "2"
    page = followed(browser, browser.submit(form, version="3", reason="  newest  "))
    assert "champion now points at version 3, and no longer at 2." in page.text
    event = next(registry.history("churn"))
    assert (event.actor, event.reason, event.origin) == ("anonymous", "newest", Origin.HTTP)
    assert "champion now" not in browser.page(browser.url).text, "it is said once"


def test_lost_race_is_told_and_changes_nothing(browser, churn, registry):
    form = browser.form("/models/churn/aliases/champion", "/aliases/champion")
    churn.set_registered_model_alias("churn", "champion", 1)
    answer = browser.submit(form, version="3", reason="kept")
    page = Parsed(answer.body.decode())
    assert answer.status == 409
    assert "Nothing was changed. The alias 'champion' of model 'churn' is 1 and not 2" in page.text
    assert registry.get_registered_model("churn").aliases == {"champion": 1}
    again = next(form for form in page.forms if form.action.endswith("/champion"))
    assert (again.fields["version"], again.fields["reason"]) == ("3", "kept")
    assert again.fields["expected"] == "1"


def test_alias_is_rolled_back_from_where_the_form_was_made(browser, churn, registry):
    form = browser.form("/models/churn/aliases/champion", "/rollback")
    page = followed(browser, browser.submit(form, reason="too slow"))
    assert "champion points at version 1 again." in page.text
    # The same form, sent twice or by a second person, does not undo what came after.
    assert browser.submit(form).status == 409
    assert registry.get_registered_model("churn").aliases == {"champion": 1}


def test_new_alias_is_rolled_back_by_removing_it(browser, churn, registry):
    followed(
        browser,
        browser.submit(browser.form("/models/churn/aliases", "/aliases"), alias="new", version="1"),
    )
    form = browser.form("/models/churn/aliases/new", "/rollback")
    followed(browser, browser.submit(form))
    assert registry.get_registered_model("churn").aliases == {"champion": 2}


def test_alias_that_exists_is_not_made_anew(browser, churn, registry):
    form = browser.form("/models/churn/aliases", "/aliases")
    assert browser.submit(form, alias="champion", version="3").status == 409
    assert registry.get_registered_model("churn").aliases == {"champion": 2}


def test_alias_is_removed(browser, churn, registry):
    form = browser.form("/models/churn/aliases/champion", "/delete")
    followed(browser, browser.submit(form))
    assert registry.get_registered_model("churn").aliases == {}


def test_model_is_registered_described_tagged_renamed_and_deleted(browser, registry):
    new = browser.form("/new", "/new")
    followed(browser, browser.submit(new, name="m", description="one\r\ntwo"))
    assert registry.get_registered_model("m").description == "one\ntwo"
    edit = browser.form("/models/m/description", "/description")
    followed(browser, browser.submit(edit, description="\n## three"))
    assert registry.get_registered_model("m").description == "\n## three"
    tag = browser.form("/models/m/settings", "/tags")
    followed(browser, browser.submit(tag, key="a/b c", value="<v>"))
    assert registry.get_registered_model("m").tags == {"a/b c": "<v>"}
    followed(browser, browser.submit(browser.form("/models/m/settings", "/tags/delete")))
    assert registry.get_registered_model("m").tags == {}
    rename = browser.form("/models/m/settings", "/rename")
    followed(browser, browser.submit(rename, new_name="n ?"))
    delete = browser.form("/models/n%20%3F/settings", "/delete")
    wrong = browser.submit(delete, confirmed="m")
    assert (wrong.status, registry.get_registered_model("n ?").name) == (400, "n ?")
    followed(browser, browser.submit(delete, confirmed="n ?"))
    assert "n ?" not in browser.page("/").links


def test_version_is_described_tagged_moved_and_deleted(browser, churn, registry):
    base = "/models/churn/versions/3"
    edit = browser.form(f"{base}/description", "/description")
    followed(browser, browser.submit(edit, description="third", reason="why"))
    followed(browser, browser.submit(browser.form(base, "/tags"), key="k", value="v"))
    stage = browser.form(base, "/stage")
    followed(browser, browser.submit(stage, stage="Staging"))
    version = registry.get_model_version("churn", 3)
    assert (version.description, version.tags["k"]) == ("third", "v")
    assert version.current_stage.value == "Staging"
    assert browser.submit(stage, stage="Production").status == 409, "it is no longer in None"
    assert browser.submit(browser.form(base, "/3/delete"), confirmed="2").status == 400
    followed(browser, browser.submit(browser.form(base, "/3/delete"), confirmed="3"))
    assert "3" not in browser.page("/models/churn").links


def test_form_that_is_refused_keeps_what_was_filled_in(browser, churn):
    form = browser.form("/new", "/new")
    answer = browser.submit(form, name="churn", description="a long text", reason="because")
    page = Parsed(answer.body.decode())
    assert answer.status == 400
    assert "already exists" in page.text
    assert "a long text" in page.text
    assert page.forms[-1].fields["reason"] == "because"


# The server itself


def test_about_says_what_the_server_is_without_secrets(tmp_path):
    store = f"sqlite:///{tmp_path}/hidden.db"
    settings = Settings(threads=2, store=store, artifacts="s3://key:s3cret@b/x")
    with InProcessServer(open_registry(store, artifacts=f"file://{tmp_path}/root"), settings) as it:
        browser = Browser(it)
        page = browser.page("/about")
        assert "a SQLite database" in page.text
        assert f"file://{tmp_path}/root" in page.text
        assert "hidden" not in page.text
        assert "s3cret" not in page.text
        assert "30 days" in page.text
        for name in ("OpenAPI document", "Metrics", "Ready", "Version"):
            assert browser.get(urljoin(f"{ORIGIN}/about", page.links[name])).status == 200
        data = browser.get("/about", accept="application/json").json
        assert data["Software"]["speaks the API of MLflow"] == "3.17.2"


# Who may send a form


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:8000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_form_of_another_page_is_refused(browser, churn, registry, headers):
    """Also of a neighbour on this machine, whom the API trusts, and who could set the cookie."""
    form = browser.form("/models/churn/aliases/champion", "/aliases/champion")
    answer = browser.post(form.action, {**form.fields, "version": "3"}, headers)
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert registry.get_registered_model("churn").aliases == {"champion": 2}


def test_form_without_the_secret_of_its_browser_is_refused(browser, churn, server, registry):
    form = browser.form("/models/churn/aliases/champion", "/aliases/champion")
    other = Browser(server)
    theirs = other.form("/models/churn/aliases/champion", "/aliases/champion")
    for token in ("", "00" * 32, "zz", theirs.fields["form_token"]):
        fields = {**form.fields, "version": "3", "form_token": token}
        assert browser.post("/models/churn/aliases/champion", fields).status == 403
    browser.cookies.clear()
    assert browser.submit(form, version="3").status == 403
    assert registry.get_registered_model("churn").aliases == {"champion": 2}


def test_forms_are_forms(browser, churn):
    """No simple request of a foreign page is anything else."""
    for kind in ("text/plain", "application/json", "multipart/form-data"):
        answer = browser.post("/models/churn/aliases/champion", {}, {"content-type": kind})
        assert answer.status == 415


def test_secrets_look_different_each_time(browser, churn):
    one = browser.form("/new", "/new").fields["form_token"]
    assert one != browser.form("/new", "/new").fields["form_token"]


def test_read_only_pages_have_no_forms_and_take_none(churn_elsewhere):
    browser, registry = churn_elsewhere
    for path in ("/", "/models/churn", "/models/churn/settings", "/models/churn/aliases/champion",
                 "/models/churn/aliases", "/models/churn/versions/1", "/new",
                 "/models/churn/description"):  # fmt: skip
        page = browser.page(path)
        assert [form for form in page.forms if form.method == "post"] == []
        assert "Move an alias" not in page.links
    answer = browser.post("/models/churn/aliases/champion", {"version": "1", "expected": "2"})
    assert (answer.status, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert registry.get_registered_model("churn").aliases == {"champion": 1}


@pytest.fixture
def churn_elsewhere():
    registry = memory_registry()
    registry.create_registered_model("churn", tags={"a": "b"})
    registry.create_model_version("churn", source="s3://b/1")
    registry.set_registered_model_alias("churn", "champion", 1)
    with InProcessServer(registry, Settings(threads=2, read_only_pages=True)) as server:
        yield Browser(server), registry


def test_who_signs_in_is_the_actor_and_others_see_nothing(tmp_path):
    users = tmp_path / "users"
    users.write_text("ann:secret\n")
    users.chmod(0o600)
    registry = memory_registry()
    registry.create_registered_model("churn")
    with InProcessServer(registry, Settings(threads=2, auth_file=str(users))) as server:
        browser = Browser(server)
        refused = browser.get("/")
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("Basic ")
        assert b"churn" not in refused.body
        assert refused.headers["content-type"].startswith("text/html")
        browser.headers["authorization"] = "Basic YW5uOnNlY3JldA=="
        assert "ann" in browser.page("/").text
        tag = browser.form("/models/churn/settings", "/tags")
        followed(browser, browser.submit(tag, key="k", value="v"))
        event = next(registry.history("churn"))
        assert (event.actor, event.is_authenticated) == ("ann", True)


# Failures


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/models/none", 404),
        ("/models/none/history", 404),
        ("/models/churn/versions/99", 404),
        ("/models/churn/versions/x", 400),
        ("/models/churn/nothing", 404),
        ("/models", 404),
        ("/models/a%2Fb", 400),
        ("/models/%FF", 400),
        ("/models/churn/", 404),
        ("/nowhere", 404),
        ("/static/x/nothing.css", 404),
        ("/?page=rubbish", 400),
        ("/?sort=rubbish", 400),
        ("/models/churn?page=rubbish", 400),
        ("/models/churn/history?page=W10=", 400),
        ("/models/churn/history?version=x", 400),
        ("/models/churn/compare?a=1&b=99", 404),
        ("/?" + "a=b&" * 200, 400),
    ],
)
def test_failures_are_pages_for_people_and_json_for_others(browser, churn, path, status):
    page, data = browser.get(path), browser.get(path, accept="application/json")
    assert (page.status, data.status) == (status, status), page.body
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert data.json["error_code"]
    assert urljoin(browser.url, Parsed(page.body.decode()).links["All models"]) == f"{ORIGIN}/"


@pytest.mark.parametrize(
    ("error", "status"),
    [(StoreBusyError("busy"), 429), (StoreUnavailableError("away"), 503), (RuntimeError("x"), 500)],
)
def test_a_store_that_is_away_or_busy_is_shown(browser, churn, monkeypatch, error, status):
    def fail(_):
        raise error

    monkeypatch.setattr(churn.store, "get_registered_model", fail)
    answer = browser.get("/models/churn")
    assert answer.status == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    if status != 500:
        assert int(answer.headers["retry-after"]) >= 1
    assert b"RuntimeError" not in answer.body


def test_a_form_that_fails_is_logged_once_and_by_its_request(browser, churn, monkeypatch, caplog):
    """What keeps the form from being carried out keeps its page from being shown, too."""

    def fail(*_, **__):
        raise StoreUnavailableError("away")

    form = browser.form("/models/churn/settings", "/tags")
    monkeypatch.setattr(churn.store, "apply", fail)
    assert browser.submit(form, key="k", value="v").status == 503
    (record,) = [each for each in caplog.records if "unavailable" in each.message]
    assert record.fields["request_id"]


def test_methods_that_a_page_has_not_are_refused(browser, churn):
    assert browser._send("PUT", "/models/churn").status == 405
    assert browser._send("DELETE", "/").status == 405
    answer = browser.post("/models/churn", {})
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head = browser._send("HEAD", "/models/churn")
    assert (head.status, head.body) == (200, b"")


def test_api_answers_as_ever_to_browsers(browser, churn):
    """Nobody's client gets HTML from a path of the API, whatever it accepts."""
    for path in ("/api/2.0/mlflow/nothing", "/ajax-api/2.0/mlflow/runs/get"):
        answer = browser.get(path)
        assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


@pytest.mark.parametrize(
    "path",
    ["/api/2.0/mlflow/runs/create", "/ajax-api/2.0/mlflow/experiments/search",
     "/api/3.0/mlflow/traces/search"],
)  # fmt: skip
def test_who_takes_the_registry_for_a_tracking_server_is_told(server, path):
    for accept in (b"application/json", b"text/html"):
        answer = server.send("POST", path.encode(), b"{}", [(b"accept", accept)])
        assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
        assert "set_registry_uri" in answer.json["message"]


def test_without_pages_there_are_none():
    with InProcessServer(settings=Settings(threads=2, no_pages=True)) as server:
        browser = Browser(server)
        for path in ("/", "/models/churn", "/activity", "/static/x/style.css"):
            answer = browser.get(path)
            assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")


# Costs


@pytest.mark.parametrize(
    ("path", "most"),
    [("/", 2), ("/?q=m", 2), ("/prompts", 2), ("/activity", 1), ("/models/m00", 3),
     ("/models/m00/history", 3), ("/models/m00/settings", 2), ("/models/m00/aliases/a00", 2),
     ("/models/m00/versions/1", 2), ("/models/m00/compare?a=1&b=2", 2)],
)  # fmt: skip
def test_pages_ask_the_store_no_more_often_than_they_must(
    browser, registry, monkeypatch, path, most
):
    """However many models, aliases and versions a page shows."""
    for number in range(20):
        name = f"m{number:02d}"
        registry.create_registered_model(name, tags={"a": "b"})
        for _ in range(5):
            registry.create_model_version(name, source="s3://b/x", tags={"a": "b"})
        for alias in range(10):
            registry.set_registered_model_alias(name, f"a{alias:02d}", 1 + alias % 5)
    calls = []
    for method in ("get_registered_model", "search_registered_models", "get_model_version",
                   "search_model_versions", "get_model_version_by_alias", "events"):  # fmt: skip
        real = getattr(registry.store, method)

        def counted(*arguments, real=real, method=method):
            calls.append(method)
            return real(*arguments)

        monkeypatch.setattr(registry.store, method, counted)
    browser.page(path)
    assert 0 < len(calls) <= most, calls


def test_pages_are_small_and_kept_by_nobody_but_the_browser(browser, registry):
    for number in range(30):
        registry.create_registered_model(
            f"a name of the usual length {number:04d}",
            description=f"What this model number {number} is for, in a sentence.",
            tags={"team": f"team {number}", "tier": str(number), "owner": f"o{number}"},
        )
    browser.headers["accept-encoding"] = "gzip, br"
    answer = browser.get("/")
    total = len(answer.body)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "private, no-cache"
    del browser.headers["accept-encoding"]
    for tag, attributes in browser.page("/").tags:
        target = attributes.get("href" if tag == "link" else "src", "")
        if tag in ("link", "script") and not target.startswith("data:"):
            browser.headers["accept-encoding"] = "gzip"
            static = browser.get(target)
            assert "immutable" in static.headers["cache-control"]
            total += len(static.body)
            browser.url = "http://127.0.0.1:8000/"
    assert total <= 40_000
