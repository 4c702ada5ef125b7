"""`pedro-ledger replay`: the options, and the exit status."""

import re
import secrets
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from yarl import URL

from pedro_ledger.cli.base import settings_or_fail
from pedro_ledger.daemon.initial_key import api_key_of
from pedro_ledger.ledger.account import CREDITS_MAX
from pedro_ledger.tools.replay import session
from pedro_ledger.tools.replay.errors import DaemonLost, ReplayStopped
from pedro_ledger.tools.replay.pricing import TokenPrice
from pedro_ledger.tools.replay.trace import read_trace

RUN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def command(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV with TIMESTAMP,ContextTokens,GeneratedTokens, or NDJSON with timestamp, contextTokens, "
            "generatedTokens and perhaps operationType, user, credits."
        ),
    ],
    url: Annotated[str, typer.Option(help="Where the daemon listens.")] = "http://127.0.0.1:8080",
    key: Annotated[str | None, typer.Option(help="API key; else PEDRO_API_KEY, else the data folder's.")] = None,
    users: Annotated[int, typer.Option(min=1, max=1_000_000, help="Users that requests are dealt to.")] = 1000,
    zipf: Annotated[
        float, typer.Option(min=0, max=10, help="How hot the hottest are: 0 all alike, 1 Zipf's law.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed deals the same.")] = 1,
    operation_type: Annotated[str, typer.Option(help="Where the trace names none.")] = "AI_TEXT_CHAT",
    credits_per_1k_tokens: Annotated[
        str, typer.Option(metavar="CREDITS", help="Price of a request by its tokens, rounded up, at least 1.")
    ] = "1",
    feature_costs: Annotated[
        bool, typer.Option("--feature-costs", help="Leave the price to the daemon's plans and feature costs instead.")
    ] = False,
    top_up: Annotated[
        int,
        typer.Option(min=1, max=CREDITS_MAX, help="Credits for a user who runs dry; multiples where one is too few."),
    ] = 500,
    no_top_up: Annotated[bool, typer.Option("--no-top-up", help="Leave refused what is refused.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first requests.")] = None,
    run_id: Annotated[
        str | None,
        typer.Option(help="Part of every idempotency key; the same id, file and options move nothing twice."),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, max=1_000_000, help="0: as fast as it goes; 1: as it was; 60: an hour a minute.")
    ] = 0.0,
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="Requests under way at once.")] = 64,
    config: Annotated[Path | None, typer.Option("--config", help="A TOML file with settings, for the key.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> None:
    """Replay a usage trace against a running daemon over HTTP, and check its books.

    Exits with 1 where the books disagree with what was acknowledged, with 2 where the replay could
    not be done.
    """

    run_id = run_id or secrets.token_hex(4)
    try:
        plan = session.ReplayPlan(
            file,
            read_trace(file, limit),
            _url(url),
            _key(key, config),
            _run_id(run_id),
            users,
            zipf,
            seed,
            operation_type,
            None if feature_costs else TokenPrice(credits_per_1k_tokens),
            0 if no_top_up else top_up,
            speed,
            concurrency,
        )
        books_agree = session.replay(plan, as_json=as_json)
    except DaemonLost as lost:
        _fail(f"{lost}; then the same command with --run-id {run_id} goes on where it was", 2)
    except ReplayStopped as stopped:
        _fail(str(stopped), 2)
    except KeyboardInterrupt:
        _fail(f"interrupted; the same command with --run-id {run_id} goes on where it was", 130)
    if not books_agree:
        raise typer.Exit(1)


def _url(text: str) -> URL:

    try:
        url = URL(text)
        is_usable = url.scheme in {"http", "https"} and bool(url.host) and not url.query_string and not url.fragment
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ReplayStopped(f"--url {text}: give the daemon's address, such as http://127.0.0.1:8080")
    return url


def _key(given: str | None, config: Path | None) -> str:

    try:
        key = given or api_key_of(settings_or_fail(config), make=False)[0]
    except OSError as error:
        raise ReplayStopped(
            f"{error.filename}: {error.strerror}: give the daemon's key with PEDRO_API_KEY or --key"
        ) from None
    if not key:
        raise ReplayStopped("no API key: give the one that serve printed with PEDRO_API_KEY or --key")
    if not (key.isascii() and key.isprintable()):
        raise ReplayStopped("the API key holds characters that no key has: give the one that serve printed")
    return key


def _run_id(text: str) -> str:
    if RUN_ID.fullmatch(text) is None:
        raise ReplayStopped(f"--run-id {text!r}: give 1 to 64 letters, digits, dots, dashes or underscores")
    return text


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"pedro-ledger: {message}", err=True)
    raise typer.Exit(status)
