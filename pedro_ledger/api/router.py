"""Finds the route of a request. The route table is the router: no other list of paths exists."""

from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote

from pedro_ledger.api.http.problems import Problem
from pedro_ledger.api.routes import Route


class Found(NamedTuple):
    """A route, and the values of its path."""

    route: Route[Any]
    values: dict[str, str]


class Router:
    """Routes by the shape of their paths: which parts are fixed, which are values."""

    def __init__(self, routes: Iterable[Route[Any]]) -> None:
        self._by_template: dict[str, dict[str, tuple[Route[Any], list[str]]]] = {}
        self._shapes: dict[int, list[tuple[int, ...]]] = {}
        for route in routes:
            parts = route.path.split("/")
            places = tuple(place for place, part in enumerate(parts) if part.startswith("{"))
            shapes = self._shapes.setdefault(len(parts), [])
            if places not in shapes:
                shapes.append(places)
                shapes.sort(key=len)
            template = "/".join("*" if place in places else part for place, part in enumerate(parts))
            names = [parts[place][1:-1] for place in places]
            self._by_template.setdefault(template, {})[route.method] = (route, names)

    def find(self, method: str, raw_path: str) -> Found:
        """The route of a path as it was sent.

        Raises the problems 404 `not_found` and 405 `method_not_allowed`.
        """
        parts = raw_path.partition("?")[0].split("/")
        for places in self._shapes.get(len(parts), ()):
            template = parts
            if places:
                template = parts.copy()
                for place in places:
                    template[place] = "*"
            methods = self._by_template.get("/".join(template))
            if methods is not None:
                found = methods.get("GET" if method == "HEAD" else method)
                if found is None:
                    raise _not_allowed(sorted(methods))
                route, names = found
                return Found(route, {name: _decoded(parts[place]) for name, place in zip(names, places, strict=True)})
        raise Problem(404, "not_found", "No such resource", "No route has this path. /openapi.json lists them.")


def _decoded(part: str) -> str:
    return unquote(part, errors="replace") if "%" in part else part


def _not_allowed(methods: list[str]) -> Problem:
    allowed = ", ".join(methods)
    return Problem(
        405,
        "method_not_allowed",
        "Method not allowed",
        f"This path answers to {allowed}.",
        headers={"Allow": allowed},
        allowed=methods,
    )
