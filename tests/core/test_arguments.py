"""What callers may write, and what they are told when it is of the wrong type."""

from __future__ import annotations

import contextlib
import enum
import inspect
from datetime import UTC
from decimal import Decimal

import pytest

from registry_core import (
    AlreadyExistsError,
    FilterSyntaxError,
    InvalidArgumentError,
    Page,
    RegisteredModelNotFoundError,
    Registry,
    Stage,
    __version__,
    open_registry,
)
from registry_core.arguments import CHECKED_BY_VALUE, rules_of
from registry_core.calls.prompts import Prompts
from registry_core.models import ModelVersion
from registry_core.stores.memory import MemoryStore
from registry_core.webhooks import Webhooks


class _Odd:
    """What no annotation names."""


@pytest.fixture
def registry():
    registry = Registry(MemoryStore())
    registry.create_registered_model("churn")
    registry.create_model_version("churn", source="s3://b/churn/1")
    return registry


@pytest.mark.parametrize("cls", [Registry, Prompts, Webhooks])
def test_every_argument_of_every_method_is_checked_and_named(registry, cls):
    """An object of a class that no annotation names is refused, argument by argument."""
    target = {Registry: registry, Prompts: registry.prompts}.get(cls) or Webhooks(registry.store)
    seen = 0
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_"):
            continue
        rules = rules_of(inspect.unwrap(method))
        parameters = inspect.signature(method).parameters
        needed = [each for each in rules if parameters[each].default is inspect.Parameter.empty]
        for argument in rules.keys() - CHECKED_BY_VALUE:
            right = {each: _right(rules[each]) for each in needed}
            with pytest.raises(InvalidArgumentError, match=f"^'{argument}' must be "):
                getattr(target, name)(**{**right, argument: _Odd()})
            seen += 1
    assert seen > (100 if cls is Registry else 10)


def _right(rule):
    """A value of a type that the rule lets pass."""
    for kind in rule.exact:
        if issubclass(kind, enum.Enum):
            return next(iter(kind))
        with contextlib.suppress(TypeError):
            return object.__new__(kind) if kind.__module__.startswith("registry") else kind()
    if rule.phrase == "callable":
        return print
    return {} if "mapping" in rule.phrase else ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.get_registered_model(5), "'name' must be a text, but it is 5 of type int."),
        (lambda r: r.get_registered_model(None), "'name' must be a text, but it is None."),
        (lambda r: r.create_registered_model("m", tags=["a"]), "'tags' must be a mapping from a text"),
        (lambda r: r.create_registered_model("m", tags={"a": None}), "it has None under 'a'"),
        (lambda r: r.create_registered_model("m", tags={1: "a"}), "but it has 1 of type int"),
        (lambda r: r.search_registered_models(max_results="5"), "'max_results' must be a whole number"),
        (lambda r: r.search_registered_models(max_results=True), "'max_results' must be a whole number"),
        (lambda r: r.search_model_versions(order_by=[1]), "'order_by' must be a text, or a sequence"),
        (lambda r: r.create_registered_model("m", tags=5), "a number or True or False; or None, but"),
        (lambda _: open_registry(5), "'url' must be a text or None, but it is 5 of type int."),
        (lambda r: r.search_model_versions(b"name = 'x'"), "'filter' must be a text or None"),
        (lambda r: r.get_model_version("churn", 1.5), "Parameter 'version' must be an integer"),
        (lambda r: r.history("churn", since="2026"), "'since' must be a whole number, a datetime or None"),
    ],
)  # fmt: skip
def test_messages_say_what_was_wanted_and_what_it_is(registry, call, message):
    """Nothing is changed, and no bare TypeError tells of our insides."""
    for _ in range(2):  # the second call is the written-out one
        with pytest.raises(InvalidArgumentError) as caught:
            call(registry)
        assert message in str(caught.value)
    assert [model.name for model in registry.search_registered_models()] == ["churn"]


def test_python_itself_still_says_which_arguments_there_are(registry):
    """A wrong name and a missing argument are mistakes of another kind."""
    with pytest.raises(TypeError, match=r"get_registered_model.*unexpected keyword argument 'nam'"):
        registry.get_registered_model(nam="x")
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'name'"):
        registry.get_registered_model()
    assert str(inspect.signature(registry.get_registered_model)).startswith("(name: 'str')")


def test_numbers_become_the_texts_that_mlflow_makes_of_them(registry):
    """`str` of them; of an enumeration, its text."""
    registry.create_registered_model("m", tags={"f": 0.5, "i": 3, "b": True})
    registry.set_registered_model_tag("m", "j", 7)
    registry.set_registered_model_tag("m", "j", 8, expected=7)
    registry.set_registered_model_tag("m", "s", Stage.PRODUCTION)
    tags = registry.get_registered_model("m").tags
    assert tags == {"f": "0.5", "i": "3", "b": "True", "j": "8", "s": "Production"}
    assert {type(value) for value in tags.values()} == {str}
    version = registry.create_model_version("m", source="s3://b/1", tags={"auc": 0.91})
    registry.set_model_version_tag("m", 1, "rows", 10**12)
    assert version.tags == {"auc": "0.91"}
    assert registry.get_model_version("m", 1).tags["rows"] == "1000000000000"
    with pytest.raises(InvalidArgumentError, match="'value' must be"):
        registry.set_registered_model_tag("m", "d", Decimal(1))


def test_one_text_is_a_sequence_of_one(registry):
    """And not of its letters."""
    registry.create_registered_model("alpha")
    page = registry.search_registered_models(order_by="name DESC")
    assert [model.name for model in page] == ["churn", "alpha"]
    assert not registry.get_latest_versions("churn", stages="Production")
    assert [event.action for event in registry.history("churn", actions="create_version")] == [
        "create_version"
    ]


def test_page_is_iterable_and_has_a_length():
    """What people do with it first."""
    page = Page(["a", "b"], "token")
    assert (list(page), len(page), bool(Page([]))) == (["a", "b"], 2, False)


def test_exist_ok_returns_the_model_that_is_there(registry):
    """Unchanged; a prompt in its place is refused all the same."""
    registry.set_registered_model_tag("churn", "team", "risk")
    found = registry.create_registered_model("churn", description="other", exist_ok=True)
    assert (found.description, found.tags) == (None, {"team": "risk"})
    assert registry.create_registered_model("new", exist_ok=True).name == "new"
    registry.prompts.create("greeting", "Hello")
    with pytest.raises(AlreadyExistsError):
        registry.create_registered_model("greeting", exist_ok=True)
    with pytest.raises(AlreadyExistsError):
        registry.create_registered_model("churn")


def test_repr_names_the_store_without_its_secrets(tmp_path):
    """As logs and debuggers show it."""
    with open_registry(f"sqlite:///{tmp_path}/r.db") as registry:
        assert repr(registry) == f"<Registry sqlite:///{tmp_path}/r.db>"
        assert repr(registry.acting_as("ann")) == repr(registry)
    secret = Registry(MemoryStore(), url="postgresql://ann:hunter2@db/registry?sslkey=hunter2")
    assert "hunter2" not in repr(secret)
    assert "db/registry" in repr(secret)
    registry = Registry(MemoryStore())
    assert repr(registry) == "<Registry MemoryStore>"
    assert repr(registry.prompts) == "<Prompts of <Registry MemoryStore>>"
    assert repr(registry.webhooks).startswith("<Webhooks of MemoryStore")


def test_entities_are_short_in_a_debugger_and_escaped_in_a_notebook(registry):
    """Names, tags and sources are other people's texts."""
    registry.set_registered_model_alias("churn", "champion", 1)
    registry.set_registered_model_tag("churn", "note", "<script>alert(1)</script>" + "x" * 9_000)
    model = registry.get_registered_model("churn")
    assert repr(model) == "<RegisteredModel 'churn', newest version 1, aliases champion = 1>"
    version = registry.get_model_version("churn", 1)
    assert repr(version) == "<ModelVersion 'models:/churn/1', aliases champion>"
    shown = model._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert len(shown) < 3_000
    assert shown.count("<table>") == 1


def test_times_are_moments_too(registry):
    """In UTC, aware of it, to the millisecond."""
    model = registry.get_registered_model("churn")
    assert model.created_at.tzinfo is UTC
    assert round(model.created_at.timestamp() * 1000) == model.creation_timestamp
    assert round(model.updated_at.timestamp() * 1000) == model.last_updated_timestamp
    event = next(registry.history("churn"))
    assert round(event.at.timestamp() * 1000) == event.time
    far = ModelVersion(
        name="m", version=1, creation_timestamp=2**62, last_updated_timestamp=0, source="s"
    )
    assert f"{2**62} ms" in far._repr_html_()


def test_filter_fault_is_shown_with_a_caret():
    """In a traceback; the message stays MLflow's own."""
    registry = Registry(MemoryStore())
    with pytest.raises(FilterSyntaxError) as caught:
        registry.search_registered_models("name = 'x' AND naem = 'y'")
    assert caught.value.__notes__ == ["name = 'x' AND naem = 'y'\n               ^^^^"]
    assert "^" not in str(caught.value)
    with pytest.raises(FilterSyntaxError) as caught:
        registry.search_registered_models("name = '模型' AND naem = 'y'")
    assert caught.value.caret().endswith("\n" + " " * 18 + "^^^^")
    with pytest.raises(FilterSyntaxError) as caught:
        registry.search_registered_models(f"name = '{'x' * 5_000}' AND naem = '{'y' * 5_000}'")
    line, carets = caught.value.caret().split("\n")
    assert len(line) < 200
    assert line[carets.index("^") :].startswith("naem")


def test_short_references_mean_what_the_uris_mean(registry):
    """`churn/1` and `churn@champion`."""
    registry.set_registered_model_alias("churn", "champion", 1)
    for reference in ("churn/1", "churn@champion", "churn/latest", "models:/churn@champion"):
        assert registry.resolve(reference).version == 1
    for wrong in ("churn", "/churn/1", "models://host/churn/1", "s3://b/churn", "churn/1/2", ""):
        with pytest.raises(InvalidArgumentError):
            registry.resolve(wrong)


def test_the_library_knows_its_version():
    """As `pip` shows it."""
    assert __version__.count(".") >= 1


def test_prompts_are_what_mlflow_keeps(registry):
    """A text and a chat; versions, aliases, and no model among them."""
    first = registry.prompts.create(
        "greeting", "Hello {{ name }}, {{mood}}?", tags={"lang": "en", "n": 1}, description="first"
    )
    assert first.variables == {"name", "mood"}
    assert first.format(name="{{mood}}", mood="well") == "Hello {{mood}}, well?"
    with pytest.raises(InvalidArgumentError, match="needs values of: mood"):
        first.format(name="Ann")
    with pytest.raises(AlreadyExistsError):
        registry.prompts.create("greeting", "again")
    messages = [{"role": "user", "content": "Hi {{name}}"}]
    second = registry.prompts.create(
        "greeting", messages, exist_ok=True, model_config={"model_name": "m"}
    )
    assert second.version == 2
    assert registry.prompts.resolve("greeting/2").model_config == {"model_name": "m"}
    assert second.format(name="Ann") == [{"role": "user", "content": "Hi Ann"}]
    assert second.text == "user: Hi {{name}}"
    registry.prompts.set_alias("greeting", "live", 1)
    for reference in ("prompts:/greeting@live", "greeting@live", "prompts:/greeting/1"):
        found = registry.prompts.resolve(reference)
        assert (found.version, found.tags) == (1, {"lang": "en", "n": "1"})
    assert [each.version for each in registry.prompts.versions("greeting")] == [2, 1]
    assert [each.name for each in registry.prompts.list()] == ["greeting"]
    assert registry.prompts.get("greeting").newest_version == 2
    assert [each.name for each in registry.prompts.search("name LIKE 'gr%'")] == ["greeting"]
    for call in (
        lambda: registry.prompts.get("churn"),
        lambda: registry.prompts.get_version("churn", 1),
        lambda: registry.prompts.create("churn", "text", exist_ok=True),
    ):
        with pytest.raises((RegisteredModelNotFoundError, AlreadyExistsError)):
            call()
    with pytest.raises(InvalidArgumentError, match=r"mlflow\.prompt\.text"):
        registry.prompts.create("other", "x", tags={"mlflow.prompt.text": "y"})
    with pytest.raises(InvalidArgumentError, match="template"):
        registry.prompts.create("other", "")
    with pytest.raises(RegisteredModelNotFoundError):
        registry.prompts.get("other")


def test_webhooks_are_in_the_library(registry, monkeypatch):
    """By the rules of the environment, as a server's."""
    monkeypatch.setenv("REGISTRY_WEBHOOK_PRIVATE_ADDRESSES", "true")
    monkeypatch.setenv("REGISTRY_WEBHOOK_SCHEMES", "http,https")
    from registry_core.models import WebhookAction, WebhookEntity, WebhookEvent

    event = WebhookEvent(WebhookEntity.MODEL_VERSION, WebhookAction.CREATED)
    hook = registry.webhooks.create_webhook("ci", url="http://127.0.0.1/ci", events=[event])
    assert registry.webhooks.get_webhook(hook.webhook_id).created_at.tzinfo is UTC
    monkeypatch.setenv("REGISTRY_WEBHOOK_SCHEMES", "ftp")
    with pytest.raises(InvalidArgumentError, match="REGISTRY_WEBHOOK_SCHEMES"):
        _ = registry.webhooks
