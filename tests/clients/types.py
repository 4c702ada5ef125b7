"""Types of the clients, made of the API's own description: `python -m tests.clients.types` renews
them.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pedro_ledger.api.openapi import describe
from tests.support.places import ROOT

PYTHON = ROOT / "clients" / "python" / "pedro_ledger_client" / "models.py"
_PLAIN = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "dict[str, Any]",
}
_HEAD = '''"""What the ledger answers. Made of its OpenAPI description: do not edit."""

from typing import Any, Literal, NotRequired, TypedDict
'''


def python_types() -> str:
    """One TypedDict for each answer, in the order in which they need each other."""
    schemas = describe()["components"]["schemas"]
    answers = {name: schema for name, schema in schemas.items() if not name.endswith(("Body", "Change", "Batch"))}
    answers = {name: schema for name, schema in answers.items() if not name.startswith("Batch")}
    return _HEAD + "".join(_python_class(name, answers[name]) for name in _in_order(answers))


def _in_order(schemas: dict[str, Any]) -> Iterator[str]:
    done: set[str] = set()

    def visit(name: str) -> Iterator[str]:
        if name in done:
            return
        done.add(name)
        for other in sorted(_refs(schemas[name])):
            yield from visit(other)
        yield name

    for name in sorted(schemas):
        yield from visit(name)


def _refs(value: Any) -> set[str]:
    match value:
        case {"$ref": str(ref)}:
            return {ref.rpartition("/")[2]}
        case dict():
            return set().union(*(_refs(each) for each in value.values()))
        case list():
            return set().union(*(_refs(each) for each in value))
        case _:
            return set()


def _python_class(name: str, schema: dict[str, Any]) -> str:
    if "properties" not in schema:
        return f"\n\n{name} = {_python_type(schema)}\n"
    required = set(schema.get("required", ()))
    lines = [
        f"    {field}: {_python_type(each) if field in required else f'NotRequired[{_python_type(each)}]'}"
        for field, each in schema["properties"].items()
    ]
    doc = schema.get("description", name).split("\n")[0]
    return f'\n\nclass {name}(TypedDict):\n    """{doc}"""\n\n' + "\n".join(lines) + "\n"


def _python_type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return f"Literal[{schema['const']!r}]".replace("'", '"')
    if "enum" in schema:
        return (
            "Literal[" + ", ".join(f'"{each}"' if isinstance(each, str) else str(each) for each in schema["enum"]) + "]"
        )
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_python_type(each) for each in schema["anyOf"]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(_python_type({**schema, "type": each}) if each != "null" else "None" for each in kind)
    if kind == "array":
        return f"list[{_python_type(schema.get('items', {}))}]"
    return _PLAIN.get(str(kind), "Any")


def renew(file: Path, text: str) -> None:
    """Write `text`, formatted, where it is not there yet."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)
        print(f"{file.relative_to(ROOT)}: renewed")


def formatted(text: str) -> str:
    """As ruff has it."""

    return subprocess.run(
        [str(Path(sys.executable).with_name("ruff")), "format", "--config", str(ROOT / "pyproject.toml"), "-"],
        input=text, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


if __name__ == "__main__":
    renew(PYTHON, formatted(python_types()))
