"""A short replay against the real MLflow server, and the parts of the replay by themselves."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import attrs
import pytest

from differential import deviations, generate, replay, rules, run, shrink
from differential.compare import Difference, Tally, compare, differing
from differential.replay import Outcome
from differential.report import Report
from differential.routes import ROUTES
from differential.steps import Step, marked
from services.registry_server import RegistryServer
from services.stores import store_url

SMOKE = 8
"""Sequences of the short run; `nox -s differential` replays as many as one likes."""


@pytest.fixture(scope="module")
def urls(request: pytest.FixtureRequest, mlflow_url: str) -> Iterator[dict[str, str]]:
    """Where MLflow's server and ours answer."""
    with store_url("sqlite", request) as store, RegistryServer(store) as server:
        yield {run.REFERENCE: mlflow_url, "sqlite": server.url}


def test_a_short_replay_finds_only_the_listed_deviations(urls: dict[str, str]) -> None:
    """Every witness shows its deviation, and generated sequences show nothing else."""
    report = run.replay_all(run.Settings(sequences=SMOKE, stores=("sqlite",)), urls)
    assert report.clean, str(report)
    assert report.tallies["sqlite"].calls > 10 * SMOKE


def test_the_document_lists_exactly_what_has_a_rule() -> None:
    """Each row of the document's first table has a rule and a witness, and the reverse."""
    rows = deviations.listed(deviations.DOCUMENT.read_text())
    assert sorted(rows) == sorted(deviation.id for deviation in deviations.DEVIATIONS)


def test_sequences_come_from_their_seed_alone() -> None:
    """One seed is one sequence; another is another one."""
    assert generate.sequence(7) == generate.sequence(7)
    assert generate.sequence(7) != generate.sequence(8)


def test_sequences_reach_every_route() -> None:
    """Among a hundred sequences no route is left out."""
    drawn = collections.Counter(
        step.route for seed in range(100) for step in generate.sequence(seed)
    )
    assert {f"{route.method} {route.path}" for route in ROUTES} <= set(drawn)
    assert len(ROUTES) == 22


def test_marks_are_replaced_everywhere() -> None:
    """A replay's mark takes the place of the placeholder in keys, lists and raw bodies."""
    step = Step(method="POST", path="/p", fields={"a@@": ["@@b", {"c": 1}]}, raw="@@")
    found = marked(step, "q1")
    assert (found.fields, found.raw) == ({"aq1": ["q1b", {"c": 1}]}, "q1")


def test_timestamps_become_the_step_of_their_time() -> None:
    """Whatever the clock said, it is the number of a step; a time outside all steps is shown."""
    body = {"creation_timestamp": 105, "last_updated_timestamp": 999, "name": "q1a"}
    assert replay._normal(body, [(100, 101), (104, 106)], "q1") == {
        "creation_timestamp": "during step 1",
        "last_updated_timestamp": "at no step: 999",
        "name": "@@a",
    }


def test_sets_in_messages_are_sorted() -> None:
    """MLflow prints sets in any order."""
    assert replay._normal("keys {'b', 'a'}", [], "q1") == "keys {'a', 'b'}"


GET = Step(method="GET", path="/registered-models/get", fields={"name": "@@a"})
CREATE = Step(method="POST", path="/registered-models/create", fields={"name": "@@a"})


def test_a_difference_in_one_field_is_found_and_named() -> None:
    """The first step that differs is the difference, and its place in the body its kind."""
    theirs = [Outcome(status=200, body={}), Outcome(status=200, body={"a": [{"b": 1}]})]
    ours = [Outcome(status=200, body={}), Outcome(status=200, body={"a": [{"b": 2}]})]
    found = compare((CREATE, GET), theirs, ours, Tally())
    assert found is not None
    assert found.kind == ("GET /registered-models/get", "OK", ".a[].b")
    assert list(differing({"a": 1}, {"a": 1, "c": 2})) == [(".c", None, 2)]


def test_an_unlisted_error_is_a_difference() -> None:
    """Another code for the same call is not excused by any rule."""
    theirs = Outcome(status=404, body={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "m"})
    ours = Outcome(status=400, body={"error_code": "INVALID_PARAMETER_VALUE", "message": "n"})
    assert compare((GET,), [theirs], [ours], Tally()) is not None


def test_a_rule_does_not_hide_a_second_difference() -> None:
    """Aliases may be added to a version, but nothing else about it may change."""

    def model(**version: object) -> Outcome:
        shown = {"current_stage": "None", **version}
        return Outcome(status=200, body={"registered_model": {"latest_versions": [shown]}})

    same = compare((GET,), [model(version="1")], [model(version="1", aliases=["a"])], Tally())
    other = compare((GET,), [model(version="1")], [model(version="2", aliases=["a"])], Tally())
    assert same is None
    assert other is not None


def test_a_page_cut_short_by_a_listed_deviation_is_compared_as_far_as_it_goes() -> None:
    """What one server shows of a prompt takes the place of the next version, and excuses no order."""

    def page(*versions: tuple[str, int], goes_on: bool) -> Outcome:
        token = {"next_page_token": "t"} if goes_on else {}
        shown = [{"name": name, "version": version} for name, version in versions]
        return Outcome(status=200, body={"model_versions": shown, **token})

    def agree(theirs: Outcome, ours: Outcome) -> bool:
        search = Step(method="GET", path="/model-versions/search")
        shown, other = rules.prompt_versions(search, theirs, ours)
        return shown == other

    cut_short = page(("prompt", 1), ("b", 1), goes_on=True)
    assert agree(cut_short, page(("b", 1), ("b", 2), goes_on=False))
    assert not agree(cut_short, page(("b", 2), ("b", 1), goes_on=False))
    whole = page(("prompt", 1), ("b", 1), goes_on=False)
    assert not agree(whole, page(("b", 1), ("b", 2), goes_on=False))


def test_a_write_that_one_server_refused_ends_the_comparison() -> None:
    """After a listed difference in a write, later steps say nothing and are not compared."""
    typed = attrs.evolve(CREATE, fields={"name": "@@a", "tags": [{"key": "k", "value": 1}]})
    fault = (
        "Invalid value 1 for parameter 'value' supplied:  Hint: Value was of type 'int'. See the "
        "API docs for more information about request parameters."
    )
    refused = Outcome(status=400, body={"error_code": "INVALID_PARAMETER_VALUE", "message": fault})
    missing = Outcome(status=404, body={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"})
    ok, tally = Outcome(status=200, body={}), Tally()
    assert compare((typed, GET), [ok, ok], [refused, missing], tally) is None
    assert (tally.calls, tally.cut_short) == (1, 1)
    assert tally.explained["D-field-types"] == 1


def test_shrinking_leaves_the_steps_that_are_needed() -> None:
    """Of many steps and fields, those without which the difference is gone remain."""
    steps = (
        *[attrs.evolve(CREATE, fields={"name": f"@@{n}", "description": "d"}) for n in range(9)],
        attrs.evolve(GET, fields={"name": "@@4", "stages": ["a", "b"]}),
    )

    def shows(sequence: tuple[Step, ...]) -> Difference | None:
        needed = any(step.fields.get("name") == "@@4" for step in sequence[:-1])
        if not needed or sequence[-1].fields.get("name") != "@@4":
            return None
        return Difference(
            sequence=sequence, theirs=Outcome(status=200), ours=Outcome(status=404, body="x")
        )

    first = shows(steps)
    assert first is not None
    found = shrink.shrink(first, shows).sequence
    assert [dict(step.fields) for step in found] == [{"name": "@@4"}, {"name": "@@4"}]


def test_a_deviation_that_no_longer_happens_is_reported() -> None:
    """A report with nothing seen is not clean, and says what was not."""
    report = Report(
        settings=run.Settings(stores=("sqlite",)),
        release="3.17.2",
        tallies={"sqlite": Tally()},
        findings=[],
        counts=collections.Counter(),
        seconds=1.0,
    )
    assert not report.clean
    assert "listed, but did not happen: D-workspace-header" in str(report)


def test_each_release_has_its_own_deviations_and_its_place_on_the_page() -> None:
    """What a release does as we do is no deviation from it; a run replaces the one on its release."""
    every, fewer = map(deviations.from_release, ("3.17.2", "3.18.0"))
    assert every == deviations.DEVIATIONS
    assert {each.id for each in every} - {each.id for each in fewer} == {"D-trailing-newline"}

    def report(release: str, seconds: float) -> Report:
        return Report(
            settings=run.Settings(stores=()),
            release=release,
            tallies={},
            findings=[],
            counts=collections.Counter(),
            seconds=seconds,
        )

    page = report("3.18.0", 1).markdown(
        report("3.17.2", 2).markdown(report("3.18.0", 3).markdown())
    )
    assert page.index("2 seconds") < page.index("1 seconds")
    assert "3 seconds" not in page
    assert page.count("against MLflow 3.18.0") == 1
