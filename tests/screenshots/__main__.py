"""Pictures of the pages for the docs: a real server, a real model, a real browser.

python -m screenshots                 the pictures in docs/, small enough to be kept there
python -m screenshots --all FOLDER    every page at three widths, light and dark, to look at
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
from playwright.sync_api import Browser, sync_playwright

from registry_core import Registry
from registry_core.backends import open_artifacts
from registry_core.models import (
    NewWebhook,
    Webhook,
    WebhookAction,
    WebhookChanges,
    WebhookEntity,
    WebhookEvent,
)
from registry_core.outbox import outbox_of
from registry_core.stores.memory import MemoryStore
from registry_server import Settings, create_app
from screenshots.team import Calendar, fill
from services.chromium import FLAGS, executable
from services.receivers import Receiver, Script
from services.registry_server import WEBHOOKS_ON_LOOPBACK
from services.serving import serving_app

DOCS = Path(__file__).parents[2] / "docs" / "images"

PICTURES_MAX_BYTES = 600_000
"""Bytes of all pictures in the docs together: everybody who clones the repository gets them."""

_COLOURS = 48
"""Of a picture. Pages have a dozen; the others are the edges of letters."""

_WIDTHS = (1440, 1024, 390)


@attrs.frozen
class Picture:
    """A page, and how much of it the docs show, in CSS pixels."""

    name: str
    path: str
    height: int
    width: int = 1160


PICTURES = (
    Picture("models", "/", 560),
    Picture("model", "/models/churn", 760),
    Picture("history", "/models/churn/history", 620),
    Picture("version", "/models/churn/versions/7", 900),
    Picture("compare", "/models/churn/compare?a=5&b=7&only=differences", 560),
    Picture("webhook", "{webhook}", 600),
)

EVERY_PAGE = (
    "/", "/?q=tags.team+%3D", "/?q=nothing-is-called-so", "/prompts", "/activity", "/new", "/about",
    "/trash", "/trash?q=none", "{trash_model}", "/trash/versions/churn/2", "/webhooks",
    "/webhooks/new", "{webhook}", "{webhook}/edit", "/models/churn", "/models/churn/history",
    "/models/churn/settings", "/models/churn/description", "/models/churn/aliases",
    "/models/churn/aliases/champion", "/models/churn/versions/7",
    "/models/churn/compare?a=5&b=7", "/models/churn-summary",
    "/models/churn-summary/versions/2", "/models/churn-summary/compare?a=1&b=2", "/models/none",
)  # fmt: skip


@contextmanager
def serving(place: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a server with a team's registry, and the addresses of pages with odd names."""
    calendar = Calendar()
    store = MemoryStore(clock=calendar)
    registry = Registry(store, artifacts=open_artifacts(f"file://{place}/root"))
    fill(registry, calendar, place)
    settings = Settings(
        store="sqlite:///registry.db",
        threads=2,
        webhook_schemes=("http", "https"),
        webhook_private_addresses=True,
        webhook_retries=0,
        webhook_secret_key=WEBHOOKS_ON_LOOPBACK["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"],
    )
    app = create_app(registry, settings)
    with Receiver(*[Script(503)] * 2) as receiver, serving_app(app) as served:
        url = f"http://127.0.0.1:{served.port}"
        webhook = _webhooks(registry, receiver.url)
        (gone,) = registry.deleted_registered_models("upsell")
        yield (
            url,
            {
                "webhook": f"/webhooks/{webhook}",
                "trash_model": f"/trash/models/{gone.name}/{gone.model_id}",
            },
        )


def _webhooks(registry: Registry, receiver: str) -> str:
    """Creates webhooks, of which one misses two events; gives its id."""
    aliases = WebhookEvent(WebhookEntity.MODEL_VERSION_ALIAS, WebhookAction.CREATED)
    versions = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
    for name, url, events in (
        ("audit", "https://audit.example.com/registry", (aliases, versions)),
        ("deploy", receiver, (aliases,)),
    ):
        registry.store.create_webhook(
            NewWebhook(
                webhook_id=f"0d1f{len(name)}c2e-6a77-4f0b-9c1e-2b9e3f6a7d10",
                name=name,
                url=url,
                events=events,
                description="Rolls the champion out to the scoring service."
                if name == "deploy"
                else None,
            )
        )
    webhook = f"0d1f{len('deploy')}c2e-6a77-4f0b-9c1e-2b9e3f6a7d10"
    ann = registry.acting_as("ann")
    ann.set_registered_model_alias("churn", "challenger", 6)
    ann.set_registered_model_alias("churn", "challenger", 7, reason="shadow traffic")
    outbox = outbox_of(registry.store)
    assert outbox is not None
    end = time.monotonic() + 60
    while len(outbox.dead_letters(webhook)) < 2:
        assert time.monotonic() < end, "the deliveries did not fail"
        time.sleep(0.1)
    for hook in registry.store.list_webhooks():
        if hook.webhook_id == webhook:
            _show_a_public_address(registry, hook)
    return webhook


def _show_a_public_address(registry: Registry, webhook: Webhook) -> None:
    changes = WebhookChanges(url="https://ci.example.com/hooks/registry")
    registry.store.update_webhook(webhook.webhook_id, changes)


_REPLACE = """([old, now]) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    walk.currentNode.data = walk.currentNode.data.replaceAll(old, now);
  }
}"""
"""Replaces a text on a page: whatever port and folder the server got, the docs say the usual."""


@attrs.frozen
class Studio:
    """A server to take pictures of, and a browser to take them with."""

    browser: Browser
    url: str
    place: Path
    odd: dict[str, str]
    """The addresses of pages whose names nobody knows before."""

    def shoot(self, path: str, *, width: int, height: int | None, scheme: Any) -> bytes:
        """A picture of a page; of all of it without a height."""
        context = self.browser.new_context(
            viewport={"width": width, "height": height or 900},
            color_scheme=scheme,
            base_url=self.url,
        )
        page = context.new_page()
        page.goto(path.format(**self.odd))
        for old, new in (
            (self.url[self.url.rindex(":") :], ":8000"),
            (f"file://{self.place}", "file:///srv/models"),
        ):
            page.evaluate(_REPLACE, [old, new])
        picture = page.screenshot(full_page=height is None)
        context.close()
        return picture


def quantised(picture: bytes) -> bytes:
    """The picture with few colours, which is a fourth of the size."""
    from PIL import Image  # MLflow brings it along

    out = io.BytesIO()
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        small.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m screenshots", description=__doc__)
    parser.add_argument("--all", metavar="FOLDER", type=Path, help="every page, to look at")
    parser.add_argument("--only", metavar="TEXT", default="", help="pages whose address has this")
    options = parser.parse_args()
    path = executable()
    if path is None:
        parser.exit(1, "There is no Chromium on this machine: apt-get install chromium\n")
    place = Path(tempfile.mkdtemp(prefix="screenshots-"))
    try:
        with (
            serving(place) as (url, odd),
            sync_playwright() as playwright,
            playwright.chromium.launch(
                executable_path=path, args=[*FLAGS], env={**os.environ, "HOME": str(place)}
            ) as browser,
        ):
            studio = Studio(browser, url, place, odd)
            if options.all:
                everything(studio, options.all, options.only)
            else:
                for_the_docs(studio)
    finally:
        shutil.rmtree(place)


def everything(studio: Studio, into: Path, only: str) -> None:
    """Writes a picture of every page at each width, light and dark."""
    into.mkdir(parents=True, exist_ok=True)
    for path in EVERY_PAGE:
        if only not in path:
            continue
        name = "".join(c if c.isalnum() else "-" for c in path).strip("-") or "root"
        for width in _WIDTHS:
            for scheme in ("light", "dark"):
                picture = studio.shoot(path, width=width, height=None, scheme=scheme)
                (into / f"{name}-{width}-{scheme}.png").write_bytes(picture)


def for_the_docs(studio: Studio) -> None:
    """Writes the pictures that the docs show."""
    DOCS.mkdir(exist_ok=True)
    total = 0
    for each in PICTURES:
        for scheme in ("light", "dark"):
            picture = studio.shoot(each.path, width=each.width, height=each.height, scheme=scheme)
            small = quantised(picture)
            (DOCS / f"{each.name}-{scheme}.png").write_bytes(small)
            total += len(small)
    print(f"{total:,} bytes in {DOCS}")
    assert total <= PICTURES_MAX_BYTES


if __name__ == "__main__":
    main()
