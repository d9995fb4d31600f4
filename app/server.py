"""uvicorn's server, which drains before it stops."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from app.settings import Settings

# Else a connection that is kept would be cut when the server stops, perhaps just as a request comes in.
CLOSE = (b"connection", b"close")

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Told to stop, it drains: not ready, but serving for `drain_seconds`; then it finishes what is in flight.

    SIGTERM and SIGINT tell it to stop. Told again, it stops at once.

    Args:
        app: the ASGI app.
        settings: where to listen, and how long the stages of the end take.
        on_drain: tells the app that the end has begun.
    """

    def __init__(self, app: Any, settings: Settings, on_drain: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,  # uvicorn's records go where ours go
                server_header=False,
                timeout_graceful_shutdown=settings.grace_seconds,
            )
        )
        self._drain_seconds = settings.drain_seconds
        self._on_drain = on_drain
        self._told = False
        self._stop_at = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        """Note a signal. uvicorn's own handler has it raised again at the end, and the exit status is not 0 then."""
        self.should_exit = self.force_exit = self._told
        self._told = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop accepting."""
        if self._told and self._stop_at == math.inf:
            self._drain()
            return await super().on_tick(0)  # renews the default headers; streams get a tick to say goodbye
        return await super().on_tick(counter) or time.monotonic() >= self._stop_at

    def _drain(self) -> None:
        log.info("told to stop: not ready from now on, no new connections in %g s", self._drain_seconds)
        self._stop_at = time.monotonic() + self._drain_seconds
        self.config.encoded_headers.append(CLOSE)
        self._on_drain()
