"""The web page: `/` and its parts under `/web/`, files of the package `app/web`."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

FILES = StaticFiles(directory=Path(__file__).parents[1] / "web")

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """Give the page itself."""
    return await part(request, "index.html")


@router.api_route("/web/{path:path}", methods=["GET", "HEAD"])
async def part(request: Request, path: str) -> Response:
    """Give one file."""
    return await give(FILES, path, request)


async def give(files: StaticFiles, path: str, request: Request) -> Response:
    """One of these files; `StaticFiles` sees to ETag, type and paths that would leave the folder."""
    response = await files.get_response(path, request.scope)
    response.headers["Cache-Control"] = "no-cache"  # asked for again by its ETag, so that a new version shows at once
    return response
