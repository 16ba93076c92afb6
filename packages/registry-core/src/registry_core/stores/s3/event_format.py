"""Events as JSON, in documents and in the objects beside them; see `codec` for the format.

A line is made once, from the event, and is the same in every object that it moves to. Who reads a
document looks at the number and the time of an event only; the rest is checked when somebody asks
for the event, so that a damaged event costs its model neither reads nor writes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import cattrs

from registry_core.errors import StoreCorruptedError
from registry_core.history import DAMAGED, Event, Value
from registry_core.stores.s3.event_log import Beginning, EventLines, EventLog, Span
from registry_core.stores.s3.format import StoredEvent, dump, from_plain, render, strict, to_plain
from registry_core.stores.s3.large_text import LargeText

EVENTS_FORMAT_VERSION = 2
"""The `format_version` of objects that have events: releases before this one do not know them."""

PRUNED_FORMAT_VERSION = 4
"""That of what releases before this one would misread: a history that was pruned, and a deleted
model on its way back while its name is in use."""

CHUNK_KIND = "events"

DELETED_KIND = "deleted_registered_model"


_EVENTS_BEGIN, _EVENTS_END = b'\n"events": [\n', b"\n]\n}\n"

# One event


def line_of(event: Event) -> tuple[int, str]:
    """Return the time and the line of an event.

    What came damaged from elsewhere stays known to be damaged.
    """
    stored = StoredEvent(
        sequence=event.sequence,
        time=event.time,
        name=event.name,
        actor=event.actor,
        is_authenticated=event.is_authenticated,
        origin=event.origin,
        reason=event.reason,
        action=event.action,
        version=event.version,
        key=event.key,
        before=_plain_value(event.before),
        after=_plain_value(event.after),
    )
    line = dump(to_plain(stored))
    checksum = DAMAGED if event.is_intact is False else _checksum(event.model_id, line)
    return event.time, f"{line[:-1]}{_CHECKSUM}{checksum}{_LINE_END}"


def lines_of(events: Iterable[Event]) -> EventLines:
    """Return the lines of events that follow one another, of which there is one at least."""
    listed = list(events)
    times, lines = zip(*map(line_of, listed), strict=True)
    return EventLines(first=listed[0].sequence, lines=lines, times=times)


_CHECKSUM, _LINE_END = ',"checksum":"', '"}'
"""What comes before and after the checksum, which ends the line of an event."""

_CHECKSUM_DIGITS = 16
"""Hexadecimal digits of a checksum, 64 bits."""


def _checksum(model_id: str, line: str) -> str:
    """The checksum of an event, from its line without one; it shows damage, and no forgery."""
    said = f"{model_id}\n{line}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(said).hexdigest()[:_CHECKSUM_DIGITS]


def _is_intact(line: str, model_id: str) -> bool:
    said, _, checksum = line.removesuffix(_LINE_END).rpartition(_CHECKSUM)
    return checksum == _checksum(model_id, f"{said}}}")


def event_of(line: str, model_id: str) -> Event:
    """Return the event in a line.

    Raises:
        StoreCorruptedError: It is none that this release knows.
    """
    try:
        stored = from_plain(json.loads(line), StoredEvent)
        before, after = _value(stored.before, model_id), _value(stored.after, model_id)
    except cattrs.BaseValidationError as error:
        why = "; ".join(cattrs.transform_error(error))
        raise _unreadable(model_id, line, why) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _unreadable(model_id, line, str(error)) from error
    return Event(
        model_id=model_id,
        name=stored.name,
        sequence=stored.sequence,
        time=stored.time,
        actor=stored.actor,
        is_authenticated=stored.is_authenticated,
        origin=stored.origin,
        reason=stored.reason,
        action=stored.action,
        version=stored.version,
        key=stored.key,
        before=before,
        after=after,
        is_intact=None if stored.checksum is None else _is_intact(line, model_id),
    )


def _unreadable(model_id: str, line: str, why: str) -> StoreCorruptedError:
    sequence = json.loads(line).get("sequence")
    return StoreCorruptedError(
        f"Event {sequence} of model {model_id!r} cannot be read: {why[:500]}"
    )


# The values of an event


def _plain_value(value: Any) -> Any:
    match value:
        case LargeText():
            return {"large": value.value_id, "bytes": value.size}
        case Mapping():
            return {name: _plain_value(each) for name, each in value.items()}
    return value


def _value(plain: Any, model_id: str) -> Value:
    match plain:
        # No field of a model or version is a number called `bytes`, and no tag is a number.
        case {"large": str(value_id), "bytes": int(size)} if len(plain) == 2:  # noqa: PLR2004 both
            return LargeText.to(model_id=model_id, value_id=value_id, size=size)
        case dict():
            return {name: _value(each, model_id) for name, each in plain.items()}
        case list():
            texts: Any = [strict(each, str) for each in plain]
            return cast("Value", texts)  # among the fields of one
        case None | str() | int():
            value: Value = plain
            return value
    raise TypeError(f"{type(plain).__name__} instead of a value")


def texts_of(value: Value) -> Iterator[LargeText]:
    """Yield the references to large texts in a value."""
    if isinstance(value, LargeText):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from texts_of(each)


def texts_in(event: Event) -> Iterator[LargeText]:
    """Yield the references to large texts in an event."""
    yield from texts_of(event.before)
    yield from texts_of(event.after)


def references_in(events: EventLines, model_id: str) -> Iterator[LargeText]:
    """Yield the references to large texts in events.

    Raises:
        StoreCorruptedError: One of the events cannot be read.
    """
    for line in events.lines:
        if '"large"' in line:
            yield from texts_in(event_of(line, model_id))


# Events in a document


def log_fields(log: EventLog) -> dict[str, Any]:
    """Return the fields of a document for its events; none if it has none."""
    fields: dict[str, Any] = {}
    if log.beginning is not None:
        fields["pruned_events"] = {
            "first": log.beginning.first,
            "last": log.beginning.last,
            **_plain_span(log.beginning.span),
            "object": log.beginning.object_id,
        }
    if log.spilled is not None:
        fields["spilled_events"] = _plain_span(log.spilled)
    if log.lines:
        fields["events"] = log.lines
    return fields


def pop_log(fields: dict[str, Any], body: bytes) -> EventLog:
    """Take the events out of the fields of a document; `body` is the document itself.

    Raises:
        ValueError, TypeError, KeyError: They are not what `log_fields` gives.
    """
    spilled, listed = fields.pop("spilled_events", None), fields.pop("events", [])
    pruned = fields.pop("pruned_events", None)
    beginning = None if pruned is None else _beginning(pruned)
    begins = 1 if beginning is None else beginning.end
    events = _lines(listed, body, begins)
    if spilled is None and events.first != begins:
        raise ValueError(f"its events do not begin with number {begins}, and none went before")
    if spilled is not None and (not events.lines or events.first <= begins):
        raise ValueError(f"its events begin with number {begins}, and some of them went before")
    return EventLog(
        first=events.first,
        lines=events.lines,
        times=events.times,
        spilled=None if spilled is None else _span(spilled),
        beginning=beginning,
    )


def _beginning(plain: Any) -> Beginning:
    match plain:
        case {
            "first": int(first),
            "last": int(last),
            "earliest": int(earliest),
            "latest": int(latest),
            "object": str(object_id),
        } if len(plain) == 5 and 1 <= first <= last:  # noqa: PLR2004 all of them
            span = Span(earliest, latest)
            return Beginning(first=first, last=last, span=span, object_id=object_id)
    raise ValueError("the beginning of its history is not given")


def _lines(listed: Any, body: bytes, first: int = 1) -> EventLines:
    if not strict(listed, list):
        return EventLines(first=first)
    first = _first_number([strict(strict(event, dict)["sequence"], int) for event in listed])
    return EventLines(
        first=first,
        lines=_as_written(body, len(listed)) or tuple(map(dump, listed)),
        times=tuple(strict(event["time"], int) for event in listed),
    )


def _first_number(numbers: Sequence[int]) -> int:
    """The first of numbers that follow one another; or else the odd ones are named."""
    first = numbers[0]
    if numbers[-1] - first == len(numbers) - 1 and [*range(first, first + len(numbers))] == numbers:
        return first
    ways = (first, numbers[-1] - len(numbers) + 1)  # One of both ends is as it should be.
    one, other = (
        [due for due, number in enumerate(numbers, start) if number != due] for start in ways
    )
    listed = ", ".join(map(str, one if len(one) < len(other) else other))
    raise ValueError(f"event {listed} is missing, or has another number")


def damaged_events(body: bytes) -> str:
    """Return a phrase that names the events of an object without number or time.

    Empty if unknown.
    """
    _, _, after = body.partition(_EVENTS_BEGIN)
    lines = after.rpartition(_EVENTS_END)[0].split(b"\n") if after else []
    numbers = [_number_in(line.removesuffix(b",")) for line in lines]
    firsts = [number - place for place, number in enumerate(numbers) if number is not None]
    if not firsts or None not in numbers:
        return ""
    first = firsts[0]
    listed = ", ".join(str(first + place) for place, number in enumerate(numbers) if number is None)
    return f"event {listed} is damaged"


def _number_in(line: bytes) -> int | None:
    try:
        event = json.loads(line)
        strict(event["time"], int)
        return strict(event["sequence"], int)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _as_written(body: bytes, count: int) -> tuple[str, ...] | None:
    """The lines of so many events as they are in a document, if they are as `render` puts them.

    To render them again would take longer than all else. A document that was edited by hand may
    look otherwise. A line break cannot be within a text, where JSON has it escaped.
    """
    before, separator, events = body.rpartition(_EVENTS_BEGIN)
    if not separator or not events.endswith(_EVENTS_END):
        return None
    lines = tuple(events.removesuffix(_EVENTS_END).decode().split(",\n"))
    return lines if len(lines) == count and before else None


def _plain_span(span: Span) -> dict[str, int]:
    return {"earliest": span.earliest, "latest": span.latest}


def _span(plain: Any) -> Span:
    match plain:
        case {"earliest": int(earliest), "latest": int(latest)} if len(plain) == 2:  # noqa: PLR2004 both
            return Span(earliest, latest)
    raise ValueError("the times of its spilled events are not given")


# Events in an object of their own


def encode_chunk(model_id: str, chunk: EventLines) -> bytes:
    """Return the bytes of an object that holds older events."""
    return render(
        {
            "format_version": EVENTS_FORMAT_VERSION,
            "kind": CHUNK_KIND,
            "model_id": model_id,
            "events": chunk.lines,
        }
    )


def decode_chunk(key: str, body: bytes, *, model_id: str, first: int, count: int) -> EventLines:
    """Return the events in an object, which must be so many, of that model, from that number on.

    Raises:
        StoreCorruptedError: They are not.
    """
    try:
        match json.loads(body):
            case {
                "format_version": 2,
                "kind": "events",
                "model_id": str(owner),
                "events": list(listed),
            }:
                events = _lines(listed, body)
            case _:
                raise ValueError("it holds no events")  # noqa: TRY301 as what is raised below
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        of_events = damaged_events(body) or f"it has the events {first} to {first + count - 1}"
        raise _damaged(key, error, of_events) from error
    if (owner, events.first, len(events.lines)) != (model_id, first, count):
        raise StoreCorruptedError(f"The object '{key}' holds what belongs under another key")
    return events


def format_version_of(log: EventLog) -> int:
    """Return the lowest format that has the log of a model; 1 where it has no events."""
    if log.beginning is not None:
        return PRUNED_FORMAT_VERSION
    return EVENTS_FORMAT_VERSION if log.lines or log.spilled else 1


def encode_deleted(name: str, model_id: str, log: EventLog) -> bytes:
    """Return the bytes of an object that holds the last events of a deleted model."""
    return render(
        {
            "format_version": format_version_of(log),
            "kind": DELETED_KIND,
            "name": name,
            "model_id": model_id,
            **log_fields(log),
        }
    )


def _damaged(key: str, error: Exception, of_events: str = "") -> StoreCorruptedError:
    why = "; ".join(filter(None, (f"{type(error).__name__}: {error}"[:500], of_events)))
    return StoreCorruptedError(f"The object '{key}' cannot be read: {why}")
