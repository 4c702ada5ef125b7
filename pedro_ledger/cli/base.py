"""What every command has in common: its options, its settings, its loop, and the one line in which
it ends when it fails.
"""

import asyncio
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import structlog
import typer

from pedro_ledger.ledger.errors import OperatorError, Unavailable
from pedro_ledger.settings import Settings, SettingsError, load_settings, service_variables
from pedro_ledger.telemetry.logs import configure_logs

T = TypeVar("T")
Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings; the environment is stronger.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def fail(message: str, status: int = 2) -> NoReturn:
    """One line on standard error, then the exit status."""
    typer.echo(f"pedro-ledger: {message}", err=True)
    raise typer.Exit(status)


def settings_or_fail(config: Path | None, **overrides: Any) -> Settings:
    """The settings; a wrong one ends the command with the line that names it."""
    renamed: list[tuple[str, str]] = []
    try:
        settings = load_settings(config, on_renamed=lambda old, new: renamed.append((old, new)), **overrides)
    except SettingsError as error:
        fail(str(error))
    configure_logs(settings.log_level, settings.log_format)
    log = structlog.get_logger(__name__)
    for old, new in renamed:
        log.warning("setting_renamed", old=old, new=new, advice="the old name goes with 0.3.0")
    if names := service_variables():
        log.info("service_variables_ignored", names=names)
    return settings


def run(job: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine on uvloop; what is expected to go wrong ends in one line."""
    try:
        if sys.platform == "win32":
            return asyncio.run(job)
        import uvloop  # noqa: PLC0415 - not there on Windows

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(job)
    except OperatorError as error:
        fail(str(error))
    except Unavailable as error:
        fail(f"{error.detail} ({error.facts.get('reason', 'no answer')}) Check DATABASE_URL and that the server runs.")
