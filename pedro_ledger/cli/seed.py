"""`pedro-ledger seed`."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pedro_ledger.cli.base import AsJson, Config, fail, run, settings_or_fail
from pedro_ledger.daemon.databases import open_databases
from pedro_ledger.ledger.errors import Conflict
from pedro_ledger.settings import Settings
from pedro_ledger.store.app.fields import Costs, PlanFields
from pedro_ledger.store.app.seed import KEYS, Steps, plan_steps, seed_lock, take_steps
from pedro_ledger.store.schema.standing import require_current

SHOWN_CHARACTERS = 60
"""Of a value; `--json` has all of it."""


class SeedError(Exception):
    """The file cannot be taken; the message says what to do."""


class SeedFile(BaseModel):
    """The part of a file that is checked as a whole; its plans are checked one by one."""

    model_config = ConfigDict(strict=True)
    featureCosts: Annotated[Costs, Field(max_length=1_000)]  # noqa: N815 - as the API calls them


class SeedContent(NamedTuple):
    """What a file says."""

    plans: list[dict[str, Any]]
    costs: dict[str, int]


def command(
    file: Annotated[
        Path | None, typer.Argument(help="A TOML file with plans and feature costs; config/plans.toml without it.")
    ] = None,
    config: Config = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; tell what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring plans and feature costs to what a file says; idempotent."""
    try:
        wanted = read(example_file() if file is None else file)
    except SeedError as error:
        fail(str(error))
    settings = settings_or_fail(config)
    raise typer.Exit(run(main(settings, wanted, dry_run=dry_run, as_json=as_json)))


def example_file() -> Path:
    """The example that there is: in a checkout's folder, else in the package."""
    here = Path("config/plans.toml")
    package = Path(str(files("pedro_ledger")))
    return next((file for file in (here, package / here, package.parent / here) if file.exists()), here)


def read(file: Path) -> SeedContent:
    """Plans and prices of a file, checked as the API checks them. Raises `SeedError`."""
    try:
        given = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SeedError(
            f"Cannot read {file} ({error.strerror}): name a file, or take the sources' config/plans.toml."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SeedError(f"{file} is not TOML: {error}.") from None
    if unknown := given.keys() - {"plans", "featureCosts"}:
        raise SeedError(f"{file}: {', '.join(sorted(unknown))} is unknown; it may hold [[plans]] and [featureCosts].")
    plans = given.get("plans", [])
    if not isinstance(plans, list):
        raise SeedError(f"{file}: begin each plan with [[plans]].")
    try:
        costs = SeedFile.model_validate({"featureCosts": given.get("featureCosts", {})}).featureCosts
        checked = [PlanFields.model_validate(plan).model_dump(exclude_unset=True) for plan in plans]
        text = orjson.dumps([checked, costs])
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise SeedError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from None
    except (TypeError, ValueError) as error:
        raise SeedError(f"{file}: features holds what JSON cannot say: {error}.") from None
    if b"\\u0000" in text:
        raise SeedError(f"{file}: text must not hold the character U+0000.")
    for key in KEYS:
        values = [plan[key] for plan in checked if plan.get(key) is not None]
        if twice := {value for value in values if values.count(value) > 1}:
            raise SeedError(f"{file}: two plans have the {key} {min(twice)}.")
    return SeedContent(checked, {name: cost for name, cost in costs.items() if cost is not None})


async def main(settings: Settings, wanted: SeedContent, *, dry_run: bool, as_json: bool) -> int:
    """Returns the exit status: 1 where a plan's id is another plan's."""
    async with open_databases(settings) as databases:
        await require_current(databases.direct)
        await databases.primary.open()
        try:
            async with seed_lock(databases.direct):
                steps = await plan_steps(databases.primary, wanted.plans, wanted.costs)
                if not dry_run:
                    await take_steps(databases.primary, steps)
        except Conflict as error:
            typer.echo(
                f"pedro-ledger: {error.detail} Nothing after it was changed; mend the file and seed again.", err=True
            )
            return 1
        finally:
            await databases.primary.close()
    typer.echo(orjson.dumps(_as_json(steps, dry_run)) if as_json else "\n".join(_lines(steps, dry_run)))
    return 0


def _lines(steps: Steps, dry_run: bool) -> list[str]:
    would = "would be " if dry_run else ""
    lines = []
    for step in steps.plans:
        if step.plan_id is None:
            lines.append(f"{would}made       plan {step.name}")
        elif step.fields:
            changes = [
                f"{name} {_shown(step.overwritten[name])} -> {_shown(step.fields[name])}"
                for name in sorted(step.fields)
            ]
            lines.append(f"{would}changed    plan {step.name}: {', '.join(changes)}")
        else:
            lines.append(f"as it is   plan {step.name}")
    for name, cost in steps.costs.items():
        was = f" (was {steps.costs_overwritten[name]})" if name in steps.costs_overwritten else ""
        lines.append(f"{would}set        {name} = {cost}{was}")
    return lines or ["the file names nothing"]


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _as_json(steps: Steps, dry_run: bool) -> dict[str, Any]:
    return {
        "dryRun": dry_run,
        "made": [step.name for step in steps.plans if step.plan_id is None],
        "changed": {step.name: sorted(step.fields) for step in steps.plans if step.plan_id is not None and step.fields},
        "unchanged": [step.name for step in steps.plans if step.plan_id is not None and not step.fields],
        "featureCosts": steps.costs,
        "overwritten": {
            "plans": {step.name: step.overwritten for step in steps.plans if step.overwritten},
            "featureCosts": steps.costs_overwritten,
        },
    }
