"""uvicorn, with an end in order: it drains, ends the streams itself, and lets go of clients that do not read."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import socket
import time
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from app.connection import receiving_within
from app.settings import Settings

# Else a connection that is kept would be cut when the server stops, perhaps just as a request comes in.
CLOSE = (b"connection", b"close")

# For the last messages of a stream to leave, and for the client's own close to come.
LINGER_SECONDS = 3.0

log = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Told to stop, it drains: not ready, but serving for `drain_seconds`; then it finishes what is in flight.

    SIGTERM and SIGINT tell it to stop. Told again, it stops at once.

    Args:
        app: the ASGI app.
        settings: where to listen, and how long the stages of the end take.
        on_drain: tells the app that the end has begun.
        before_stop: called, and waited for within the grace, when no new connections are taken. Ends the streams, with
            1001: uvicorn would with 1012, a restart, which nobody has promised.
    """

    def __init__(
        self, app: Any, settings: Settings, on_drain: Callable[[], None], before_stop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                log_config=None,  # uvicorn's records go where ours go
                access_log=False,  # app.routes.observe logs requests
                server_header=False,
                forwarded_allow_ips=settings.trusted_proxies,
                ssl_certfile=settings.tls_certificate,
                ssl_keyfile=settings.tls_key,
                http=receiving_within(settings.receive_seconds),
                ws=WebSocketProtocol,
                ws_max_size=settings.max_body_bytes,
                ws_per_message_deflate=False,  # frames and masks are compressed already
            )
        )
        self._drain_seconds = settings.drain_seconds
        self._grace_seconds = settings.grace_seconds
        self._on_drain = on_drain
        self._before_stop = before_stop
        self._told = False
        self._stop_at = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  (uvicorn's signature)
        """Note a signal. uvicorn's own handler has it raised again at the end, and the exit status is not 0 then.

        During the start nothing is in flight, and models that load may take minutes: the process ends at once.
        """
        if not self.started:
            log.info("told to stop during the start")
            logging.shutdown()
            os._exit(0)
        self.should_exit = self.force_exit = self._told
        self._told = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, and say which settings to change where nothing can be listened on."""
        try:
            await super().startup(sockets)
        except SystemExit:  # uvicorn has logged the system's own words
            log.error(
                "POLYPRUNE_HOST and POLYPRUNE_PORT: expected an address of this machine and a port that is free, "
                "got %r and %d",
                self.config.host,
                self.config.port,
            )
            raise

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop accepting."""
        if self._told and self._stop_at == math.inf:
            self._drain()
            return await super().on_tick(0)  # renews the default headers
        return await super().on_tick(counter) or time.monotonic() >= self._stop_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, once no stream is open. The app ends in order even when told to stop at once."""
        for server in self.servers:  # uvicorn does so after the streams, too late for whoever comes meanwhile
            server.close()
        over = time.monotonic() + self._grace_seconds
        await self._end_streams(over)
        self.config.timeout_graceful_shutdown = max(0, math.ceil(over - time.monotonic()))
        await super().shutdown(sockets)
        if self.force_exit:  # uvicorn leaves it out then
            await self.lifespan.shutdown()

    async def _end_streams(self, over: float) -> None:
        """Until then, or until told again; the frame of a stream may take longer."""
        ending = asyncio.ensure_future(self._before_stop())
        while not ending.done() and not self.force_exit and time.monotonic() < over:
            await asyncio.wait([ending], timeout=0.1)
        ending.cancel()

    def _drain(self) -> None:
        log.info("told to stop: not ready from now on, no new connections in %g s", self._drain_seconds)
        self._stop_at = time.monotonic() + self._drain_seconds
        self.config.encoded_headers.append(CLOSE)
        self._on_drain()


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Lets go of a client that does not read: a transport that is closed waits for its buffer to empty, forever.

    Until then its newest pings are owed an answer, those that came together, and not all (RFC 6455, section 5.5.3).
    """

    _pongs = b""

    async def run_asgi(self) -> None:
        """One WebSocket, from its opening to the end of its connection."""
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    async def send(self, message: Any) -> None:
        """Pass a message of the app on. An HTTP answer in full ends the opening, which uvicorn logs as an error."""
        await super().send(message)
        self.handshake_complete |= self.close_sent

    def handle_ping(self) -> None:
        """Answer, or once the client reads again."""
        if self.writable.is_set():
            super().handle_ping()
        elif pongs := self.conn.data_to_send():  # to all that came together, when the first of them is handled
            self._pongs = b"".join(pongs)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if not self.close_sent and not self.transport.is_closing():
            self.transport.write(self._pongs)
        self._pongs = b""
