"""One stream from its opening to its end: frames out at their rate, answers in as they come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Iterator
from typing import Protocol, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from websockets import ClientConnection, ConnectionClosed, InvalidStatus, Subprotocol, WebSocketException, connect

from app import message
from app.client.errors import ServiceError
from app.message import Failure, Header

PATH = "/v1/stream"
LAST_ANSWER_SECONDS = 10.0  # for the answer to the last frame; a service that is overloaded drops even that

T = TypeVar("T")

SCHEMES = {"http": "ws", "https": "wss"}


class Watcher(Protocol):
    """Is told of every answer."""

    def answered(self, header: Header, payload: bytes, seconds: float) -> None:
        """A frame was answered, so many seconds after it was sent."""

    def failed(self, failure: Failure) -> None:
        """A frame could not be used."""


def stream_url(base: str, **parameters: object) -> str:
    """The service's address, of which the scheme may be that of HTTP and the path left out, as a stream's.

    Parameters that are None are left to the service.
    """
    scheme, place, path, _, _ = urlsplit(base)
    chosen = {name: value for name, value in parameters.items() if value is not None}
    return urlunsplit((SCHEMES.get(scheme, scheme), place, path if path.strip("/") else PATH, urlencode(chosen), ""))


async def run(url: str, frames: Iterator[bytes], watcher: Watcher, *, rate: float | None, key: str | None) -> None:
    """Send all frames and see their answers.

    Args:
        url: as from `stream_url`.
        frames: image files; the next is taken in a thread, when its time has come.
        watcher: is called in a thread.
        rate: frames a second; None for as fast as they come.
        key: of the service's API, where it asks for one.

    Raises:
        ServiceError: no connection, an early end, or answers of another kind.
    """
    connection = await _connect(url, key)
    try:
        async with connection, asyncio.TaskGroup() as tasks:
            session = Session(connection, watcher)
            receiving = tasks.create_task(session.receive())
            await session.send(frames, rate)
            receiving.cancel()
    except ExceptionGroup as several:  # sending and receiving fail together when the connection ends
        raise several.exceptions[0] from several


async def _connect(url: str, key: str | None) -> ClientConnection:
    headers = {"X-API-Key": key} if key else {}
    try:
        return await connect(
            url,
            additional_headers=headers,
            subprotocols=[Subprotocol(message.SUBPROTOCOL)],
            compression=None,  # frames and masks are compressed already
            max_size=None,
        )
    except InvalidStatus as error:
        raise ServiceError(_refusal(error)) from error
    except (OSError, WebSocketException, ValueError) as error:
        raise ServiceError(f"Cannot connect to {url}: {error}. Is the service running there?") from error


class Session:
    """An open connection, and the frames on their way."""

    def __init__(self, connection: ClientConnection, watcher: Watcher) -> None:
        self._connection = connection
        self._watcher = watcher
        self._sent: dict[int, float] = {}  # sequence number: when
        self._settled = -1  # sequence number of the newest answer
        self._news = asyncio.Event()

    async def send(self, frames: Iterator[bytes], rate: float | None) -> None:
        """Send all frames and wait for the answer to the last."""
        start = time.perf_counter()
        count = 0
        while (data := await asyncio.to_thread(next, frames, None)) is not None:
            if rate is not None:
                await asyncio.sleep(start + count / rate - time.perf_counter())
            self._sent[count] = time.perf_counter()
            await _guard(self._connection.send(data))
            count += 1
        await self._wait_for(count - 1)

    async def receive(self) -> None:
        """Take answers until cancelled."""
        while True:
            answer = await _guard(self._connection.recv())
            now = time.perf_counter()
            await self._take(*_unpack(answer), now)

    async def _take(self, answer: Header | Failure, payload: bytes, now: float) -> None:
        seconds = now - self._sent[answer.sequence]
        self._sent = {number: when for number, when in self._sent.items() if number > answer.sequence}
        if isinstance(answer, Failure):
            await asyncio.to_thread(self._watcher.failed, answer)
        else:
            await asyncio.to_thread(self._watcher.answered, answer, payload, seconds)
        self._settled = answer.sequence
        self._news.set()

    async def _wait_for(self, sequence: int) -> None:
        try:
            async with asyncio.timeout(LAST_ANSWER_SECONDS):
                while self._settled < sequence:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return


def _unpack(answer: bytes | str) -> tuple[Header | Failure, bytes]:
    try:
        return (message.unpack_text(answer), b"") if isinstance(answer, str) else message.unpack(answer)
    except ValueError as error:
        raise ServiceError(f"An answer is not as expected, is the service of another version? {error}") from error


async def _guard(awaitable: Awaitable[T]) -> T:
    try:
        return await awaitable
    except ConnectionClosed as closed:
        raise ServiceError(_ending(closed)) from closed


def _ending(closed: ConnectionClosed) -> str:
    if closed.rcvd is None:
        return "The connection was lost: is the service still running?"
    return f"The service ended the stream ({closed.rcvd.code}): {closed.rcvd.reason or 'no reason given'}"


def _refusal(refused: InvalidStatus) -> str:
    status = refused.response.status_code
    hint = " Set --key, or POLYPRUNE_KEY." if status in (401, 403) else ""
    return f"The service refused the stream ({status}): {_detail(refused.response.body)}{hint}"


def _detail(body: bytes | bytearray) -> str:
    """What a problem document says, else the body itself."""
    text = body.decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text or "is this the address of a stream?"
