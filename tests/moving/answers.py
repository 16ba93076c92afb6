"""What two servers answered to the same questions, and where that differs.

MLflow's server and ours differ on purpose in a few answers (`docs/reference/deviations.md`). Those
that a client's search shows are taken out of both here, each by a rule of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Answers = dict[str, Any]


def read(text: str) -> Answers:
    """The answers by their questions."""
    pairs = [json.loads(line) for line in text.splitlines()]
    return {json.dumps(question, ensure_ascii=False): answer for question, answer in pairs}


def differing(theirs: Answers, ours: Answers) -> Iterator[str]:
    """Yield the questions that were not answered alike, with both answers.

    Aliases of versions that are not there, which MLflow 2.3 leaves behind, are no answer; nor are
    those of versions in searches, which MLflow does not give (D-aliases-everywhere).
    """
    theirs = without_dangling(theirs)
    for question in sorted(theirs.keys() | ours.keys()):
        if question not in ours or question not in theirs:
            # Which questions there are is what the servers have.
            yield f"{question}: asked of one of them only"
            continue
        answered = [_comparable(theirs[question]), _comparable(ours[question])]
        if not question.startswith('["get_model_version'):
            answered = [without_aliases(each) for each in answered]
        if answered[0] != answered[1]:
            yield f"{question}: {_first(*answered)}"


def without_dangling(answers: Answers) -> Answers:
    """The answers without aliases of versions that are not there, which MLflow 2.3 leaves behind."""
    questions = [json.loads(question) for question in answers]
    there = {
        (question[1], str(question[2]))
        for question in questions
        if question[0] == "get_model_version"
    }
    found: Answers = {}
    for question, answer in answers.items():
        what = json.loads(question)[0]
        if what == "get_model_version_by_alias" and isinstance(answer, list):
            continue
        found[question] = _pruned(answer, there)
    return found


def _pruned(answer: Any, there: set[tuple[str, str]]) -> Any:
    if isinstance(answer, list):
        return [_pruned(each, there) for each in answer]
    if isinstance(answer, dict) and isinstance(answer.get("aliases"), dict):
        kept = {
            alias: number
            for alias, number in answer["aliases"].items()
            if (answer["name"], str(number)) in there
        }
        return {**answer, "aliases": kept}
    return answer


def _comparable(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_comparable(each) for each in answer]
    if isinstance(answer, dict):
        fields = {key: _comparable(value) for key, value in answer.items()}
        if isinstance(fields.get("latest_versions"), list):
            fields["latest_versions"].sort(key=lambda version: str(version["current_stage"]))
        if isinstance(fields.get("aliases"), list):
            # MLflow's database gives those of a version as they lie in its table.
            fields["aliases"].sort()
        return fields
    return answer


def without_aliases(answer: Any) -> Any:
    """An answer whose versions have no aliases (D-aliases-everywhere)."""
    if isinstance(answer, list):
        return [without_aliases(each) for each in answer]
    if isinstance(answer, dict):
        is_version = "version" in answer and isinstance(answer.get("aliases"), list)
        return {
            key: without_aliases(value)
            for key, value in answer.items()
            if not (is_version and key == "aliases")
        }
    return answer


def _first(left: Any, right: Any, at: str = "") -> str:
    """Where two answers differ first."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            if left.get(key) != right.get(key):
                return _first(left.get(key), right.get(key), f"{at}.{key}")
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            if one != other:
                return _first(one, other, f"{at}[{number}]")
    if isinstance(left, list) and isinstance(right, list):
        return f"{at}: {len(left)} and {len(right)} elements"
    return f"{at}: {left!r:.200} and {right!r:.200}"
