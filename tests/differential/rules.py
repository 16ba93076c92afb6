"""What a listed deviation looks like in two outcomes, one function for each."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from differential.replay import Outcome
from differential.steps import Step
from registry_core import validation

Rule: TypeAlias = Callable[[Step, Outcome, Outcome], tuple[Outcome, Outcome]]
"""The step, MLflow's outcome and ours, to both without the one difference; unchanged otherwise."""

INVALID = "INVALID_PARAMETER_VALUE"

_TYPE_FAULT = re.compile(
    r"Invalid value .*? for parameter '(\w+)' supplied:  Hint: Value", re.DOTALL
)
_NULL = "Invalid value null for parameter '"
_VERSION_FAULT = re.compile(r"Parameter 'version' must be an integer, got '(.*)'\.", re.DOTALL)
_REMOTE = re.compile(
    r"(https?|mlflow-artifacts|ftp|sftp|hdfs|viewfs|r2|b2|abfss|runs):", re.IGNORECASE
)


_NO_AND = re.compile(
    r"['\")]\s*(name|run_id|attribute|tags?\.|version_number|source_path)", re.IGNORECASE
)
_ODD_KEYS = re.compile(r"tags?\.(\d|([\w.]*\.)?(as|case|from|in|using|values)\b)", re.IGNORECASE)
_SPACED_DOT = re.compile(r"tags?(\s+\.|\.\s)", re.IGNORECASE)


def when(condition: Callable[[Step, Outcome, Outcome], bool]) -> Rule:
    """The rule that takes our outcome for MLflow's where the condition holds."""

    def rule(step: Step, theirs: Outcome, ours: Outcome) -> tuple[Outcome, Outcome]:
        return (ours, ours) if condition(step, theirs, ours) else (theirs, ours)

    return rule


def softened(sentence: str) -> Rule:
    """The same sentence, as a client's error where MLflow's is a server's."""
    return when(
        lambda step, theirs, ours: (
            theirs.status == 500
            and refused(ours)
            and sentence in theirs.message
            and theirs.message == ours.message
        )
    )


def refused(outcome: Outcome) -> bool:
    """Whether the outcome is an argument refused."""
    return (outcome.status, outcome.code) == (400, INVALID)


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (key, *texts(item))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def sent(step: Step) -> Any:
    """The JSON that a server receives: of the raw body, where there is one."""
    if step.raw is None:
        return step.fields
    try:
        value = json.loads(step.raw)
    except ValueError:
        return {}
    with contextlib.suppress(ValueError):
        # Very old clients encode twice.
        return json.loads(value) if isinstance(value, str) else value
    return value


def fields(step: Step) -> Mapping[str, Any]:
    """The fields that a server receives."""
    value = sent(step)
    return value if isinstance(value, Mapping) else {}


def workspace_header(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A workspace named to a server without any is a client's error."""
    return (
        theirs.code == ours.code == "FEATURE_DISABLED"
        and (theirs.status, ours.status) == (500, 400)
        and theirs.message == ours.message
    )


def error_bodies(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """No endpoint: MLflow's body is a page, ours an error in the usual shape."""
    return (
        theirs.status == ours.status
        and ours.status in (404, 405)
        and ours.code == "ENDPOINT_NOT_FOUND"
        and isinstance(theirs.body, str)
    )


def body_no_object(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """JSON that is no object crashes MLflow, or is an empty one on the route without a schema."""
    is_empty_there = step.path.endswith("/get-download-uri") and refused(theirs)
    return (
        (theirs.status == 500 or is_empty_there)
        and refused(ours)
        and ours.message.startswith("The request body must be a JSON object")
        and not isinstance(sent(step), Mapping)
    )


def field_types(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A field of the wrong type is refused, where MLflow drops it and those after it."""
    if refused(theirs) and refused(ours) and theirs.message.startswith(_NULL):
        # What MLflow says of an absent field when another one has a wrong type.
        parameter = re.escape(theirs.message.removeprefix(_NULL).split("'")[0])
        return (
            re.match(f"Missing value for required parameter '{parameter}'", ours.message)
            is not None
        )
    fault = _TYPE_FAULT.match(ours.message)
    if not fault or not refused(ours) or fault.group(1) == "max_results":
        return False
    # No text has a wrong type, but for numbers and switches written as texts.
    values = list(_named(sent(step), fault.group(1)))
    return any(not isinstance(value, str) or value in ("true", "1") for value in values)


def _named(value: Any, name: str) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key.replace("_", "").lower() == name.replace("_", "").lower():
                yield item
            yield from _named(item, name)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named(item, name)


def max_results(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A page size below 1, or not written in plain digits, is refused; null is none given."""
    number = fields(step).get("max_results")
    if number is None and "max_results" in fields(step):
        return is_search(step) and theirs.status == 500 and ours.ok
    return (
        number is not None
        and refused(ours)
        and "max_results" in ours.message
        and not re.fullmatch(r"\+?0*[1-9]\d{0,5}", str(number))
    )


def unstorable(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """NUL and lone surrogates are refused, since not every store can keep them."""
    return (
        refused(ours)
        and "which cannot be stored" in ours.message
        and any(re.search("[\x00\ud800-\udfff]", text) for text in texts(sent(step)))
    )


def control_characters(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A source or run link is one line that looks like what it is; MLflow keeps any text."""
    fault = re.search(r"it contains the control character U\+([0-9A-F]{4})", ours.message)
    return (
        fault is not None
        and refused(ours)
        and any(chr(int(fault.group(1), 16)) in text for text in texts(sent(step)))
    )


def lengths(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """One set of limits on every store; MLflow leaves most of them to its database."""
    limit = re.search(r"exceeds the maximum length of (\d+) characters", ours.message)
    return (
        limit is not None
        and refused(ours)
        and any(len(text) > int(limit.group(1)) for text in texts(sent(step)))
    )


def part_limits(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """One entity has so many tags and aliases; on MLflow any number."""
    tags = fields(step).get("tags")
    return (
        refused(ours)
        and theirs.ok
        and isinstance(tags, list)
        and len(tags) > validation.TAGS_MAX_COUNT
        and ours.message == str(validation.too_many_tags())
    )


def version_digits(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A version is written in ASCII digits; MLflow takes all that Python's `int` takes."""
    fault = _VERSION_FAULT.fullmatch(ours.message)
    if not fault or not refused(ours):
        return False
    try:
        int(fault.group(1))
    except ValueError:
        return False
    return True


def version_size(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A number beyond 64 bits is a version that does not exist."""
    return (
        theirs.status == 500
        and "int too large" in theirs.message
        and (ours.code == "RESOURCE_DOES_NOT_EXIST" or (is_search(step) and ours.ok))
    )


def remote_sources(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A source on another host, of a run or behind the artifact proxy is kept as data."""
    return (
        step.path == "/model-versions/create"
        and refused(theirs)
        and bool(_REMOTE.match(str(fields(step).get("source"))))
        and (
            "addresses a host other than" in theirs.message
            or "must identify the resource that contains the source" in theirs.message
        )
    )


def logged_models(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """Logged models are the client's to resolve: their ids are kept as data."""
    values = fields(step)
    return (
        step.path == "/model-versions/create"
        and ("model_id" in theirs.message or "Logged model with ID" in theirs.message)
        and (bool(values.get("model_id")) or str(values.get("source")).startswith("models:/m-"))
    )


def model_uri_queries(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A `?` in a `models:/` source belongs to its name or suffix; to MLflow it begins a query."""
    source = str(fields(step).get("source"))
    return (
        step.path == "/model-versions/create"
        and source.lower().startswith("models:")
        and "?" in source
        and theirs.ok != ours.ok
        and {theirs.status, ours.status} <= {200, 400, 404}
    )


def local_sources(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A local path is refused with one sentence; MLflow looks for the run first, if one is given."""
    return (
        step.path == "/model-versions/create"
        and refused(theirs)
        and refused(ours)
        and "To use a local path as a model version source" in ours.message
        and bool(fields(step).get("run_id") or fields(step).get("model_id"))
    )


def empty_stage(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A `models:/` source that stands for no version is a client's error."""
    return (
        step.path == "/model-versions/create"
        and theirs.status == 500
        and theirs.message.startswith("No versions of model with name")
        and ours.status in (400, 404)
    )


def file_host(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A `file:` source on another host is a client's error."""
    return (
        step.path == "/model-versions/create"
        and theirs.status == 500
        and str(fields(step).get("source")).startswith("file://")
        and refused(ours)
    )


def aliases_everywhere(step: Step, theirs: Outcome, ours: Outcome) -> tuple[Outcome, Outcome]:
    """Every version that is shown has its aliases, in searches and in a model's newest versions."""
    if not (theirs.ok and ours.ok):
        return theirs, ours
    return tuple(
        attrs.evolve(outcome, body=_without_version_aliases(outcome.body))
        for outcome in (theirs, ours)
    )


def _without_version_aliases(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_version_aliases(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _without_version_aliases(item)
        for key, item in value.items()
        if not (key == "aliases" and "current_stage" in value)
    }


def prompt_versions(step: Step, theirs: Outcome, ours: Outcome) -> tuple[Outcome, Outcome]:
    """A version is a prompt's if its model is marked as one; MLflow looks at the versions' marks."""
    if step.path != "/model-versions/search" or not (theirs.ok and ours.ok):
        return theirs, ours
    listed = [_versions(outcome) for outcome in (theirs, ours)]
    if not all(isinstance(version, Mapping) for version in itertools.chain(*listed)):
        return theirs, ours
    models = [{version["name"] for version in versions} for versions in listed]
    doubtful = models[0] ^ models[1]
    kept = [[v for v in versions if v["name"] not in doubtful] for versions in listed]
    # A page that is full says nothing of what the other one has in place of what it leaves out.
    full = [len(of) for of, outcome in zip(kept, (theirs, ours), strict=True) if _goes_on(outcome)]
    kept = [versions[: min(full, default=None)] for versions in kept]
    return tuple(
        attrs.evolve(outcome, body=body) for outcome, body in zip((theirs, ours), kept, strict=True)
    )


def _goes_on(outcome: Outcome) -> bool:
    return isinstance(outcome.body, Mapping) and "next_page_token" in outcome.body


def _versions(outcome: Outcome) -> list[Any]:
    if isinstance(outcome.body, Mapping):
        return outcome.body.get("model_versions", [])
    return [version for page in outcome.body for version in page]


def no_sql(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """MLflow's sentence without the SQL behind it."""
    return (
        theirs.status == ours.status
        and theirs.code == ours.code
        and bool(ours.message)
        and theirs.message.startswith(ours.message)
        and "[SQL:" in theirs.message
    )


def is_search(step: Step) -> bool:
    """Whether the step is a search."""
    return step.path.endswith("/search")


def search_sentences(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """Which of several faults of a search is named, and how its tokens are quoted, may differ."""
    return is_search(step) and refused(theirs) and refused(ours)


def search_crashes(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A search that crashes MLflow, or shows its SQL, is an argument refused."""
    crashed = theirs.status == 500 or "[SQL:" in theirs.message
    return is_search(step) and crashed and refused(ours)


def filter_accidents(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """Texts whose fate on MLflow is an accident of its tokenizer."""
    if not is_search(step):
        return False
    if refused(theirs) and ours.ok:
        orders = [
            text for text in texts(fields(step).get("order_by", [])) if text[:1] in ("`", '"')
        ]
        return bool(orders or _NO_AND.search(_filter(step)) or _ODD_KEYS.search(_filter(step)))
    return theirs.ok and refused(ours) and bool(_SPACED_DOT.search(_filter(step)))


def page_tokens(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """Tokens are ours: MLflow's offsets are refused, also where it takes them."""
    return (
        is_search(step)
        and refused(ours)
        and ours.message.startswith("Invalid page token")
        and bool(fields(step).get("page_token"))
    )


def like_escapes(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A backslash in a pattern makes the wildcard after it literal, on every store."""
    return _searched(step, theirs, ours) and bool(
        re.search(r"LIKE\s*(['\"]).*\\.*\1", _filter(step), re.IGNORECASE | re.DOTALL)
    )


def ilike_case(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """ILIKE folds the case of every alphabet, where MLflow on SQLite folds ASCII."""
    return (
        _searched(step, theirs, ours)
        and "ilike" in _filter(step).lower()
        and not _filter(step).isascii()
    )


def _searched(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    return is_search(step) and theirs.ok and ours.ok


def _filter(step: Step) -> str:
    return str(fields(step).get("filter", ""))


def trailing_newline(step: Step, theirs: Outcome, ours: Outcome) -> bool:
    """A newline at the end of an alias or a tag key is refused like one anywhere else."""
    return (
        refused(ours)
        and "may only contain" in ours.message
        and any(text.endswith("\n") for text in texts(sent(step)))
    )
