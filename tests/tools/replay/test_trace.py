"""Traces that can be read, and what is said of those that cannot."""

import time
from pathlib import Path

import orjson
import pytest

from pedro_ledger.tools.replay.errors import TraceError
from pedro_ledger.tools.replay.trace import TraceLine, read_trace

HEADER = "TIMESTAMP,ContextTokens,GeneratedTokens"
ROW = "2023-11-16 18:15:46.6805900,374,44"
NOON_S = 1_769_860_800.0


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "trace"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_the_azure_trace_with_seven_digits_and_no_last_line_end(tmp_path: Path) -> None:
    file = written(tmp_path, f"{HEADER}\r\n{ROW}\r\n\r\n2023-11-16 18:15:50,396,109")
    first, second = read_trace(file)
    assert first == TraceLine(2, 1_700_158_546.680590, 374, 44)
    assert second == TraceLine(4, 1_700_158_550.0, 396, 109)
    assert read_trace(file, limit=1) == [first]


def test_a_time_without_zone_is_utc_wherever_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    try:
        assert read_trace(written(tmp_path, f"{HEADER}\n{ROW}"))[0].at_s == 1_700_158_546.680590
    finally:
        monkeypatch.undo()
        time.tzset()


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    file = written(
        tmp_path, b"\xef\xbb\xbfGeneratedTokens,region,TIMESTAMP,ContextTokens\n7,eu,2026-01-31T12:00:00Z,5\n"
    )
    assert read_trace(file) == [TraceLine(2, NOON_S, 5, 7)]


def test_ndjson_with_and_without_what_is_optional(tmp_path: Path) -> None:
    least = {"timestamp": "2026-01-31T12:00:00Z", "contextTokens": 1, "generatedTokens": 2}
    most = {**least, "timestamp": "2026-01-31T13:00:01+01:00", "operationType": "X", "user": "ana", "credits": 5}
    file = written(tmp_path, b"\n" + orjson.dumps(least) + b"\n\n" + orjson.dumps(most) + b"\n")
    assert read_trace(file) == [TraceLine(2, NOON_S, 1, 2), TraceLine(4, NOON_S + 1, 1, 2, "X", "ana", 5)]


def ndjson(**changes: object) -> str:
    given = {"timestamp": "2026-01-31T12:00:00Z", "contextTokens": 1, "generatedTokens": 2, **changes}
    return orjson.dumps({name: value for name, value in given.items() if value is not ...}).decode()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("TIMESTAMP,Tokens\n", "trace:1: found 'TIMESTAMP,Tokens'; expected a header with TIMESTAMP,ContextTokens"),
        (f"{HEADER}\n{ROW}\n\nyesterday,1,2\n", "trace:4: found 'yesterday,1,2'; expected TIMESTAMP,"),
        (f"{HEADER}\n{ROW[:-3]}\n", "trace:2: found"),
        (f'{HEADER}\n2023-11-16 18:15:46,"1,2\n', "trace:2: found"),
        (f"{HEADER}\n2023-11-16 18:15:46,-1,2\n", "trace:2: found"),
        (f"{HEADER}\n2023-11-16 18:15:46,1.0,2\n", "trace:2: found"),
        (f"{HEADER}\n2023-11-16 18:15:46,2147483648,2\n", "trace:2: found"),
        (f"{HEADER}\n2023-11-16 18:15:46,\u0661,2\n", "trace:2: found"),
        (f"{ndjson()}\n[]\n", "trace:2: found '[]'; expected one JSON object"),
        (f"{ndjson()}\n{{\n", "trace:2: found '{'; expected one JSON object"),
        (ndjson(contextTokens=...), "trace:1: contextTokens is missing; expected timestamp, "),
        (ndjson(contextTokens=True), "trace:1: contextTokens is 'True'; expected a whole number from 0"),
        (ndjson(generatedTokens=1.0), "trace:1: generatedTokens is '1.0'; expected a whole number"),
        (ndjson(timestamp=5), "trace:1: timestamp is '5'; expected an RFC 3339 time"),
        (ndjson(credits=0), "trace:1: credits is '0'; expected a whole number from 1"),
        (ndjson(credits=2**31), "trace:1: credits is"),
        (ndjson(user="a\nb"), "trace:1: user is"),
        (ndjson(user=""), "trace:1: user is"),
        (ndjson(tokens=5), "trace:1: tokens is not a field of a request; expected timestamp, "),
        (f"{HEADER}\n", "trace: no requests in it; expected a header"),
        ("", "trace: no requests in it"),
        (b"\x1f\x8b\x08\x00\xff\xff", "trace: not UTF-8 text; expected a header"),
    ],
)
def test_a_bad_line_is_named_with_what_was_expected(tmp_path: Path, text: str | bytes, told: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(TraceError) as caught:
        read_trace(file)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/{told}")
    assert "\n" not in message
    assert len(message) < 400


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file or directory"):
        read_trace(tmp_path / "trace")
