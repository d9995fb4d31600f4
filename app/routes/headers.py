"""What a browser may do with an answer: CORS and the security headers."""

from __future__ import annotations

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.benchmark.page import STYLE_SOURCE
from app.routes.access import path_of

EXPOSED = (
    "X-Polyprune-Model",
    "X-Polyprune-Provider",
    "X-Polyprune-Fallback",
    "X-Polyprune-Dense",
    "X-Polyprune-Pruned",
    "Inference-Header-Content-Length",
    "Location",
    "Server-Timing",
    "X-Request-Id",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
)

COMMON = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
# Nothing from elsewhere and nothing inline; `blob:` is what a frame or a video that was dropped on the page is called.
# A stream's WebSocket is 'self' too (CSP 3, section 6.7.2.8).
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Swagger UI is started by an inline script, with nothing in it that a client sent, brings its own styles and pictures,
# and shows a mask that was asked for there (`blob:`).
DOCS = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# One of `app.benchmark.page`: its own style, which is inline, so that the page can be saved.
EXPORT = f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
DATA = "default-src 'none'; frame-ancestors 'none'"

Fields = list[tuple[bytes, bytes]]


def _encoded(policy: str) -> Fields:
    fields = {**COMMON, "Content-Security-Policy": policy}
    return [(name.lower().encode(), value.encode()) for name, value in fields.items()]


PAGE_FIELDS, DOCS_FIELDS, EXPORT_FIELDS, DATA_FIELDS = map(_encoded, (PAGE, DOCS, EXPORT, DATA))
NO_STORE = (b"cache-control", b"no-store")


class SecurityHeaders:
    """ASGI middleware. Whatever is no page may hold a patient's frame or mask, and no cache may keep it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add to the headers of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_fields(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _added(list(message.get("headers", ())), path_of(scope))
            await send(message)

        await self._app(scope, receive, send_with_fields)


def _added(headers: Fields, path: str) -> Fields:
    if path == "/" or path.startswith("/web/"):
        return headers + PAGE_FIELDS
    if path.startswith("/docs"):
        return headers + DOCS_FIELDS
    stored = [] if any(name.lower() == b"cache-control" for name, _ in headers) else [NO_STORE]
    exported = path.startswith("/benchmark/") and path.endswith(".html")
    return headers + (EXPORT_FIELDS if exported else DATA_FIELDS) + stored


def origins(setting: str | None) -> list[str]:
    """Those that the setting names."""
    return [origin.strip() for origin in setting.split(",")] if setting else []


def cors(setting: str | None) -> list[Middleware]:
    """CORS for pages of these origins, separated by commas; none where there are no origins.

    Every header may be sent, since a key is one and no cookies are: a foreign page has nothing to borrow.
    """
    if not setting:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=origins(setting),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    ]
