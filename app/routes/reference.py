"""Every endpoint, parameter and error to read and to try: `/docs`, by Swagger UI, whose files are served here too."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

from app.routes.web import give

FILES = StaticFiles(packages=[("fastapi_offline", "static")])  # a browser in a clinic may reach no CDN

router = APIRouter(include_in_schema=False)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs() -> Response:
    """Give the page; its addresses are relative, so that it works behind a proxy's prefix."""
    return get_swagger_ui_html(
        openapi_url="openapi.json",
        title="Polyprune",
        swagger_js_url="docs/files/swagger-ui-bundle.js",
        swagger_css_url="docs/files/swagger-ui.css",
        swagger_favicon_url="web/icon.svg",
        swagger_ui_parameters={"validatorUrl": None},  # else it tells a site elsewhere where this service is
    )


@router.api_route("/docs/files/{path:path}", methods=["GET", "HEAD"])
async def part(request: Request, path: str) -> Response:
    """Give one of Swagger UI's files."""
    return await give(FILES, path, request)
