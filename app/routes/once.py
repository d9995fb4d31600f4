"""Parameters, each at most once: which of two values is meant is open, and FastAPI would take the last."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from starlette.datastructures import QueryParams

from app.errors import BadParameter


def once(parameters: QueryParams) -> dict[str, str]:
    """Query parameters by name. Raises BadParameter where one comes twice."""
    check_once(name for name, _ in parameters.multi_items())
    return dict(parameters)


async def each_once(request: Request) -> None:
    """The same as a dependency, of routes whose parameters FastAPI reads."""
    once(request.query_params)


def check_once(names: Iterable[str]) -> None:
    """Raise BadParameter where a name comes twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadParameter(f"{name}: came more than once: send it once.")
        seen.add(name)
