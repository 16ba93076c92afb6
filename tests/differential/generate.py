"""Sequences from a seed: some models and versions first, then anything, then everything deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import attrs

from differential import filters, values
from differential.routes import MV, REQUIRED, RM, ROUTES, Route
from differential.steps import MARK, Sequence, Step

OWN = f"name LIKE '%{MARK}%'"
"""The clause that keeps a search to what its own sequence made."""

PROMPT = {"key": filters.MARKER, "value": "true"}

_ROUTE = {route.path + route.method: route for route in ROUTES}


def sequence(seed: int, *, length: int = 18) -> Sequence:
    """The sequence of that seed, of about that many steps besides its preparation and its end."""
    random = Random(seed)
    names = _names(random)
    steps = _preparation(random, names)
    steps += [
        _step(random, names) for _ in range(random.randint(length // 2, length + length // 2))
    ]
    return tuple(steps)


def cleanup(names: Mapping[str, None]) -> Sequence:
    """Deletes the models of those names."""
    return tuple(
        Step(method="DELETE", path=f"{RM}/delete", fields={"name": name}) for name in names
    )


def _names(random: Random) -> list[str]:
    # The first ones are drawn more often, so that calls meet.
    others = random.sample([f"{MARK}A", f"{MARK}B", *values.HOSTILE_NAMES], 2)
    return [f"{MARK}a", f"{MARK}b", *others]


def _preparation(random: Random, names: list[str]) -> list[Step]:
    steps = []
    for name in names[: random.choice((1, 2, 2, 3))]:
        prompt = random.random() < 0.15
        tags = (
            [{"key": "k", "value": random.choice(values.TAG_VALUES)}]
            if random.random() < 0.6
            else []
        )
        steps.append(_post(f"{RM}/create", name=name, tags=tags + [PROMPT] * prompt))
        versions = range(random.choice((0, 1, 2, 3)))
        steps += [_version(random, name, prompt=prompt) for _ in versions]
    return steps + _furniture(random, names[0])


def _version(random: Random, name: str, *, prompt: bool) -> Step:
    tags = [
        {"key": key, "value": random.choice(values.TAG_VALUES)}
        for key in random.sample(("k", "n", "color", "a.b"), random.randint(0, 2))
    ]
    source = random.choice(values.SOURCES)
    if prompt:
        tags += [PROMPT, {"key": "mlflow.prompt.text", "value": "Hi {{x}}"}]
        source = random.choice(("dummy-source", "prompt-template"))
    fields: dict[str, Any] = {"name": name, "source": source, "tags": tags}
    if random.random() < 0.5:
        fields["run_id"] = random.choice(values.RUN_IDS)
    if random.random() < 0.5:
        fields["description"] = random.choice(values.TAG_VALUES)
    return _post(f"{MV}/create", **fields)


def _furniture(random: Random, name: str) -> list[Step]:
    steps = [
        _post(f"{RM}/alias", name=name, alias="a", version="1"),
        _post(f"{RM}/alias", name=name, alias="champion", version="2"),
        _post(f"{MV}/transition-stage", name=name, version="1", stage="Production"),
        Step(method="DELETE", path=f"{MV}/delete", fields={"name": name, "version": "2"}),
    ]
    return random.sample(steps, random.randint(0, 2))


def _post(path: str, **fields: Any) -> Step:
    return Step(method="POST", path=path, fields=fields)


def _step(random: Random, names: list[str]) -> Step:
    route = random.choices(ROUTES, [route.weight for route in ROUTES])[0]
    if route.path.endswith("/search"):
        step = _search(random, route)
    else:
        fields = {
            name: _FIELDS[name](random, names) for name in route.fields if _given(random, name)
        }
        step = Step(method=route.method, path=route.path, fields=fields)
    if random.random() < 0.07:
        step = _spoilt(random, step)
    if random.random() < 0.015:
        step = _odd_request(random, step)
    return step


def _given(random: Random, field: str) -> bool:
    if field in REQUIRED:
        return random.random() < 0.99
    return random.random() < {"model_id": 0.03, "deployment_job_id": 0.05}.get(field, 0.6)


def _search(random: Random, route: Route) -> Step:
    text = filters.filter_text(random, route.path)
    shared = random.random() < 0.15
    if not shared:
        text = f"{OWN} AND {text}" if text else OWN
        if random.random() < 0.15:
            text += f" AND tags.`{filters.MARKER}` {random.choice(('=', '=', '!=', 'LIKE'))} "
            text += random.choice(("'true'", "'true'", "'True'", "'false'", "'x'"))
    fields: dict[str, Any] = {}
    if text or random.random() < 0.5:
        fields["filter"] = text
    order_by = filters.order_by(random, route.path)
    if order_by:
        fields["order_by"] = order_by
    walk = random.random() < 0.75
    if shared:
        fields["max_results"] = 1000
    elif random.random() < 0.7:
        odd = random.random() < 0.06
        fields["max_results"] = random.choice(values.ODD_MAX_RESULTS if odd else values.MAX_RESULTS)
    if not walk and random.random() < 0.3:
        fields["page_token"] = random.choice(values.TOKENS)
    return Step(method="GET", path=route.path, fields=fields, walk=walk or shared, shared=shared)


def _spoilt(random: Random, step: Step) -> Step:
    """The step with something wrong in one field."""
    fields = dict(step.fields)
    # Without its filter a search would find what other sequences made.
    fair = [field for field in fields if field != "filter"]
    if not fair or step.walk:
        return step
    field = random.choice(fair)
    camel = "".join(part.title() if n else part for n, part in enumerate(field.split("_")))
    how = random.randrange(7)
    if how == 0:
        del fields[field]
    elif how == 1:
        fields = {camel if key == field else key: value for key, value in fields.items()}
    elif how == 2:
        fields[camel] = fields[field]
    elif how == 3:
        fields = dict(random.sample(list(fields.items()), len(fields)))
    elif how == 4:
        fields["unknown"] = random.choice(values.WRONG_TYPES)
    else:
        fields[field] = random.choice(values.WRONG_TYPES)
    return attrs.evolve(step, fields=fields)


def _odd_request(random: Random, step: Step) -> Step:
    """The step in a form that a client does not send."""
    body = json.dumps(dict(step.fields))
    odd = [
        attrs.evolve(step, content_type=None),
        attrs.evolve(step, content_type="text/plain"),
        attrs.evolve(step, content_type="application/json; charset=latin1"),
        attrs.evolve(step, content_type="APPLICATION/JSON"),
        attrs.evolve(step, raw=json.dumps(body)),
        attrs.evolve(step, raw=""),
        attrs.evolve(step, raw="null"),
        attrs.evolve(step, raw="{"),
        attrs.evolve(step, raw="[1]"),
        attrs.evolve(step, raw="5"),
        attrs.evolve(step, raw='"x"'),
        attrs.evolve(step, raw=body + " "),
        attrs.evolve(step, raw=body[:-1]),
        attrs.evolve(step, headers={"X-MLFLOW-WORKSPACE": "default"}),
        attrs.evolve(step, headers={"X-MLFLOW-WORKSPACE": " "}),
    ]
    if step.path.endswith("/search"):
        # Without its filter a search would find what other sequences made.
        odd = [attrs.evolve(step, as_body=True, walk=False), *odd[-2:]]
    elif step.method == "GET":
        odd += [attrs.evolve(step, as_body=True, walk=False)] * 3
    else:
        odd.append(attrs.evolve(step, path=step.path + "/"))
        odd.append(attrs.evolve(step, method=random.choice(("PUT", "GET", "POST", "DELETE"))))
    return random.choice(odd)


def _name(random: Random, names: list[str]) -> str:
    roll = random.random()
    if roll < 0.93:
        return random.choices(names, (6, 4, 1, 1))[0]
    if roll < 0.95:
        return f"{MARK}absent"
    return random.choice(values.BAD_NAMES if roll < 0.995 else values.LONG_NAMES)


def _version_number(random: Random, _: list[str]) -> Any:
    roll = random.random()
    if roll < 0.9:
        return random.choice(("1", "1", "1", "2", "2", "3", "4"))
    if roll < 0.97:
        return random.choice(values.BAD_VERSIONS)
    return random.choice((*values.ODD_VERSIONS, 1, 2.0))


def _mostly(
    good: tuple[Any, ...], bad: tuple[Any, ...], share: float = 0.9
) -> Callable[[Random, list[str]], Any]:
    return lambda random, _: random.choice(good if random.random() < share else bad)


def _stages(random: Random, _: list[str]) -> Any:
    stages = [random.choice(values.STAGES) for _ in range(random.choice((0, 1, 1, 2, 3)))]
    if random.random() < 0.1:
        stages.append(random.choice(values.BAD_STAGES))
    return stages


_FIELDS: Mapping[str, Callable[[Random, list[str]], Any]] = {
    "name": _name,
    "new_name": lambda random, names: (
        random.choice(values.BAD_NAMES)
        if random.random() < 0.06
        else random.choices(names, (2, 3, 3, 3))[0]
    ),
    "tags": lambda random, _: values.tags(random),
    "description": lambda random, _: values.text(random),
    "deployment_job_id": _mostly(("1", "job"), ("",)),
    "stages": _stages,
    "key": _mostly(values.KEYS, values.BAD_KEYS, 0.93),
    "value": lambda random, _: values.text(random),
    "alias": _mostly(values.ALIASES, values.BAD_ALIASES),
    "version": _version_number,
    "source": lambda random, _: values.source(random),
    "run_id": _mostly(values.RUN_IDS, ("r" * 33,), 0.98),
    "run_link": _mostly(("", "http://x/y", "l"), values.HOSTILE_TEXTS),
    "model_id": _mostly(("",), ("m-1234",), 0.7),
    "stage": _mostly(values.STAGES, values.BAD_STAGES),
    "archive_existing_versions": _mostly((True, False), ("true", 1), 0.98),
}
