"""What the documentation must name, read from the code: settings, metrics, commands, error codes,
log events.
"""

import ast
import re
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pedro_ledger.api.http.problems import STATUS_BY_CODE
from pedro_ledger.api.routes import PUBLIC, ROUTES
from pedro_ledger.cli.main import COMMANDS, load
from pedro_ledger.ledger import errors as ledger_errors
from pedro_ledger.settings import Settings, settings_table
from pedro_ledger.telemetry.metrics import Metrics
from tests.support.places import ROOT

PACKAGE = ROOT / "pedro_ledger"
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")

NOT_GENUINE = "error.code"
"""How the code of a `NotGenuine` is passed on."""
COMPUTED_CODES: dict[str, frozenset[str]] = {
    "f\"{what.replace(' ', '_')}_not_found\"": frozenset(
        {"plan_not_found", "feature_not_found", "storage_object_not_found"}
    ),
    "f'{field.lower()}_taken'": frozenset({"email_taken", "clerkid_taken", "asaasid_taken"}),
    "code": frozenset(),  # `problem_of` passes on a ledger error's own code; `problem_of_aiohttp` is the fallback for none of ours
    NOT_GENUINE: frozenset(),  # these codes are found where it is raised
}
"""Codes that are no constants where the problem is made: the expression, and what it can be."""


class Setting(NamedTuple):
    name: str
    default: str
    accepts: str
    description: str


class Call(NamedTuple):
    """A call of the API; `scope` is empty where no key is needed."""

    method: str
    path: str
    scope: str
    customers: bool
    summary: str


class Metric(NamedTuple):
    name: str
    kind: str
    labels: tuple[str, ...]
    description: str


class Parameter(NamedTuple):
    usage: str
    description: str


class Code(NamedTuple):
    """An error code with the statuses and titles that are constants where it is used."""

    name: str
    statuses: frozenset[int]
    titles: frozenset[str]


class LogEvent(NamedTuple):
    name: str
    levels: tuple[str, ...]
    fields: tuple[str, ...]


def settings() -> list[Setting]:
    bounds = {"ge": "at least", "gt": "more than", "le": "at most"}
    found = []
    for (name, default, description), field in zip(settings_table(), Settings.model_fields.values(), strict=True):
        said = [
            f"{words} {limit:g}"
            for each in field.metadata
            for bound, words in bounds.items()
            if (limit := getattr(each, bound, None)) is not None
        ]
        values = re.findall(r"'(\w+)'", str(field.annotation)) if "Literal" in str(field.annotation) else []
        accepts = ", ".join(said or [f"`{value}`" for value in values])
        found.append(Setting(name, default, accepts, description))
    return found


def calls() -> list[Call]:
    return [
        Call(
            route.method,
            route.path,
            "" if route.scope is PUBLIC else str(route.scope),
            route.customers,
            route.summary,
        )
        for route in ROUTES
    ]


def metrics() -> list[Metric]:
    registry = Metrics().registry
    suffix = {"counter": "_total", "info": "_info"}
    found = []
    for collector in list(registry._collector_to_names):
        labels = getattr(collector, "_labelnames", None) or getattr(collector, "_labels", ())
        for family in collector.collect():
            name = family.name + suffix.get(family.type, "")
            found.append(Metric(name, family.type, tuple(labels), family.documentation))
    return found


def commands() -> dict[str, Any]:
    """Every command by the words that call it, subcommands too; groups themselves are left out."""
    found: dict[str, Any] = {}
    for name in COMMANDS:
        command = load(name)
        for words, each in getattr(command, "commands", {"": command}).items():
            found[f"{name} {words}".strip()] = each
    return found


def parameters(command: Any) -> list[Parameter]:
    """A command's arguments, then its options, as `--help` has them."""
    found = []
    for each in command.params:
        if each.param_type_name == "argument":
            name = str(each.metavar or each.name).upper()
            usage = name if each.required else f"[{name}]"
        else:
            usage = ", ".join([*each.opts, *each.secondary_opts])
            if not each.is_flag:
                usage += f" {each.metavar or _metavar(each.type_descriptor.annotation)}"
        found.append(Parameter(usage, _with_default(each)))
    return found


def _metavar(annotation: Any) -> str:
    """What stands for an option's value."""
    (kind,) = get_args(annotation) if get_origin(annotation) is list else (annotation,)
    if issubclass(kind, Enum):
        return "|".join(str(each.value) for each in kind)
    return {int: "N", float: "N", Path: "PATH", datetime: "DAY"}.get(kind, "TEXT")


def _with_default(each: Any) -> str:
    description = (each.help or "").strip()
    default = each.default.value if isinstance(each.default, Enum) else each.default
    if default is None or default is False or default == [] or callable(default) or each.param_type_name == "argument":
        return description + (" Required." if each.required and each.param_type_name != "argument" else "")
    return f"{description} Default: `{default}`."


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(ROOT)), ast.parse(file.read_text())


def _constant(node: ast.expr | None) -> Any:
    return node.value if isinstance(node, ast.Constant) else None


def loops() -> list[str]:
    """The background loops of the daemon, in their order."""
    return [
        _constant(node.args[0])
        for _, tree in _modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Looper"
    ]


def error_codes() -> dict[str, Code]:
    """Every code that an answer can carry.

    Raises `LookupError` for an expression that `COMPUTED_CODES` does not know.
    """
    found: dict[str, tuple[set[int], set[str]]] = {}

    def note(code: str, status: Any, title: Any) -> None:
        statuses, titles = found.setdefault(code, (set(), set()))
        if isinstance(status, int):
            statuses.add(status)
        if isinstance(title, str):
            titles.add(title)

    not_genuine: set[str] = set()
    passed_on: tuple[Any, Any] = (None, None)
    kinds = {
        kind.code: kind for kind in vars(ledger_errors).values() if isinstance(kind, type) and hasattr(kind, "code")
    }
    for code, status in STATUS_BY_CODE.items():
        note(code, status, (kinds[code].__doc__ or "").strip())
    for place, tree in _modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            status: ast.expr | None = None
            title: ast.expr | None = None
            match node.func.id:
                case "Problem":
                    status, code_node, title = [*node.args, None, None, None][:3]
                case "NotGenuine":
                    code_node = node.args[0]
                    not_genuine.add(_constant(code_node))
                case name if name in {kind.__name__ for kind in kinds.values()} and "code" in given:
                    code_node = given["code"]
                    status = ast.Constant(STATUS_BY_CODE[next(c for c, k in kinds.items() if k.__name__ == name)])
                case _:
                    continue
            constant = _constant(code_node)
            if constant is not None:
                note(constant, _constant(status), _constant(title))
                continue
            expression = ast.unparse(code_node) if code_node is not None else ""
            if expression not in COMPUTED_CODES:
                raise LookupError(f"{place}:{node.lineno}: say in tests/docs/catalogue.py what {expression} can be")
            for code in COMPUTED_CODES[expression]:
                note(code, _constant(status), None)
            if expression == NOT_GENUINE:
                passed_on = _constant(status), _constant(title)
    for code in not_genuine:
        note(code, *passed_on)
    return {
        name: Code(name, frozenset(statuses), frozenset(titles)) for name, (statuses, titles) in sorted(found.items())
    }


def log_events() -> dict[str, LogEvent]:
    """Every line that the daemon or a command logs, by its event.

    Raises `LookupError` where the event is no constant.
    """
    found: dict[str, tuple[set[str], set[str]]] = {}
    for place, tree in _modules():
        if "get_logger" not in ast.unparse(tree):
            continue
        aliases = dict(_aliases(tree))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            levels = _levels(node.func, aliases)
            if not levels:
                continue
            event = _constant(node.args[0]) if node.args else None
            if not isinstance(event, str):
                raise LookupError(f"{place}:{node.lineno}: a log event must be a constant, or nobody can look it up")
            kept, fields = found.setdefault(event, (set(), set()))
            kept.update("error" if level == "exception" else level for level in levels)
            fields.update(keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "exc_info")
    return {
        name: LogEvent(name, tuple(sorted(levels, key=LEVELS.index)), tuple(sorted(fields)))
        for name, (levels, fields) in sorted(found.items())
    }


def _levels(function: ast.expr, aliases: dict[str, set[str]]) -> set[str]:
    """The levels at which a call logs; none where it is no call of a logger."""
    match function:
        case ast.Attribute(value=ast.Name(id="log"), attr=level) if level in LEVELS:
            return {level}
        case ast.Attribute(value=ast.Call(func=ast.Attribute(attr="get_logger")), attr=level) if level in LEVELS:
            return {level}
        case ast.Name(id=name):
            return aliases.get(name, set())
    return set()


def _aliases(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Names that stand for methods of the logger, as in `told = log.warning if bad else
    log.info`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            levels = {
                part.attr
                for part in ast.walk(node.value)
                if isinstance(part, ast.Attribute) and ast.unparse(part.value) == "log" and part.attr in LEVELS
            }
            called = any(isinstance(part, ast.Call) for part in ast.walk(node.value))
            if levels and not called:
                yield node.targets[0].id, levels
