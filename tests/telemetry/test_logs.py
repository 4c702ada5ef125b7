"""Logs: JSON lines with the request id, and never a secret."""

import logging
from typing import Any

import orjson
import pytest
import structlog

from pedro_ledger.telemetry.logs import configure_logs, request_id


def test_an_event_is_one_json_line_with_the_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    token = request_id.set("req-1")
    structlog.get_logger("a").info("happened", credits=5)
    structlog.get_logger("a").debug("not shown")
    logging.getLogger("asyncio").error("from the %s", "library")
    request_id.reset(token)
    out, err = capsys.readouterr()
    first, second = [orjson.loads(line) for line in err.splitlines()]
    assert out == ""
    assert (first["event"], first["credits"], first["request_id"], first["level"]) == ("happened", 5, "req-1", "info")
    assert (second["event"], second["request_id"], second["logger"]) == ("from the library", "req-1", "asyncio")


def test_a_field_that_is_named_like_a_secret_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    structlog.get_logger("a").info(
        "connecting", password="hunter2", Authorization="Bearer hunter2", database_url="x:hunter2@h", api_key="hunter2"
    )
    assert "hunter2" not in capsys.readouterr().err


def test_the_password_in_a_url_is_hidden_and_the_rest_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    structlog.get_logger("a").info("cannot reach postgresql://u:hunter2@h/d", url="http://127.0.0.1:8080/a@b")
    line = orjson.loads(capsys.readouterr().err)
    assert line["event"] == "cannot reach postgresql://u:[redacted]@h/d"
    assert line["url"] == "http://127.0.0.1:8080/a@b"


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_is_told_with_its_trace_and_without_secrets(form: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", form)

    def fail(key: str) -> None:
        raise ValueError(f"cannot reach postgresql://u:{key}@h/d")

    for logger in (structlog.get_logger("a"), logging.getLogger("a")):
        try:
            fail("hunter" + "2")  # a variable of the frame, and not to be read in the line of code
        except ValueError:
            logger.exception("failed")
        told = capsys.readouterr().err
        assert "ValueError: cannot reach" in told
        assert "in fail" in told
        assert "hunter2" not in told


def test_text_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "console")
    structlog.get_logger("a").warning("look here", user="u")
    assert "look here" in capsys.readouterr().err
