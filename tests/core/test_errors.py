"""The errors: their sentences, what they carry, and that they may cross processes."""

import inspect
import pickle

import pytest

from registry_core import errors
from registry_core.errors import (
    AliasNotFoundError,
    AlreadyExistsError,
    ApprovalNotFoundError,
    ArtifactExistsError,
    ArtifactImmutableError,
    ArtifactMismatchError,
    ArtifactNotFoundError,
    FilterSyntaxError,
    GateRefusedError,
    IdempotencyKeyReusedError,
    InvalidArgumentError,
    ModelVersionNotFoundError,
    NoModelVersionsError,
    NotFoundError,
    NoVersionInStageError,
    RegisteredModelNotFoundError,
    RegistryError,
    SearchTooSlowError,
    StaleValueError,
    StoreUnavailableError,
    WebhookNotFoundError,
)
from registry_core.search import Entity
from registry_core.search.language import parse_filter

EVERY = {
    RegisteredModelNotFoundError("a b"): "Registered Model with name=a b not found",
    ModelVersionNotFoundError("m", 3): "Model Version (name=m, version=3) not found",
    ModelVersionNotFoundError("m", "x"): "Model Version (name=m, version=x) not found",
    AliasNotFoundError("m", "a"): "Registered model alias a not found.",
    NoVersionInStageError(
        "m", "Staging"
    ): "No versions of model with name 'm' and stage 'Staging' found",
    NoModelVersionsError("m"): "Latest version not found for model m.",
    ApprovalNotFoundError("m", 3, "ann"): "Version 3 of model 'm' has no approval by 'ann'",
    WebhookNotFoundError("i"): "Webhook with ID i not found.",
    ArtifactNotFoundError("p/q"): "No such artifact: 'p/q'",
    ArtifactExistsError("p/q"): "Artifact exists: 'p/q'",
    ArtifactImmutableError("p/q"): (
        "The artifact 'p/q' belongs to a registered model version and cannot be changed or deleted."
    ),
    ArtifactMismatchError("m/1", ("no a", "b is short")): (
        "m/1 does not match its manifest: no a; b is short"
    ),
    AlreadyExistsError("m"): "Registered Model (name=m) already exists.",
    AlreadyExistsError(
        "m", existing_is_prompt=True, wanted_prompt=True
    ): "Prompt (name=m) already exists.",
    AlreadyExistsError("m", wanted_prompt=True): (
        "Tried to create a prompt with name 'm', but the name is already taken by a registered "
        "model. MLflow does not allow creating a model and a prompt with the same name."
    ),
    AlreadyExistsError("m", existing_is_prompt=True): (
        "Tried to create a registered model with name 'm', but the name is already taken by a "
        "prompt. MLflow does not allow creating a model and a prompt with the same name."
    ),
    FilterSyntaxError("wrong", source="name", span=(0, 4)): "wrong",
    StaleValueError("moved", current=5): "moved",
    IdempotencyKeyReusedError("k"): (
        "The idempotency key 'k' was used for another request; give every request a key of its own"
    ),
    GateRefusedError("not yet", missing=("tag a",)): "not yet",
    StoreUnavailableError("down", retry_after_seconds=7): "down",
    SearchTooSlowError(30.0): (
        "The search has taken more than 30 seconds and was given up. Narrow it, by an equality on a "
        "name, a run id or a tag, or ask for fewer results."
    ),
}
"""Errors with a constructor of their own, and their sentences."""


@pytest.mark.parametrize(("error", "message"), EVERY.items())
def test_errors_speak_mlflows_sentences(error, message):
    """A client sees the same words on every path."""
    assert str(error) == message


@pytest.mark.parametrize(
    "error",
    [
        *EVERY,
        errors.ConflictError("lost"),
        errors.StoreBusyError("full", retry_after_seconds=3),
        RegistryError("any"),
    ],
)
def test_errors_survive_pickling(error):
    """A worker process that fails can say so: type, sentence and data arrive."""
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_every_error_with_data_is_tested_above():
    """A new class with a constructor of its own belongs into the table."""
    own = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RegistryError) and "__init__" in vars(kind)
    }
    assert own == {type(error) for error in EVERY}


def test_errors_are_the_builtins_that_a_caller_would_expect():
    """Whoever catches `LookupError` or `ValueError` catches ours."""
    assert issubclass(NotFoundError, LookupError)
    assert issubclass(AliasNotFoundError, NotFoundError)
    assert issubclass(InvalidArgumentError, ValueError)
    assert issubclass(FilterSyntaxError, InvalidArgumentError)


def test_the_tree_in_the_docstring_names_every_class():
    """The picture at the top of the module is complete."""
    kinds = inspect.getmembers(errors, inspect.isclass)
    missing = [
        name
        for name, kind in kinds
        if issubclass(kind, RegistryError) and name not in errors.__doc__
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("source", "span", "expected"),
    [
        ("name = x", (7, 8), "name = x\n       ^"),
        ("name = xyz", (7, 10), "name = xyz\n       ^^^"),
        ("name =", (6, 6), "name =\n      ^"),
        ("", (0, 0), "\n^"),
        ("a\nname = x\nb", (9, 10), "name = x\n       ^"),
        ("a\nb", (2, 3), "b\n^"),
        ("a = 'x\ny'", (4, 9), "a = 'x\n    ^^"),
        ("ab\ncd", (2, 3), "ab\n  ^"),
    ],
)
def test_caret_points_at_the_fault(source, span, expected):
    """The line of the fault, and carets below that part of it which is on the line."""
    assert FilterSyntaxError("m", source=source, span=span).caret() == expected


@pytest.mark.parametrize(
    ("text", "fault"),
    [("name = x", "x"), ("nam = 'x'", "nam"), ("name = 'a' AND\ntags.k > '1'", ">")],
)
def test_caret_points_at_faults_of_real_filters(text, fault):
    """What the carets stand under is what the parser refused."""
    with pytest.raises(FilterSyntaxError) as raised:
        parse_filter(text, Entity.REGISTERED_MODEL)
    line, carets = raised.value.caret().split("\n")
    assert line in text
    assert line[carets.index("^") :][: carets.count("^")] == fault
