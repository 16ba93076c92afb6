"""Random commands under random policies, through the routes, against an oracle of a few lines."""

from __future__ import annotations

import json
import random
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs
import pytest

from registry_core import Registry
from registry_core.stores.memory import MemoryStore
from registry_server import Settings
from services.in_process import InProcessServer

from .test_server_access import digest, headers_of

USERS = ("ann", "bob", "eve")
NAMES = ("a", "b", "ab", "ba", "a-1", "b-1", "c*d")
PATTERNS = ("*", "a", "a*", "*b", "?", "a-?", "b-*", "c*", "*1")
ALIASES = ("champion", "beta")
PERMISSIONS = ("read", "register", "edit", "delete", "move-alias", "restore", "prune")
MLFLOW, OWN = "/api/2.0/mlflow", "/api/registry/v1"


# The oracle: what a caller may do, from the rules as lists.


@attrs.frozen
class Rule:
    users: tuple[str, ...]
    permissions: tuple[str, ...]
    models: tuple[str, ...]
    aliases: tuple[str, ...] | None


@attrs.frozen
class Oracle:
    rules: tuple[Rule, ...]
    protected: tuple[tuple[str, str], ...]
    """Patterns of models and of aliases."""

    def rules_of(self, user: str, model: str) -> list[Rule]:
        return [
            rule
            for rule in self.rules
            if user in rule.users and any(fnmatchcase(model, each) for each in rule.models)
        ]

    def reads(self, user: str, model: str) -> bool:
        return bool(self.rules_of(user, model))

    def may(self, user: str, permission: str, model: str) -> bool:
        # Every permission includes to read.
        return any(permission in ("read", *rule.permissions) for rule in self.rules_of(user, model))

    def moves(self, user: str, model: str, alias: str) -> bool:
        is_protected = any(
            fnmatchcase(model, of) and fnmatchcase(alias, kept) for of, kept in self.protected
        )
        for rule in self.rules_of(user, model):
            if "move-alias" not in rule.permissions:
                continue
            if rule.aliases is None:
                if not is_protected:
                    return True
            elif any(fnmatchcase(alias, each) for each in rule.aliases):
                return True
        return False

    def moves_all(self, user: str, model: str) -> bool:
        kept = [alias for of, alias in self.protected if fnmatchcase(model, of)]
        return all(self.moves(user, model, alias) for alias in kept)


@attrs.frozen
class Step:
    method: str
    path: str
    fields: Mapping[str, Any]
    model: str
    allowed: Callable[[Oracle, str], bool]
    is_new: bool = False
    """Whether the model is one to be made, so that a refusal does not depend on what there is."""


def steps(choose: random.Random) -> Step:
    name, other = choose.choice(NAMES), choose.choice(NAMES)
    alias, version = choose.choice(ALIASES), str(choose.randint(1, 2))
    of = {"name": name}

    def needs(permission: str) -> Callable[[Oracle, str], bool]:
        return lambda oracle, user: oracle.may(user, permission, name)

    def moves(oracle: Oracle, user: str) -> bool:
        return oracle.moves(user, name, alias)

    quoted = urllib.parse.quote(name, safe="")
    table = (
        Step("GET", f"{MLFLOW}/registered-models/get", of, name, needs("read")),
        Step("GET", f"{MLFLOW}/model-versions/get", {**of, "version": version}, name, needs("read")),
        Step("GET", f"{MLFLOW}/registered-models/alias", {**of, "alias": alias}, name, needs("read")),
        Step("GET", f"{OWN}/models/{quoted}/history", {}, name, needs("read")),
        Step("GET", f"{OWN}/models/{quoted}/snapshot", {}, name, needs("read")),
        Step("POST", f"{MLFLOW}/registered-models/create", of, name, needs("register"), is_new=True),
        Step("POST", f"{MLFLOW}/model-versions/create", {**of, "source": "s3://b/x"}, name, needs("register")),
        Step(
            "POST",
            f"{MLFLOW}/model-versions/create",
            {**of, "source": f"models:/{other}/1"},
            name,
            lambda oracle, user: oracle.may(user, "register", name),
        ),
        Step("PATCH", f"{MLFLOW}/registered-models/update", {**of, "description": "d"}, name, needs("edit")),
        Step("POST", f"{MLFLOW}/registered-models/set-tag", {**of, "key": "k", "value": "v"}, name, needs("edit")),
        Step("POST", f"{MLFLOW}/model-versions/set-tag", {**of, "version": version, "key": "k", "value": "v"}, name, needs("edit")),
        Step("DELETE", f"{MLFLOW}/registered-models/delete", of, name, needs("delete")),
        Step("DELETE", f"{MLFLOW}/model-versions/delete", {**of, "version": version}, name, needs("delete")),
        Step("POST", f"{MLFLOW}/registered-models/alias", {**of, "alias": alias, "version": version}, name, moves),
        Step("DELETE", f"{MLFLOW}/registered-models/alias", {**of, "alias": alias}, name, moves),
        Step("PUT", f"{OWN}/models/{quoted}/aliases/{alias}", {"version": version}, name, moves),
        Step(
            "POST",
            f"{MLFLOW}/model-versions/transition-stage",
            {**of, "version": version, "stage": "Production", "archive_existing_versions": False},
            name,
            lambda oracle, user: oracle.moves(user, name, "stage:Production"),
        ),
        Step(
            "POST",
            f"{MLFLOW}/registered-models/rename",
            {**of, "new_name": other},
            name,
            lambda oracle, user: (
                oracle.may(user, "edit", name)
                and oracle.may(user, "delete", name)
                and oracle.may(user, "register", other)
                and oracle.moves_all(user, other)
            ),
        ),
        Step("POST", f"{OWN}/models/{quoted}/history/prune", {"before": 1}, name, needs("prune")),
    )  # fmt: skip
    return choose.choice(table)


def a_policy(choose: random.Random) -> tuple[Oracle, str]:
    """Some rules, and the file that says them."""

    def some(values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(choose.sample(values, choose.randint(1, min(3, len(values)))))

    rules = []
    for _ in range(choose.randint(1, 5)):
        permissions = some(PERMISSIONS)
        named = some((*ALIASES, "stage:*")) if choose.random() < 0.3 else None
        aliases = named if "move-alias" in permissions else None
        rules.append(Rule(some(USERS), permissions, some(PATTERNS), aliases))
    protected = [
        (choose.choice(PATTERNS), choose.choice((*ALIASES, "stage:Production")))
        for _ in range(choose.randint(0, 2))
    ]
    lines = [f'[user.{user}]\ntokens = ["sha256:{digest(user)}"]' for user in (*USERS, "admin")]
    lines.append('[[grant]]\nusers = ["admin"]\nrole = "admin"')
    for rule in rules:
        lines.append(
            f"[[grant]]\nusers = {json.dumps(rule.users)}\n"
            f"permissions = {json.dumps(rule.permissions)}\nmodels = {json.dumps(rule.models)}"
        )
        if rule.aliases is not None:
            lines.append(f"aliases = {json.dumps(rule.aliases)}")
    for of, alias in protected:
        lines.append(f'[[protect]]\nmodels = ["{of}"]\naliases = ["{alias}"]')
    return Oracle(tuple(rules), tuple(protected)), "\n".join(lines)


class Servers:
    """One server with access, and another that is told what the first one has allowed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.write("[user.admin]\n")
        self.guarded = InProcessServer(
            Registry(MemoryStore(), local_sources=False),
            Settings(threads=1, access_file=str(path)),
        )
        self.open = InProcessServer(
            Registry(MemoryStore(), local_sources=False), Settings(threads=1)
        )

    def write(self, text: str) -> None:
        self._path.write_text(text)
        self._path.chmod(0o600)

    def use(self, text: str) -> None:
        self.write(text)
        assert self.guarded.app._parts[0].on_reload[0]() is True

    def sent(self, server: InProcessServer, step: Step, user: str) -> tuple[int, Any]:
        headers = [*headers_of(user), (b"content-type", b"application/json")]
        if step.method == "GET":
            target = f"{step.path}?{urllib.parse.urlencode(step.fields)}"
            answer = server.send("GET", target.encode(), b"", headers)
        else:
            body = json.dumps(step.fields).encode()
            answer = server.send(step.method, step.path.encode(), body, headers)
        return answer.status, json.loads(answer.body)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    both = Servers(tmp_path / "access.toml")
    with both.guarded, both.open:
        yield both


def names_seen(answer: Any) -> list[str]:
    found = answer.get("registered_models") or answer.get("model_versions") or []
    return sorted(each["name"] for each in found)


def check_searches(servers: Servers, oracle: Oracle, user: str) -> None:
    for what in ("registered-models", "model-versions"):
        step = Step("GET", f"{MLFLOW}/{what}/search", {}, "", lambda *_: True)
        _, mine = servers.sent(servers.guarded, step, user)
        _, every = servers.sent(servers.open, step, user)
        wanted = [name for name in names_seen(every) if oracle.reads(user, name)]
        assert names_seen(mine) == wanted
    activity = Step("GET", f"{OWN}/activity", {"max_results": 1000}, "", lambda *_: True)
    _, mine = servers.sent(servers.guarded, activity, user)
    assert all(oracle.reads(user, event["name"]) for event in mine["events"])
    named = [str(event["after"]) for event in mine["events"] if event["action"] == "rename_model"]
    assert all(oracle.reads(user, name) for name in named)


def run(servers: Servers, count: int, seed: int) -> None:
    choose = random.Random(seed)
    oracle = Oracle((), ())
    outcomes = {"allowed": 0, "refused": 0, "hidden": 0}
    for number in range(count):
        if number % 20 == 0:
            oracle, text = a_policy(choose)
            servers.use(text)
        step, user = steps(choose), choose.choice(USERS)
        source = str(step.fields.get("source", ""))
        copied = source.removeprefix("models:/").partition("/")[0] if "models:/" in source else None
        kept = dict(servers.guarded.registry.store._content.models)
        status, answer = servers.sent(servers.guarded, step, user)
        case = (seed, number, user, step.method, step.path, dict(step.fields), status, answer)
        if not step.is_new and not oracle.reads(user, step.model):
            outcomes["hidden"] += 1
            # As the other server answers of what it does not have.
            quoted = urllib.parse.quote(step.model, safe="")
            named = {"name": "zzz"} if "name" in step.fields else {}
            gone = attrs.evolve(
                step,
                path=step.path.replace(f"/models/{quoted}", "/models/zzz"),
                fields={**step.fields, **named},
            )
            told = servers.sent(servers.open, gone, user)
            if copied is None:
                assert status == told[0], case
                assert json.dumps(answer) == json.dumps(told[1]).replace("zzz", step.model), case
            assert status in (400, 404), case
        elif not step.allowed(oracle, user):
            outcomes["refused"] += 1
            assert status == 403, case
        elif copied is not None and not oracle.reads(user, copied):
            outcomes["hidden"] += 1
            assert status in (400, 404), case
        else:
            outcomes["allowed"] += 1
            assert status == servers.sent(servers.open, step, user)[0], case
            continue
        assert servers.guarded.registry.store._content.models == kept, case
        if number % 20 == 19:
            check_searches(servers, oracle, choose.choice(USERS))
    assert min(outcomes.values()) > count // 20, outcomes
    have = {
        name: len(doc.versions) for name, doc in servers.open.registry.store._content.models.items()
    }
    assert have == {
        name: len(doc.versions)
        for name, doc in servers.guarded.registry.store._content.models.items()
    }


def test_random_commands_under_random_policies(servers: Servers) -> None:
    run(servers, 400, seed=17)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_ten_thousand_commands(servers: Servers, seed: int) -> None:
    run(servers, 1_000, seed=seed)
