"""One WebSocket as a state machine: what may happen when, for how long, and how it ends.

CONNECTING --accept--> OPEN
CONNECTING --refuse--> CLOSED     HTTP 503, before there is a stream
OPEN --receive, send--> OPEN      or Ended: with a code where this side ends it, with None where it is gone
OPEN --close--> CLOSED            tells the client the code, if it is still there
"""

from __future__ import annotations

from contextlib import suppress
from enum import Enum, auto

from anyio import fail_after, move_on_after
from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect

from app import message
from app.errors import PolypruneError
from app.routes.problems import respond_to

MAX_REASON = 123  # bytes of UTF-8: RFC 6455, sections 5.5 and 5.5.1
CLOSE_SECONDS = 1.0  # for a close frame to leave; a client that does not read never gets it

# uvicorn's ways to say that the connection is lost, and that it has closed it itself (a message too long, no pong).
GONE = (WebSocketDisconnect, RuntimeError)


class State(Enum):
    """Where a socket is in its life."""

    CONNECTING = auto()
    OPEN = auto()
    CLOSED = auto()


class Ended(Exception):  # noqa: N818  (not an error: every stream ends)
    """The stream is over: the code to close with and why, or None for a client that is gone already."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Socket:
    """A WebSocket with limits.

    Args:
        idle: seconds without a message, or with an answer that is not read, after which it ends.
        max_bytes: longest message that is taken.
    """

    def __init__(self, websocket: WebSocket, *, idle: float, max_bytes: int) -> None:
        self.state = State.CONNECTING
        self._websocket = websocket
        self._idle = idle
        self._max_bytes = max_bytes

    async def accept(self) -> None:
        """CONNECTING to OPEN, with our subprotocol if the client offers it."""
        self._expect(State.CONNECTING)
        offered = self._websocket.scope.get("subprotocols", ())
        await self._websocket.accept(message.SUBPROTOCOL if message.SUBPROTOCOL in offered else None)
        self.state = State.OPEN

    async def refuse(self, error: PolypruneError) -> None:
        """CONNECTING to CLOSED: a problem document where the server can send one, else its own 403."""
        self._expect(State.CONNECTING)
        if "websocket.http.response" in self._websocket.scope.get("extensions", {}):
            await self._websocket.send_denial_response(respond_to(self._websocket, error))
        else:
            await self._websocket.close(message.POLICY, reason_of(str(error)))
        self.state = State.CLOSED

    async def receive(self) -> bytes | str:
        """The next message. Raises Ended: too long, none for too long, or the client is gone."""
        self._expect(State.OPEN)
        try:
            with fail_after(self._idle):
                event = await self._websocket.receive()
        except TimeoutError:
            raise Ended(message.IDLE, f"No message came for {self._idle:g} s.") from None
        if event["type"] == "websocket.disconnect":
            raise Ended(None)
        text: str | None = event.get("text")
        data: bytes | str = event["bytes"] if text is None else text
        if len(data) > self._max_bytes:
            raise Ended(message.TOO_LARGE, f"The message is longer than the limit of {self._max_bytes} bytes.")
        return data

    async def send(self, data: bytes | str) -> None:
        """Send a message, once those before it are on their way. Raises Ended as `receive` does."""
        self._expect(State.OPEN)
        send = self._websocket.send_text if isinstance(data, str) else self._websocket.send_bytes
        try:
            with fail_after(self._idle):
                await send(data)  # type: ignore[arg-type]
        except TimeoutError:
            raise Ended(message.IDLE, f"No answer was read for {self._idle:g} s.") from None
        except GONE:
            raise Ended(None) from None

    async def close(self, ended: Ended) -> None:
        """OPEN to CLOSED."""
        self._expect(State.OPEN)
        self.state = State.CLOSED
        if ended.code is None:
            return
        with move_on_after(CLOSE_SECONDS), suppress(*GONE):
            await self._websocket.close(ended.code, reason_of(ended.reason))

    def _expect(self, state: State) -> None:
        if self.state is not state:
            raise RuntimeError(f"The socket is {self.state.name}, and this needs it {state.name}.")


def reason_of(text: str) -> str:
    """The text, cut to what a close frame holds."""
    return text.encode()[:MAX_REASON].decode(errors="ignore")
