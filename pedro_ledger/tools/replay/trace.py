"""Reading usage traces: the CSV of the public Azure LLM inference traces, and NDJSON.

What a line costs is not known here.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.tools.replay.errors import TraceError

CSV_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
NDJSON_REQUIRED = ("timestamp", "contextTokens", "generatedTokens")
NDJSON_OPTIONAL = ("operationType", "user", "credits")
TOKENS_MAX = 2**31 - 1
TEXT_LENGTH_MAX = 128
"""Longest name of a user or operation type; with what is put before it, it still fits a Clerk
id.
"""
_SHAPES = f'a header with {",".join(CSV_COLUMNS)}, or NDJSON such as {{"timestamp": …, "contextTokens": …, "generatedTokens": …}}'


class TraceLine(NamedTuple):
    """One request of the trace."""

    number: int
    """Its line in the file, from 1."""
    at_s: float
    """When it was made, in seconds since 1970."""
    context_tokens: int
    generated_tokens: int
    operation_type: str | None = None
    user: str | None = None
    credits: int | None = None


def read_trace(file: Path, limit: int | None = None) -> list[TraceLine]:
    """The first `limit` requests of a trace, all of them without. Raises `TraceError`, naming file,
    line and what was expected.

    All are read before the first is sent, so that a bad line is found before any credits have
    moved.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = list(islice(_read(file, text), limit))
    except OSError as error:
        raise TraceError(f"{file}: {error.strerror}. Name a file that can be read.") from None
    except UnicodeDecodeError:
        raise TraceError(f"{file}: not UTF-8 text; expected {_SHAPES} (unpack it first if it is compressed).") from None
    if not lines:
        raise TraceError(f"{file}: no requests in it; expected {_SHAPES}.")
    return lines


def _read(file: Path, text: Iterator[str]) -> Iterator[TraceLine]:
    numbered = enumerate(text, 1)
    for number, first in numbered:
        if first.isspace():
            continue
        if first.lstrip().startswith("{"):
            return _read_ndjson(file, chain([(number, first)], numbered))
        return _read_csv(file, _columns(file, number, first), numbered)
    return iter(())


def _columns(file: Path, number: int, header: str) -> list[int]:
    names = header.strip().split(",")
    try:
        return [names.index(name) for name in CSV_COLUMNS]
    except ValueError:
        raise TraceError(f"{file}:{number}: found {_shown(header)}; expected {_SHAPES}.") from None


def _read_csv(file: Path, columns: list[int], numbered: Iterator[tuple[int, str]]) -> Iterator[TraceLine]:
    at, context, generated = columns
    for number, line in numbered:
        if line.isspace():
            continue
        # No field of these traces is quoted, so a line is a row: its number is right whatever
        # stands in it.
        cells = line.rstrip("\r\n").split(",")
        try:
            yield TraceLine(number, _seconds(cells[at]), _tokens(cells[context]), _tokens(cells[generated]))
        except (ValueError, IndexError):
            raise TraceError(
                f"{file}:{number}: found {_shown(line)}; expected {','.join(CSV_COLUMNS)} "
                "such as 2023-11-16 18:15:46.6805900,374,44."
            ) from None


def _read_ndjson(file: Path, numbered: Iterator[tuple[int, str]]) -> Iterator[TraceLine]:
    for number, line in numbered:
        if line.isspace():
            continue
        try:
            found = orjson.loads(line)
        except ValueError:
            raise TraceError(f"{file}:{number}: found {_shown(line)}; expected one JSON object.") from None
        yield _of_object(f"{file}:{number}", found)


def _of_object(place: str, found: Any) -> TraceLine:
    if not isinstance(found, dict):
        raise TraceError(f"{place}: found {_shown(str(found))}; expected one JSON object.")
    for name in found:
        if name not in _FIELDS:
            raise TraceError(f"{place}: {name} is not a field of a request; expected {', '.join(_FIELDS)}.")
    for name in NDJSON_REQUIRED:
        if name not in found:
            raise TraceError(f"{place}: {name} is missing; expected {', '.join(NDJSON_REQUIRED)}.")
    values: dict[str, Any] = {}
    for name, value in found.items():
        check, expected = _FIELDS[name]
        try:
            values[name] = check(value)
        except (ValueError, OverflowError):
            raise TraceError(f"{place}: {name} is {_shown(str(value))}; expected {expected}.") from None
    return TraceLine(
        int(place.rpartition(":")[2]),
        *(values[name] for name in NDJSON_REQUIRED),
        *(values.get(name) for name in NDJSON_OPTIONAL),
    )


def _seconds(text: Any) -> float:
    """A time without zone is UTC; digits beyond microseconds are cut off."""
    if not isinstance(text, str):
        raise ValueError
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _tokens(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise ValueError
    return _whole(0, TOKENS_MAX)(int(text))


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError
        return value

    return check


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TEXT_LENGTH_MAX or not value.isprintable():
        raise ValueError
    return value


def _shown(text: str) -> str:
    """What was found, on one line and short."""
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:60] + "…")


_COUNT = f"a whole number from 0 to {TOKENS_MAX}"
_NAME = f"1 to {TEXT_LENGTH_MAX} printable characters"
_FIELDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "timestamp": (_seconds, "an RFC 3339 time such as 2023-11-16T18:15:46.680Z"),
    "contextTokens": (_whole(0, TOKENS_MAX), _COUNT),
    "generatedTokens": (_whole(0, TOKENS_MAX), _COUNT),
    "operationType": (_name, _NAME),
    "user": (_name, _NAME),
    "credits": (_whole(1, CREDITS_MAX), f"a whole number from 1 to {CREDITS_MAX}"),
}
