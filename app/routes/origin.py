"""Which web pages may open a WebSocket. CORS does not hold for them, and a browser lets every page try."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Forbidden
from app.routes.access import CALLER, Caller

PORTS = {"http": 80, "https": 443}


class Origin:
    """ASGI middleware: a WebSocket from a page of another origin needs a key, or an origin that CORS allows.

    Clients that are no browsers send no Origin, and pass.

    Args:
        allowed: origins whose pages may call the service; `*` for any.
    """

    def __init__(self, app: ASGIApp, allowed: list[str]) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may pass. Raises Forbidden."""
        if scope["type"] == "websocket" and not _has_key(scope):
            self._check(Headers(scope=scope))
        await self._app(scope, receive, send)

    def _check(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or "*" in self._allowed or origin in self._allowed:
            return
        if not is_same(origin, headers.get("host", "")):
            raise Forbidden(
                f"Pages of {origin[:200]!r} may not open a stream here: name the origin in POLYPRUNE_CORS_ORIGINS, "
                "or set keys and send one."
            )


def is_same(origin: str, host: str) -> bool:
    """Whether a page's origin is the host that it asked.

    By host and port: behind a proxy that speaks TLS, the page's scheme is not the service's.
    """
    try:
        page = urlsplit(origin)
        asked = urlsplit(f"{page.scheme}://{host}")
        port = PORTS[page.scheme]
        return (page.hostname, page.port or port) == (asked.hostname, asked.port or port) and bool(page.hostname)
    except (KeyError, ValueError):  # `null`, say
        return False


def _has_key(scope: Scope) -> bool:
    caller: Caller | None = scope.get(CALLER)
    return caller is not None and caller.key is not None
