"""Journeys in a real browser of people who sign in: a reader, a writer and an admin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

from registry_core import Registry, open_registry
from services.chromium import SECONDS
from services.registry_server import RegistryServer

SALT = bytes(16)
COST = {"n": 1024, "r": 8, "p": 1}
"""Of the passwords in this test: what takes a moment less than people's."""


def password(name: str) -> str:
    return f"{name}'s secret"


def user(name: str) -> str:
    key = hashlib.scrypt(password(name).encode(), salt=SALT, dklen=32, **COST).hex()
    return f'[user.{name}]\npasswords = ["scrypt:1024:8:1:{SALT.hex()}:{key}"]'


POLICY = "\n".join(
    [
        *map(user, ("rita", "wanda", "ada")),
        '[[grant]]\nusers = ["rita"]\nrole = "reader"\nmodels = ["churn*"]',
        '[[grant]]\nusers = ["wanda"]\nrole = "writer"\nmodels = ["churn*"]',
        '[[grant]]\nusers = ["ada"]\nrole = "admin"',
        '[[protect]]\naliases = ["champion"]',
        '[[gate]]\nname = "two eyes"\nmodels = ["churn*"]\naliases = ["champion"]\napprovals = 1',
    ]
)


@attrs.frozen
class Site:
    """A server that asks for names, its registry, and a browser."""

    url: str
    registry: Registry
    chromium: Any

    def signed_in(self, name: str, *, scripts: bool, path: str = "/") -> Any:
        """A window of somebody who was led to the form for signing in, and did."""
        context = self.chromium.new_context(
            viewport={"width": 1440, "height": 900},
            java_script_enabled=scripts,
            base_url=self.url,
        )
        context.set_default_timeout(SECONDS * 1000)
        page = context.new_page()
        page.goto(path)
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password or token").fill(password(name))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
        return page


@pytest.fixture(scope="module")
def site(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("signed-in")
    store, root = f"sqlite:///{directory}/registry.db", f"file://{directory}/root"
    policy = directory / "access.toml"
    policy.write_text(POLICY)
    policy.chmod(0o600)
    with open_registry(store, artifacts=root) as registry:
        arguments = ("--artifacts", root, "--access-file", str(policy))
        with RegistryServer(store, arguments=arguments) as server:
            yield Site(server.url, registry, chromium)


@pytest.fixture(params=[True, False], ids=["with scripts", "without"])
def scripts(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def name(site: Site, scripts: bool) -> str:
    """A model of this test, with two versions, which the others cannot see."""
    name = f"churn-{scripts}".lower()
    author = site.registry.acting_as("ci")
    author.create_registered_model(name, exist_ok=True)
    for _ in (1, 2):
        author.create_model_version(name, source="s3://b/1")
    author.create_registered_model("salaries", exist_ok=True)
    return name


def test_a_reader_sees_and_is_offered_nothing_else(site: Site, name: str, scripts: bool) -> None:
    """Led to the page that was asked for; what one may not read does not exist."""
    page = site.signed_in("rita", scripts=scripts, path=f"/models/{name}")
    assert page.url == f"{site.url}/models/{name}"
    assert "read only" in page.inner_text("header")
    for path in ("", "/settings", "/aliases", "/versions/1", "/history"):
        page.goto(f"/models/{name}{path}")
        assert page.locator("main form[method=post]").count() == 0
    assert page.goto("/models/salaries").status == 404
    page.goto("/")
    assert "salaries" not in page.inner_text("main")
    page.get_by_role("link", name="rita").click()
    assert "You are rita" in page.inner_text("main")
    page.get_by_label("Do").select_option("edit")
    page.get_by_label("To the model").fill(name)
    page.get_by_role("button", name="Ask").click()
    page.wait_for_url("**permission=edit**")
    assert f"rita may not edit on '{name}'" in page.inner_text("#why")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/signin**")
    page.goto(f"/models/{name}")
    assert "/signin" in page.url


def test_a_writer_approves_and_an_admin_promotes(site: Site, name: str, scripts: bool) -> None:
    """The gate says what is missing until somebody else has approved; history has proven names."""
    version = max(v.version for v in site.registry.iter_model_versions(f"name = '{name}'"))
    writer = site.signed_in("wanda", scripts=scripts, path=f"/models/{name}/aliases/champion")
    assert writer.locator("main form[method=post]").count() == 0
    admin = site.signed_in("ada", scripts=scripts, path=f"/models/{name}/aliases/champion")
    promote(admin, version)
    assert "approv" in admin.inner_text("[role=alert]")
    assert "champion" not in site.registry.get_registered_model(name).aliases
    writer.goto(f"/models/{name}/versions/{version}")
    assert "refuses" in writer.inner_text("#approvals")
    writer.locator("#reason-approval").fill("looks right")
    writer.get_by_role("button", name="Approve it").click()
    assert f"You approve version {version}" in writer.inner_text("main")
    admin.goto(f"/models/{name}/aliases/champion")
    promote(admin, version)
    assert f"now points at version {version}" in admin.inner_text("main")
    event = next(site.registry.history(name, alias="champion"))
    assert (event.actor, event.is_authenticated, event.after) == ("ada", True, version)


def promote(page: Any, version: int) -> None:
    page.get_by_label("To version").fill(str(version))
    page.get_by_label("Reason").first.fill("weekly")
    page.get_by_role("button", name="Point champion").click()


def test_a_writer_works_and_deletes_nothing(site: Site, name: str, scripts: bool) -> None:
    page = site.signed_in("wanda", scripts=scripts, path=f"/models/{name}/settings")
    page.locator("#key").fill("team")
    page.locator("#value").fill("risk")
    page.get_by_role("button", name="Set the tag").click()
    assert "team" in page.inner_text("main table")
    assert page.get_by_role("button", name="Delete the model").count() == 0
    assert site.registry.get_registered_model(name).tags["team"] == "risk"
    page.goto("/trash")
    assert page.get_by_role("link", name="Restore").count() == 0


def test_the_access_page_has_no_barriers(site: Site) -> None:
    """Signed in, with an answer on it, wide and narrow."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = site.signed_in("wanda", scripts=True)
    for width in (1440, 320):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/access?permission=move-alias&model=churn&alias=champion")
        assert "protected" in page.inner_text("#why")
        found = axe.run(
            page,
            options={
                "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
            },
        )
        assert not [violation["id"] for violation in found.response["violations"]]
        fits = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        assert page.evaluate(fits)
