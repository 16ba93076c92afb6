"""The pages in a real browser: what it loads, who can use them, and what they keep out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest

from registry_core import Registry, open_registry
from registry_core.models import (
    NewWebhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
    WebhookStatus,
)
from registry_core.outbox import outbox_of
from services.chromium import SECONDS
from services.examples import one_of
from services.receivers import Receiver, Script
from services.registry_server import WEBHOOKS_ON_LOOPBACK, RegistryServer
from services.stores import store_url

HOSTILE = (
    "<script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "' onmouseover='window.hacked=1",
    "javascript:window.hacked=1",
    "[x](javascript:window.hacked=1) ![x](http://evil.example/x.png) <javascript:window.hacked=1>",
    "[x](data:text/html,<script>window.hacked=1</script>)",
    "{{ 7*7 }} {% raw %} ${window.hacked=1}",
    "</textarea></title></script><script>window.hacked=1</script>",
    "<a href=//evil.example>x</a><iframe src=//evil.example></iframe><form action=//evil.example>",
    "\u202egnp.exe <style>*{display:none}</style>",
)
"""Texts that do something in a page that does not escape them; markdown, too."""

PATHS = (
    "/",
    "/?q=tags.team+%3D",
    "/?q=nothing-is-called-so",
    "/prompts",
    "/activity",
    "/new",
    "/models/churn",
    "/models/churn/history",
    "/models/churn/settings",
    "/models/churn/description",
    "/models/churn/aliases",
    "/models/churn/aliases/champion",
    "/models/churn/versions/7",
    "/models/churn/compare?a=5&b=7",
    "/models/summary",
    "/models/summary/versions/2",
    "/models/summary/compare?a=1&b=2",
    "/models/empty",
    "/models/none",
    "/about",
    "/trash",
    "/trash?q=nothing-is-called-so",
    "/trash/models/{gone}",
    "/trash/versions/churn/8",
    "/webhooks",
    "/webhooks/new",
    "/webhooks/{webhook}",
    "/webhooks/{webhook}/edit",
)
"""Every page; `fill` says what stands in the braces."""

BARRIERS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""The rules of axe that pages are held to."""

OF_THE_LAYOUT = ("color-contrast", "target-size", "scrollable-region-focusable")
"""Those that may be broken at one size of a page alone."""

CARD = """Probability that a customer *leaves*.

# Data

- closed accounts

| feature | type |
|:--------|-----:|
| tenure | long |

[paper](https://example.com/paper) `code`

    indented
"""


MLMODEL = """flavors:
  sklearn: {sklearn_version: 1.8.0}
mlflow_version: 3.17.2
signature:
  inputs: '[{"type": "double", "name": "tenure", "required": true}]'
  outputs: '[{"type": "long", "required": true}]'
"""


@attrs.frozen
class Site:
    """A server with its registry, and a browser to look at it with."""

    url: str
    registry: Registry
    chromium: Any
    names: dict[str, str]

    @property
    def paths(self) -> tuple[str, ...]:
        """The address of every page."""
        return tuple(path.format(**self.names) for path in PATHS)

    def page(
        self, *, width: int = 1440, scheme: str = "light", scripts: bool = True, zoom: int = 1
    ) -> Any:
        """A window of a new browser, so wide in the pixels of the screen."""
        context = self.chromium.new_context(
            viewport={"width": width // zoom, "height": 900 // zoom},
            device_scale_factor=zoom,
            color_scheme=scheme,
            java_script_enabled=scripts,
            base_url=self.url,
        )
        context.set_default_timeout(SECONDS * 1000)
        return context.new_page()


def fill(registry: Registry, files: Path) -> dict[str, str]:
    """What a team's registry looks like; gives the names that nobody knows before."""
    ann, train = registry.acting_as("ann"), registry.acting_as("ci-train")
    ann.create_registered_model("churn", description=CARD, tags={"team": "risk", "tier": "1"})
    for number in range(1, 9):
        folder = files / str(number)
        folder.mkdir(parents=True)
        (folder / "MLmodel").write_text(MLMODEL)
        (folder / "requirements.txt").write_text("scikit-learn==1.8.0")
        train.create_model_version(
            "churn",
            source=str(folder),
            run_id=f"9f3c{number}",
            tags={"auc": f"0.86{number}"},
            description=f"Week {number}.",
        )
    ann.set_registered_model_alias("churn", "champion", 5)
    ann.set_registered_model_alias("churn", "champion", 7, reason="nightly")
    ann.set_registered_model_alias("churn", "champion", 5, reason="scores too high")
    ann.update_registered_model("churn", description=CARD + "\nMore.")
    ann.transition_model_version_stage("churn", 5, stage="Production")
    ann.create_registered_model("empty")
    ann.create_registered_model("summary", tags={"mlflow.prompt.is_prompt": "true"})
    for text in ("Summarise:\n{{text}}", "Summarise briefly:\n{{text}}\n"):
        tags = {"mlflow.prompt.is_prompt": "true", "mlflow.prompt.text": text}
        ann.create_model_version("summary", source="prompt-template", tags=tags)
    for number in range(40):
        ann.create_registered_model(f"small-{number:02d}", tags={"team": "ops"})
    ann.delete_model_version("churn", 8, reason="leaked labels")
    ann.create_registered_model("upsell")
    ann.delete_registered_model("upsell", reason="merged")
    (gone,) = registry.deleted_registered_models("upsell")
    return {"gone": f"upsell/{gone.model_id}", "webhook": missed(registry)}


def missed(registry: Registry) -> str:
    """A webhook that was not told of two events; gives its id."""
    moved = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    hook = registry.store.create_webhook(
        NewWebhook(
            webhook_id="3b8f3c2e", name="deploy", url="http://127.0.0.1:9/x", events=(moved,)
        )
    )
    outbox = outbox_of(registry.store)
    assert outbox is not None
    for version in (1, 2):
        registry.set_registered_model_alias("churn", "canary", version)
        (queued,) = outbox.take(hook.webhook_id, limit=1, lease_seconds=60)
        outbox.dead(queued, problem="status 503")
    return hook.webhook_id


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "s3"])
def site(request: pytest.FixtureRequest, chromium: Any) -> Iterator[Site]:
    """Over a store of each kind: the gate has all of SQLite, and of the others some journeys."""
    directory = request.getfixturevalue("tmp_path_factory").mktemp("pages")
    root = f"file://{directory}/root"
    with (
        store_url(request.param, request) as store,
        open_registry(store, artifacts=root) as registry,
    ):
        names = fill(registry, directory / "files")
        settings = {**WEBHOOKS_ON_LOOPBACK, "REGISTRY_WEBHOOK_RETRIES": "0"}
        arguments = ("--artifacts", root)
        with RegistryServer(store, arguments=arguments, environment=settings) as server:
            yield Site(server.url, registry, chromium, names)


@pytest.mark.scaled
@pytest.mark.parametrize(
    ("width", "scheme", "zoom"),
    [(1440, "light", 1), (320, "dark", 1), (1440, "light", 2)],
    ids=["wide", "narrow and dark", "200 %"],
)
def test_pages_have_no_barriers(site, width, scheme, zoom):
    """Also at 320 pixels, which is what 400 % zoom makes of a screen."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    only = {"type": "tag", "values": [*BARRIERS]}
    if zoom > 1 or (width < 1440 and one_of(2) > 1):
        # What else there is hardly changes with the layout.
        only = {"type": "rule", "values": [*OF_THE_LAYOUT]}
    page = site.page(width=width, scheme=scheme, zoom=zoom)
    violations = []
    for path in site.paths:
        page.goto(path)
        found = axe.run(page, options={"runOnly": only})
        violations += [
            (path, violation["id"], [node["html"][:200] for node in violation["nodes"]][:3])
            for violation in found.response["violations"]
        ]
    assert not violations


@pytest.fixture(scope="module")
def widest(site):
    """The name of a model whose every text is as long as may be, without a place to break it."""
    name = "w" * 256
    site.registry.create_registered_model(name, tags={"k" * 250: "v" * 500})
    site.registry.create_model_version(name, source="s3://b/" + "b" * 400)
    site.registry.set_registered_model_alias(name, "a" * 255, 1)
    return name


@pytest.mark.parametrize("width", [320, 390, 768, 1024])
def test_pages_fit_every_screen(site, widest, width):
    """Nobody has to scroll sideways (WCAG 1.4.10)."""
    page = site.page(width=width)
    for path in (*site.paths, *(f"/models/{widest}{rest}" for rest in (
        "", "/settings", "/history", "/versions/1", f"/aliases/{'a' * 255}"
    ))):  # fmt: skip
        page.goto(path)
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert beyond <= 0, (path, beyond)


def test_pages_load_little_and_nothing_from_elsewhere(site):
    for path in site.paths:
        page = site.page()
        requests, sizes, complaints = [], [], []
        page.on("request", lambda request, into=requests: into.append(request.url))
        page.on(
            "requestfinished",
            lambda request, into=sizes: into.append(request.sizes()["responseBodySize"]),
        )
        page.on("console", lambda message, into=complaints: into.append(message.text))
        page.goto(path)
        loaded = [url for url in requests if not url.startswith("data:")]
        assert len(loaded) <= 3, loaded
        assert all(url.startswith(site.url + "/") for url in loaded)
        assert sum(sizes) <= 40_000
        complaints = [text for text in complaints if "404" not in text]
        assert not complaints, (path, complaints)
        page.context.close()


@pytest.mark.scaled
def test_nothing_that_people_write_is_executed(site, tmp_path):
    """In every field that a page shows, and in every place that shows it."""
    page = site.page()
    asked, dialogs = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: (dialogs.append(1), dialog.dismiss()))
    for number, text in enumerate(HOSTILE[:: one_of(3)]):
        name = text.replace("/", "\u2215").replace(":", "\ua789")[:200]
        author = site.registry.acting_as(text, reason=text)
        author.create_registered_model(name, description=text, tags={"k": text})
        author.create_model_version(
            name, source="s3://b/1", run_id=text, description=text, user_id=text,
            tags={"k": text, "mlflow.prompt.text": text} if number % 2 else {"k": text},
            run_link="https://example.com/x" if number % 2 else "javascript:window.hacked=1",
        )  # fmt: skip
        author.create_model_version(name, source="s3://b/2", tags={"k": "v"})
        author.set_registered_model_alias(name, "champion", 1)
        author.set_registered_model_alias(name, "champion", 2)
        author.update_registered_model(name, description=text + text)
        author.create_model_version(name, source=str(hostile_files(tmp_path / str(number), text)))
        author.create_model_version(name, source="s3://b/4", description=text)
        author.delete_model_version(name, 4, reason=text)
        author.create_registered_model(f"{name}.")
        author.delete_registered_model(f"{name}.", reason=text)
        (gone,) = author.deleted_registered_models(f"{name}.")
        webhook = hostile_webhook(site.registry, author, name, text)
        base = f"/models/{quote(name, safe='')}"
        for path in (
            f"/?q={quote(text)}", f"/models/{quote(text, safe='')}", base,
            f"{base}/history?by={quote(text)}", f"{base}/settings", f"{base}/description",
            f"{base}/versions/1", f"{base}/versions/3", f"{base}/compare?a=1&b=3",
            f"{base}/aliases?to={quote(text)}&alias={quote(text)}",
            f"{base}/aliases/champion?to={quote(text)}", f"{base}?q={quote(text)}",
            f"/trash?q={quote(text)}", f"/trash/versions/{quote(name, safe='')}/4",
            f"/trash/models/{quote(gone.name, safe='')}/{gone.model_id}",
            f"/webhooks/{webhook}", f"/webhooks/{webhook}/edit",
        ):  # fmt: skip
            check_that_nothing_runs(page, path)
    for path in ("/", "/activity", "/trash", "/webhooks"):
        check_that_nothing_runs(page, path)
    assert not dialogs
    assert all(url.startswith((site.url, "data:image/svg")) for url in asked), asked


def check_that_nothing_runs(page: Any, path: str) -> None:
    """Opens a page, and finds nothing in it that a template has not put there."""
    page.goto(path, wait_until="domcontentloaded")
    assert page.evaluate("window.hacked") is None, path
    odd = page.locator("iframe, img, svg, object, embed, [onerror], [onload], [onmouseover]")
    assert odd.count() == 0, path
    for target in page.evaluate("[...document.links].map(link => link.href)"):
        assert target.startswith(("http://", "https://", "mailto:")), target


def hostile_files(folder: Path, text: str) -> Path:
    """A version whose files say it, in every place that a page shows."""
    folder.mkdir()
    name = text.replace("/", "\u2215").replace("\\", "")[:100]
    (folder / f"{name}.bin").write_bytes(b"x")
    columns = [{"name": text, "type": text}]
    said = {
        "flavors": {text: {"version": text}},
        "mlflow_version": text,
        "signature": {part: json.dumps(columns) for part in ("inputs", "outputs", "params")},
    }
    (folder / "MLmodel").write_text(json.dumps(said))
    (folder / "requirements.txt").write_text(text)
    return folder


def hostile_webhook(registry: Registry, author: Registry, name: str, text: str) -> str:
    """A webhook that could not be told of what somebody did, for a reason that says it."""
    webhook_id = f"hostile-{len(registry.store.list_webhooks())}"
    event = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    registry.store.create_webhook(
        NewWebhook(
            webhook_id=webhook_id, name=text, url=f"http://127.0.0.1:9/{text}", events=(event,),
            description=text, status=WebhookStatus.ACTIVE,
        )
    )  # fmt: skip
    author.set_registered_model_alias(name, "champion", 1)
    outbox = outbox_of(registry.store)
    assert outbox is not None
    for queued in outbox.take(webhook_id, limit=1, lease_seconds=60):
        outbox.dead(queued, problem=text)
    disabled = WebhookChanges(status=WebhookStatus.DISABLED)
    registry.store.update_webhook(webhook_id, disabled)
    return webhook_id


def test_alias_is_moved_by_the_keyboard_alone(site):
    site.registry.create_registered_model("keys")
    for number in (1, 2):
        site.registry.create_model_version("keys", source=f"s3://b/{number}")
    site.registry.set_registered_model_alias("keys", "champion", 1)
    page = site.page()
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/?q=keys")
    tab_to(page, "keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/keys")
    tab_to(page, "move champion")
    page.keyboard.press("Enter")
    page.wait_for_url("**/aliases/champion")
    tab_to(page, "To version")
    page.keyboard.type("2")
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    tab_to(page, "Move champion")
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/keys")
    assert "champion now points at version 2" in page.inner_text("main")
    assert next(site.registry.history("keys")).reason == "by hand"


def tab_to(page: Any, name: str) -> None:
    """Presses Tab until what has that name has the focus, which can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "[document.activeElement.labels?.[0]?.innerText || document.activeElement.textContent,"
            " getComputedStyle(document.activeElement).outlineStyle]"
        )
        if " ".join(focused[0].split()) == name:
            assert focused[1] != "none", f"the focus on {name} cannot be seen"
            return
    raise AssertionError(f"no way to {name} by the keyboard")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_journey_of_somebody_who_repairs_a_deployment(site, scripts):
    """Find by tag, compare, move against the expectation, lose a race, roll back, share."""
    name = f"repair-{scripts}".lower()
    registry = site.registry
    registry.create_registered_model(name, tags={"team": f"t{scripts}"})
    for number in (1, 2, 3):
        registry.create_model_version(name, source=f"s3://b/{number}", tags={"auc": f"0.{number}"})
    registry.set_registered_model_alias(name, "champion", 1)
    page = site.page(scripts=scripts)
    page.goto("/?q=repair")
    page.get_by_role("link", name=f"team: t{scripts}").click()
    assert f"tags.team+%3D+%27t{scripts}%27" in page.url
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("link", name="Compare").click()
    assert "0.3" in page.inner_text("table")
    page.get_by_role("link", name="Only differences").click()
    page.go_back()
    page.get_by_label("Version", exact=True).fill("1")
    page.get_by_role("button", name="Compare").click()
    assert "a=1&b=3" in page.url
    page.goto(f"/models/{name}/versions/3")
    page.get_by_role("link", name="Move an alias here").click()
    page.get_by_role("link", name="Move champion to 3").click()
    registry.set_registered_model_alias(name, "champion", 2)
    page.get_by_role("button", name="Move champion").click()
    assert "is 2 and not 1" in page.inner_text("[role=alert]")
    assert registry.get_registered_model(name).aliases == {"champion": 2}
    page.get_by_label("Reason").first.fill("I know")
    page.get_by_role("button", name="Move champion").click()
    assert "champion now points at version 3, and no longer at 2" in page.inner_text("main")
    assert registry.get_registered_model(name).aliases == {"champion": 3}
    page.get_by_role("link", name="champion", exact=True).first.click()
    page.get_by_role("button", name="Back to version 2").click()
    assert registry.get_registered_model(name).aliases == {"champion": 2}
    page.get_by_role("link", name="History").click()
    page.get_by_label("Alias").select_option("champion")
    if not scripts:
        page.get_by_role("button", name="Show").click()
    page.wait_for_url("**alias=champion**")
    assert "“I know”" in page.inner_text("ol")
    assert page.locator("ol.time > li").count() == 4


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_journey_of_somebody_who_deletes_too_much(site, scripts):
    """Delete, see that the name is taken by now, restore under another one, look at the history."""
    name = f"slip-{scripts}".lower()
    site.registry.create_registered_model(name, tags={"k": "v"})
    page = site.page(scripts=scripts)
    page.goto(f"/models/{name}/settings")
    page.get_by_label(f"Type {name} to delete").fill(name)
    page.locator("#reason-delete").fill("no longer used")
    page.get_by_role("button", name="Delete the model").click()
    assert "The trash has it" in page.inner_text("main")
    site.registry.create_registered_model(name)
    page.get_by_role("link", name="Trash").click()
    page.get_by_role("searchbox").fill(name)
    page.get_by_role("button", name="Find").click()
    assert "“no longer used”" in page.inner_text("table")
    page.get_by_role("link", name=f"Restore {name}").click()
    page.get_by_label("Reason").fill("still used")
    page.get_by_role("button", name="Restore").click()
    assert "under another name" in page.inner_text("[role=alert]")
    page.get_by_label("Name").fill(f"{name}-old")
    page.get_by_role("button", name="Restore").click()
    assert f"{name}-old is back" in page.inner_text("main")
    page.get_by_role("link", name="History").click()
    assert "“still used”" in page.inner_text("ol")
    assert site.registry.get_registered_model(f"{name}-old").tags == {"k": "v"}


def test_journey_of_a_webhook_by_the_keyboard_alone(site):
    """Create it, test it, see a failed delivery, have it made again."""
    with Receiver(Script(200), Script(503)) as receiver:
        page = site.page()
        page.goto("/webhooks")
        tab_to(page, "Create a webhook")
        page.keyboard.press("Enter")
        page.wait_for_url("**/webhooks/new")
        tab_to(page, "Name")
        page.keyboard.type("by-hand")
        tab_to(page, "URL")
        page.keyboard.type(receiver.url)
        page.keyboard.press("Tab")
        for _ in range(60):
            if page.evaluate("document.activeElement.name") == "registered_model_tag.set":
                break
            page.keyboard.press("Tab")
        page.keyboard.press("Space")
        tab_to(page, "Create")
        page.keyboard.press("Enter")
        page.get_by_text("gets events now").wait_for()
        tab_to(page, "Send the sample")
        page.keyboard.press("Enter")
        page.get_by_text("The receiver took the sample.").wait_for()
        receiver.next()
        # By the server, since another process may not know of a new webhook of a bucket for a while.
        with open_registry(site.url) as registry:
            registry.set_registered_model_tag("empty", "k", "v")
        first = receiver.next()
        address = page.url.removesuffix("/test")
        wait_for(page, address, "status 503")
        button = page.get_by_role("button", name="Again").inner_text()
        tab_to(page, " ".join(button.split()))
        page.keyboard.press("Enter")
        page.get_by_text("1 delivery is made again").wait_for()
        again = receiver.next()
        assert again.headers["x-mlflow-delivery-id"] == first.headers["x-mlflow-delivery-id"]


def wait_for(page: Any, address: str, text: str) -> None:
    """Opens a page until it says something."""
    for _ in range(SECONDS * 5):
        page.goto(address)
        if text in page.inner_text("main"):
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"{address} never says {text}: {page.inner_text('main')}")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_journey_of_somebody_who_does_not_trust_a_version(site, scripts):
    """Verify the files, and see what the model says."""
    page = site.page(scripts=scripts)
    page.goto("/models/churn/versions/7")
    assert "tenure" in page.inner_text("table.signature")
    page.get_by_role("button", name="Verify now").click()
    page.get_by_text("All 2 files are what was registered.").wait_for()
    page.get_by_role("link", name="Back to the version").click()
    page.wait_for_url("**/models/churn/versions/7")


def test_copy_copies_what_stands_there(site):
    page = site.page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/models/churn/versions/7")
    page.locator(".copy").first.hover()
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == 'mlflow.pyfunc.load_model("models:/churn/7")'


def test_file_of_a_version_is_downloaded_and_never_opened(site):
    page = site.page()
    page.goto("/models/churn/versions/7")
    with page.expect_download() as download:
        page.get_by_role("link", name="MLmodel").click()
    assert Path(download.value.path()).read_text() == MLMODEL


def test_pages_cannot_be_framed(site):
    page = site.page()
    page.set_content(f"<iframe src='{site.url}/models/churn'></iframe>")
    frame = page.frames[-1]
    frame.wait_for_load_state()
    assert "churn" not in frame.content()
