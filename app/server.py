"""uvicorn, with two things that streams need of a server: a proper end, and no patience without limit."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

# For the last messages of a stream to leave, and for the client's own close to come.
LINGER_SECONDS = 3.0


class Server(uvicorn.Server):
    """Ends the streams itself, with 1001: uvicorn would with 1012, a restart, which nobody has promised.

    Args:
        end_streams: called, and waited for, before uvicorn's own shutdown.
    """

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._end_streams = end_streams

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, once no stream is open."""
        await self._end_streams()
        await super().shutdown(sockets)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """Lets go of a client that does not read: a transport that is closed waits for its buffer to empty, forever."""

    async def run_asgi(self) -> None:
        """One WebSocket, from its opening to the end of its connection."""
        await super().run_asgi()
        self.loop.call_later(LINGER_SECONDS, self.transport.abort)
