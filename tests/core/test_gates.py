"""What gates say of a version: a table of versions and verdicts, and of files and their errors."""

from __future__ import annotations

import time
import tomllib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import attrs
import pytest

from registry_core import Registry, changes, open_store
from registry_core.access import AccessFileError, load, parse
from registry_core.authors import Author, Origin
from registry_core.changes import Change
from registry_core.errors import (
    ConflictError,
    ContentionError,
    GateRefusedError,
    InvalidArgumentError,
    NotPermittedError,
    UnsupportedBackendError,
)
from registry_core.gates import (
    Facts,
    Gate,
    GateInputsChangedError,
    GatesPass,
    Pointing,
    evaluate,
    identity,
    load_gates,
    parse_gates,
)
from registry_core.gates.identity import MAKING
from registry_core.gating import ATTEMPTS, Gatekeeper, Gates, guard_of
from registry_core.models import DIGEST_TAG, Approval, ModelVersion, Stage, Status
from registry_core.store import system_clock
from registry_core.stores.memory import MemoryStore
from registry_core.testing.clocks import ManualClock
from registry_core.wire.errors import code_of, decode_error, error_body

DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "01")
CREATED = 1_000_000
VERSION = ModelVersion(
    name="m",
    version=7,
    source="s3://b/x",
    creation_timestamp=CREATED,
    last_updated_timestamp=CREATED,
    tags={"validation": "passed"},
)
FACTS = Facts(
    model_id="id",
    created=CREATED,
    identity=identity(VERSION),
    digest=DIGEST,
    is_sealed=True,
    authors=frozenset({"ann"}),
)
MOVER = Author(actor="cid", is_authenticated=True)


def given(actor: str, **fields: Any) -> Approval:
    """A proven approval of what the version is."""
    return Approval(actor=actor, **{"digest": DIGEST, "is_authenticated": True, **fields})


def verdict(gate: Gate, *approvals: Approval, by: Author = MOVER, **fields: Any) -> tuple[str, ...]:
    """What a gate misses of the version with other fields."""
    facts = {name: fields.pop(name) for name in ("is_sealed", "digest") if name in fields}
    now = fields.pop("now", CREATED)
    version, known = attrs.evolve(VERSION, **fields), attrs.evolve(FACTS, **facts)
    return evaluate(gate, version, approvals, known, by=by, now=now).missing


def gate(**fields: Any) -> Gate:
    """A gate of the alias champion."""
    return Gate(name="g", aliases=("champion",), **fields)


ONE, TWO = gate(approvals=1), gate(approvals=2)
NEEDS_ONE = "needs 1 approval by others than ann and cid and has 0"


@pytest.mark.parametrize(
    ("gate", "approvals", "missing"),
    [
        (gate(), (), ()),
        (ONE, (), (NEEDS_ONE,)),
        (ONE, (given("bob"),), ()),
        (ONE, (given("ann"),), (NEEDS_ONE,)),
        (ONE, (given("cid"),), (NEEDS_ONE,)),
        (ONE, (given("bob", is_authenticated=False),), (NEEDS_ONE,)),
        (
            ONE,
            (given("bob", digest=OTHER),),
            (NEEDS_ONE, "needs approvals of what it is now: those by bob are void"),
        ),
        (
            TWO,
            (given("bob"),),
            ("needs 2 approvals by others than ann and cid and has 1 (bob)",),
        ),
        (TWO, (given("bob"), given("dan")), ()),
        (
            gate(approvals=1, approvers=("leads",)),
            (given("bob"),),
            ("needs 1 approval among leads by others than ann and cid and has 0",),
        ),
        (gate(approvals=1, approvers=("lead*",)), (given("bob", groups=("x", "leads")),), ()),
        (gate(approvals=1, approvers=("b?b",)), (given("bob"),), ()),
    ],
)
def test_approvals_count_if_they_are_proven_of_others_and_of_what_the_version_is(
    gate: Gate, approvals: tuple[Approval, ...], missing: tuple[str, ...]
) -> None:
    assert verdict(gate, *approvals) == missing


@pytest.mark.parametrize(
    ("gate", "fields", "missing"),
    [
        (
            gate(),
            {"status": Status.PENDING_REGISTRATION},
            ("needs status READY and is PENDING_REGISTRATION",),
        ),
        (gate(ready=False, tags={"k": None}), {"tags": {"k": ""}, "status": Status.READY}, ()),
        (gate(tags={"k": None}), {}, ("needs tag k",)),
        (gate(tags={"validation": "no"}), {}, ("needs tag validation=no",)),
        (gate(tags={"validation": "passed"}), {}, ()),
        (gate(verified=True), {"is_sealed": True}, ()),
        (
            gate(verified=True),
            {"is_sealed": False},
            ("needs files under a sealed manifest of this registry",),
        ),
        (
            gate(min_age_seconds=60),
            {"now": CREATED + 59_999},
            ("needs an age of 0:01:00 and has 0:00:59",),
        ),
        (gate(min_age_seconds=60), {"now": CREATED + 60_000}, ()),
        (gate(), {"now": 0}, ()),
    ],
)
def test_a_version_has_what_its_gate_asks_for(
    gate: Gate, fields: dict[str, Any], missing: tuple[str, ...]
) -> None:
    assert verdict(gate, **fields) == missing


def test_claimed_approvals_count_where_the_mover_is_a_claim_too() -> None:
    claimed = given("bob", is_authenticated=False)
    assert verdict(ONE, claimed, by=Author(actor="cid")) == ()


@pytest.mark.parametrize(
    ("fields", "differs"),
    [
        ({"source": "s3://b/y"}, True),
        ({"storage_location": "s3://b/x"}, True),
        ({"run_id": "r"}, True),
        ({"model_id": "m-1"}, True),
        ({"tags": {DIGEST_TAG: DIGEST}}, True),
        ({"tags": {"mlflow.prompt.text": "Say {{ it }}"}}, True),
        ({"tags": {"validation": "no"}}, False),
        ({"description": "d", "run_id": "", "current_stage": Stage.STAGING}, False),
    ],
)
def test_the_identity_of_a_version_is_what_it_stands_for(
    fields: dict[str, Any], differs: bool
) -> None:
    assert (identity(attrs.evolve(VERSION, **fields)) != identity(VERSION)) is differs


def test_a_gate_protects_by_patterns() -> None:
    it = Gate(name="g", models=("churn", "fraud-*"), aliases=("champ*",), stages=(Stage.STAGING,))
    assert [it.covers(name) for name in ("churn", "fraud-", "churn2", "x-fraud-")] == [
        True,
        True,
        False,
        False,
    ]
    assert it.protects(Pointing(alias="champion", version=1))
    assert it.protects(Pointing(stage=Stage.STAGING, version=1))
    assert not it.protects(Pointing(alias="x", version=1))
    assert not it.protects(Pointing(stage=Stage.PRODUCTION, version=1))
    assert not Gate(name="g", stages=(Stage.STAGING,)).protects(Pointing(alias="a", version=1))


EXAMPLE = """
[[gate]]
name = "release"
models = ["churn", "fraud-*"]
aliases = ["champion"]
stages = ["Production"]
tags = { validation = "passed", reviewed = true }
verified = true
min_age_seconds = 3600
approvals = 2
approvers = ["ml-leads"]

[[gate]]
stages = ["Staging"]
"""


def test_gates_are_read_from_their_tables(tmp_path: Path) -> None:
    expected = (
        Gate(
            name="release",
            models=("churn", "fraud-*"),
            aliases=("champion",),
            stages=(Stage.PRODUCTION,),
            tags={"reviewed": None, "validation": "passed"},
            verified=True,
            min_age_seconds=3600,
            approvals=2,
            approvers=("ml-leads",),
        ),
        Gate(name="gate 2", stages=(Stage.STAGING,)),
    )
    assert parse_gates(tomllib.loads(EXAMPLE)) == expected
    assert parse(EXAMPLE.encode()).gates == expected
    (tmp_path / "access.toml").write_text(EXAMPLE)
    assert load_gates(tmp_path / "access.toml") == expected


def test_a_file_of_gates_may_begin_with_a_byte_order_mark_and_errors_name_its_lines(
    tmp_path: Path,
) -> None:
    path = tmp_path / "access.toml"
    path.write_text(f"\ufeff{EXAMPLE}\n[[gate]]\nalias = ['x']\n", encoding="utf-8")
    line = EXAMPLE.count("\n") + 2
    for read in (load_gates, load):
        with pytest.raises(InvalidArgumentError) as raised:
            read(path)
        where = f"{path}: [[gate]] (line {line}): "
        assert str(raised.value).startswith(f"{where}'alias' is not known here; known are name")
        assert str(raised.value).endswith("did you mean 'aliases'?")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gate = 1", "'gate' must be tables, as in [[gate]]"),
        ("[[gate]]\nalias = ['a']", "'alias' is not known here; known are name, models, aliases"),
        ("[[gate]]\n", "'aliases' or 'stages' must say what it protects"),
        ("[[gate]]\naliases = 'a'", "'aliases' must be a list, as in [\"a\"]"),
        ("[[gate]]\naliases = [1]", "'aliases' must be a list of texts"),
        ("[[gate]]\naliases = []", "'aliases' is empty"),
        ("[[gate]]\nstages = ['Archived']", "'stages' has 'Archived'; known are Staging"),
        ("[[gate]]\naliases = ['a']\ntags = ['k']", "'tags' must be a table"),
        ("[[gate]]\naliases = ['a']\ntags = {k = 1}", "'tags' has a value for 'k'"),
        ("[[gate]]\naliases = ['a']\nready = 1", "'ready' must be true or false"),
        ("[[gate]]\naliases = ['a']\nready = false", "asks for nothing else"),
        ("[[gate]]\naliases = ['a']\nready = false\napprovals = 1", "may still change"),
        ("[[gate]]\naliases = ['a']\napprovals = -1", "'approvals' must be a whole number"),
        ("[[gate]]\naliases = ['a']\napprovals = true", "'approvals' must be a whole number"),
        ("[[gate]]\naliases = ['a']\napprovers = ['x']", "mean nothing without 'approvals'"),
        ("[[gate]]\naliases = ['a']\nmin_age_seconds = 999999999", "from 0 to 316224000"),
        ("[[gate]]\nname = ''\naliases = ['a']", "'name' must be a text"),
        (
            "[[gate]]\nname = 'x\\u0000'\naliases = ['a']".replace("'x", '"x').replace("0'", '0"'),
            "'name' has a control character",
        ),
        (
            "[[gate]]\nname = 'g'\naliases = ['a']\n[[gate]]\nname = 'g'\naliases = ['b']",
            "(number 2): 'name' 'g' is that of another gate",
        ),
    ],
)
def test_a_gate_that_cannot_be_meant_is_refused_by_its_key(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgumentError) as raised:
        parse_gates(tomllib.loads(text), file="f.toml")
    assert str(raised.value).startswith("f.toml: ")
    assert problem in str(raised.value)
    with pytest.raises(AccessFileError):
        parse(text.encode())


def test_every_class_of_change_says_what_gates_make_of_it() -> None:
    """One that is forgotten could be a way past every gate."""
    known = {
        each
        for each in vars(changes).values()
        if isinstance(each, type) and issubclass(each, Change) and each is not Change
    }
    assert {each for each in known if guard_of(each)} == {each for each in known if each.is_gated}
    becoming = {each.action for each in known if "becomes" in vars(each)}
    assert becoming < MAKING


@pytest.mark.parametrize("kind", ["manual", "wall"])
def test_an_age_is_reached_in_time(kind: str) -> None:
    """By the clock of the process that moves."""
    clock = ManualClock()
    registry = Registry(MemoryStore(clock), gates=(gate(min_age_seconds=3600),))
    if kind == "wall":
        registry = Registry(open_store("memory:"), gates=(gate(min_age_seconds=3600),))
    registry.create_registered_model("m")
    registry.create_model_version("m", source="s3://b/x")
    if kind == "manual":
        registry.set_registered_model_alias("m", "champion", 1)
        return
    with pytest.raises(GateRefusedError, match="needs an age of 1:00:00 and has 0:00:0"):
        registry.set_registered_model_alias("m", "champion", 1)


def test_an_approval_over_http_needs_a_proven_name() -> None:
    registry = Registry(open_store("memory:"))
    registry.create_registered_model("m")
    registry.create_model_version("m", source="s3://b/x")
    anonymous = registry.acting_as("anonymous", origin=Origin.HTTP)
    with pytest.raises(NotPermittedError):
        anonymous.approve_model_version("m", 1)
    with pytest.raises(InvalidArgumentError):
        registry.acting_as("unknown").approve_model_version("m", 1)
    ann = registry.acting_as("ann", origin=Origin.HTTP, is_authenticated=True, groups=("g",))
    approval = ann.approve_model_version("m", 1, reason="fine")
    assert (approval.is_authenticated, approval.groups, approval.reason) == (True, ("g",), "fine")
    with pytest.raises(ConflictError):
        ann.approve_model_version("m", 1, digest=OTHER)
    assert registry.review_model_version("m", 1).approvals == (approval,)


def test_the_authors_of_a_version_outlive_the_pruning_of_its_history(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("registry_core.pruning.retention", lambda: 0)
    registry = Registry(open_store("memory:"), gates=(ONE,))
    ann = registry.acting_as("ann")
    ann.create_registered_model("m")
    ann.create_model_version("m", source="s3://b/x")
    eve = registry.acting_as("eve")
    eve.set_model_version_tag("m", 1, "mlflow.prompt.text", "another one")
    for number in range(9):
        ann.set_registered_model_tag("m", "k", str(number))
    newest = next(registry.history("m")).time
    # What is of this very millisecond is not pruned yet.
    while system_clock() <= newest + 1:
        time.sleep(0.001)
    assert registry.acting_as("ops").prune_history("m", before=newest + 1).removed
    ann.approve_model_version("m", 1)
    eve.approve_model_version("m", 1)
    with pytest.raises(GateRefusedError, match="by others than ann and cid and eve and has 0"):
        registry.acting_as("cid").set_registered_model_alias("m", "champion", 1)


def test_what_is_looked_up_beforehand_is_looked_up_again_when_it_has_changed() -> None:
    """And a move is given up when it changes each time."""
    store = open_store("memory:")
    registry = Registry(store, gates=(gate(tags={"validation": "passed"}),))
    registry.create_registered_model("m")
    registry.create_model_version("m", source="s3://b/x", tags={"validation": "passed"})
    others = Registry(store)
    looks: list[int] = []
    get = store.get_model_version

    def meddling(most: int) -> Any:
        def read(name: str, version: int) -> ModelVersion:
            found = get(name, version)
            looks.append(len(looks))
            if len(looks) <= most:
                text = f"{len(looks)}-{most}"
                others.set_model_version_tag(name, version, "mlflow.prompt.text", text)
            return found

        return read

    store.get_model_version = meddling(2)  # type: ignore[method-assign]
    registry.set_registered_model_alias("m", "champion", 1)
    assert len(looks) == 3
    registry.delete_registered_model_alias("m", "champion")
    looks.clear()
    store.get_model_version = meddling(100)  # type: ignore[method-assign]
    with pytest.raises(ContentionError):
        registry.set_registered_model_alias("m", "champion", 1)
    assert len(looks) == ATTEMPTS


@pytest.mark.parametrize(
    ("model_id", "created", "changed"),
    [("id", CREATED, False), ("other", CREATED, True), ("id", CREATED + 1, True)],
)
def test_facts_are_of_one_version_of_one_model(
    model_id: str, created: int, *, changed: bool
) -> None:
    """A model that was made anew under the name may have a version that looks the same."""
    pointing = Pointing(alias="champion", version=VERSION.version)
    requirement = GatesPass(
        name=VERSION.name,
        new_name=VERSION.name,
        gates=(gate(),),
        pointings=(pointing,),
        facts={VERSION.version: FACTS},
        by=MOVER,
        now=CREATED,
    )
    seen = requirement.seen(
        model_id=model_id,
        aliases={},
        staged=(),
        versions=[attrs.evolve(VERSION, creation_timestamp=created)],
        approvals={},
    )
    with pytest.raises(GateInputsChangedError) if changed else nullcontext():
        requirement.check(seen)


def test_a_refusal_crosses_the_wire_with_what_is_missing() -> None:
    error = GateRefusedError("The alias 'a' cannot point", missing=("needs tag k", "needs b"))
    assert code_of(error).status == 409
    body = error_body(error)
    assert body["error_code"] == "INVALID_STATE_TRANSITION"
    back = decode_error(409, body)
    assert isinstance(back, GateRefusedError)
    assert (str(back), back.missing) == (str(error), error.missing)


def test_a_change_that_gates_do_not_know_is_refused() -> None:
    """Nobody can say what it would move, whatever it is a kind of."""

    class Unknown(changes.DeleteAlias):
        pass

    store = open_store("memory:")
    keeper = Gatekeeper(gates=Gates((ONE,)), sealed_digest=lambda _: None)
    with pytest.raises(UnsupportedBackendError):
        keeper.apply(store, Unknown(name="m", alias="champion"), MOVER)
