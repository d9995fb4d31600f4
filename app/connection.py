"""An HTTP connection that does not wait forever and does not read forever: what uvicorn leaves to a proxy in front.

A request's head has to come whole within a time, and so has its body; what is not body (the head, the trailers, the
sizes of chunks) has to stay short. Whoever does otherwise loses the connection: with 431 or 408 where no answer has
begun, and else without a word.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of a request's line and fields; nginx takes 32 KiB and Apache 808 KB.
MAX_HEAD_BYTES = 2**16


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's, with limits on what is received. Make a subclass with `receiving_within`."""

    receive_seconds: float
    _timer: TimerHandle | None = None
    _head_is_whole = False
    _framing = 0  # bytes of this request that are not its body
    _body = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._expect_more()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._expect_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and let go of a client that sends too much beside its body."""
        self._framing += len(data)
        super().data_received(data)
        # Trailers and the sizes of chunks may be as long as the body that they go with, which has a limit of its own.
        if self._framing > MAX_HEAD_BYTES + self._body and not self.transport.is_closing():
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_is_whole = False
        self._framing = self._body = 0
        self._expect_more()

    def on_headers_complete(self) -> None:
        """The head is whole; a WebSocket has nothing after it."""
        self._head_is_whole = True
        self._expect_more()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body."""
        self._framing -= len(body)
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._expect_nothing()
        super().on_message_complete()

    def _expect_more(self) -> None:
        self._expect_nothing()
        # The body's time runs in `routes.patience`, which answers as a route does; this is for the body of a request
        # that was answered before it was read.
        seconds = self.receive_seconds * (2 if self._head_is_whole else 1)
        self._timer = self.loop.call_later(seconds, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: HTTPStatus) -> None:
        answers = self.cycle is not None and not self.cycle.response_complete
        if not answers and not self._head_is_whole:
            text = f"HTTP/1.1 {status.value} {status.phrase}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(text.encode())
        self.transport.close()


def receiving_within(seconds: float) -> type[HttpProtocol]:
    """A protocol class whose clients have so long to send a head, and as long again for a body."""
    return type("HttpProtocol", (HttpProtocol,), {"receive_seconds": seconds})
