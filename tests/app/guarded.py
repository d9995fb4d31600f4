"""A service with keys, and a WebSocket and a slow answer to try its doors with."""

from __future__ import annotations

import logging
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from anyio import to_thread
from fastapi import FastAPI, WebSocket
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from app.keys import make
from app.main import create_app
from app.settings import Settings
from tests.conftest import serving

USER, USER_LINE = make("clinic-a", "user")
OTHER, OTHER_LINE = make("clinic-b", "user")
ADMIN, ADMIN_LINE = make("operator", "admin")
LINES = (USER_LINE, OTHER_LINE, ADMIN_LINE)
PROTOCOL = "polyprune.v1"

log = logging.getLogger("tests.guarded")


def key(value: str) -> dict[str, str]:
    return {"x-api-key": value}


def from_address(address: str) -> dict[str, str]:
    """As a proxy on this machine would pass it on."""
    return {"x-forwarded-for": address}


def hidden(value: str) -> str:
    """A key as a browser offers it."""
    return "polyprune.key." + urlsafe_b64encode(value.encode()).decode().rstrip("=")


def app_with_doors(settings: Settings) -> FastAPI:
    app = create_app(settings)

    @app.websocket("/test/echo")
    async def echo(socket: WebSocket) -> None:
        offered = socket.scope["subprotocols"]
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
        await socket.send_json(offered)
        async for message in socket.iter_text():
            await socket.send_text(message)

    @app.get("/test/thread")
    async def thread() -> str:
        await to_thread.run_sync(log.info, "in a thread")
        return "done"

    return app


@contextmanager
def guarded(folder: Path, models_dir: Path, *lines: str, **changes: Any) -> Iterator[httpx.Client]:
    path = folder / "keys"
    path.write_text("\n".join(lines or LINES))
    with serving(app_with_doors(Settings(models_dir=models_dir, keys_file=path, **changes))) as client:
        yield client


def echo(client: httpx.Client, headers: dict[str, str] | None = None, *subprotocols: str) -> ClientConnection:
    url = str(client.base_url).replace("http", "ws", 1) + "/test/echo"
    offered = [Subprotocol(name) for name in subprotocols] or None
    return connect(url, additional_headers=headers, subprotocols=offered, proxy=None)
