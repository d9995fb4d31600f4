"""`WS /v1/stream`: frames in, masks out, the newest first (docs/streaming.md).

Three tasks share a stream, and the first that is `Ended` ends the others:

    read    socket --frame--> Latest, the slot for the newest
    work    Latest --newest--> worker thread --answer--> socket
    stop    waits until the service stops
"""

from __future__ import annotations

import json
import logging
from functools import partial
from http import HTTPStatus
from typing import NoReturn, cast

from anyio import create_task_group
from fastapi import APIRouter, HTTPException, WebSocket
from pydantic import ValidationError
from starlette.datastructures import QueryParams

from app import message, spans
from app.clock import Clock
from app.errors import BadParameter, NoModelReady, PolypruneError, TooManyStreams, UnknownModel
from app.message import Failure, Header
from app.model import Model
from app.routes.once import once
from app.routes.problems import Problem, describe, describe_validation
from app.routes.services import Serviced, Services
from app.routes.socket import Ended, Socket
from app.stream.latest import Latest
from app.stream.viewer import Incoming, Options, Outcome, Output, Viewer

# Of a text message, in characters: it changes two numbers, and is read on the event loop.
MAX_TEXT = 4096

router = APIRouter()
log = logging.getLogger(__name__)


class StreamQuery(Options):
    """Parameters of a stream."""

    model: str | None = None
    output: Output = "mask"


@router.websocket("/v1/stream")
async def stream(websocket: WebSocket, services: Serviced) -> None:
    """Hold a place for as long as the stream lasts."""
    settings = services.settings
    socket = Socket(websocket, idle=settings.stream_idle_seconds, max_bytes=settings.max_body_bytes)
    try:
        with services.streams.place():
            await _open(socket, websocket, services)
    except (TooManyStreams, NoModelReady) as error:
        await socket.refuse(error)


@router.get("/v1/stream", include_in_schema=False, response_model=None)
async def stream_without_upgrade() -> NoReturn:
    """Say what is missing to a request that is none for a WebSocket: behind a proxy, the stream's own may come so."""
    raise HTTPException(
        HTTPStatus.UPGRADE_REQUIRED,
        "a WebSocket is expected: connect with ws:// or wss://, and have every proxy pass Upgrade and Connection on",
        {"Upgrade": "websocket", "Connection": "Upgrade"},
    )


async def _open(socket: Socket, websocket: WebSocket, services: Services) -> None:
    try:
        query = _parse(websocket.query_params)
        model = _resolve(services, query.model)
    except Ended as ended:
        await socket.accept()  # a browser shows its page no reason of a refusal, but that of a close
        await socket.close(ended)
        return
    await socket.accept()
    await Stream(socket, services, model, query, websocket.url.path).run()


def _parse(parameters: QueryParams) -> StreamQuery:
    try:
        return StreamQuery.model_validate(once(parameters))
    except BadParameter as error:
        raise Ended(message.POLICY, str(error)) from error
    except ValidationError as error:
        raise Ended(message.POLICY, describe_validation(error)) from error


def _resolve(services: Services, name: str | None) -> Model:
    try:
        return services.registry.resolve(name)
    except UnknownModel as error:
        raise Ended(message.POLICY, str(error)) from error


class Stream:
    """An open socket, and the frames that come through it."""

    def __init__(self, socket: Socket, services: Services, model: Model, query: StreamQuery, path: str) -> None:
        self._socket = socket
        self._services = services
        self._path = path
        self._options = Options(**query.model_dump(include=set(Options.model_fields)))
        self._viewer = Viewer(model, query.output, services.settings.max_pixels)
        self._frames = Latest[Incoming](services.metrics.stream_frames)

    async def run(self) -> None:
        """Until the client, the service or a limit ends it."""
        ended = Ended(message.INTERNAL, "The service failed on this stream; its log has the details.")
        try:
            async with create_task_group() as tasks:
                for part in (self._read, self._work, self._stop):
                    tasks.start_soon(part)
        except* Ended as several:
            ended = cast(Ended, several.exceptions[0])
        except* Exception:
            log.exception("a stream failed")
        finally:
            self._frames.close()
        await self._socket.close(ended)

    async def _stop(self) -> None:
        await self._services.streams.stopping.wait()
        raise Ended(message.GOING_AWAY, "The service stops.")

    async def _read(self) -> None:
        while True:
            received = await self._socket.receive()
            if isinstance(received, str):
                self._options = changed(self._options, received)
            else:
                self._frames.put(Incoming(received, self._options, Clock()))

    async def _work(self) -> None:
        while True:
            sequence, incoming = await self._frames.take()
            with spans.frame(incoming.clock.age()):
                await self._see(sequence, incoming)

    async def _see(self, sequence: int, incoming: Incoming) -> None:
        try:
            outcome = await self._services.in_worker(partial(self._viewer.see, incoming))
        except PolypruneError as error:
            await self._fail(sequence, error)
        else:
            await self._answer(sequence, outcome, incoming.clock)

    async def _fail(self, sequence: int, error: PolypruneError) -> None:
        if error.slug == "overloaded":
            self._frames.drop()  # the next frame may find a free worker, and an error for each would be noise
            return
        self._frames.answer()
        problem = Problem.model_validate({"instance": self._path, **describe(error)})
        await self._socket.send(Failure(sequence=sequence, error=problem.model_dump()).model_dump_json())

    async def _answer(self, sequence: int, outcome: Outcome, clock: Clock) -> None:
        model, output = self._viewer.model, self._viewer.output
        self._frames.answer()
        self._services.metrics.frame_done(model.id, output, clock)
        header = Header(
            sequence=sequence,
            width=outcome.width,
            height=outcome.height,
            model=model.id,
            provider=clock.provider or model.engine.provider,
            timings=clock.rounded(),
            received=self._frames.received,
            answered=self._frames.answered,
            dropped=self._frames.dropped,
            lesions=outcome.lesions,
        )
        await self._socket.send(header.text() if output == "json" else message.pack(header, outcome.payload))


def changed(options: Options, text: str) -> Options:
    """The options after a text message of the client: a JSON object with those that change.

    Raises:
        Ended: it is too long, no object (unsupported data), or has unknown names or values (policy).
    """
    if len(text) > MAX_TEXT:
        raise Ended(message.TOO_LARGE, f"A text message has at most {MAX_TEXT} characters: send frames as binary.")
    try:
        change = json.loads(text)
    except (ValueError, RecursionError):
        change = None
    if not isinstance(change, dict):
        raise Ended(
            message.UNSUPPORTED_DATA, "Expected a binary frame, or a JSON object with threshold, peak or smooth."
        )
    try:
        return Options.model_validate(options.model_dump() | change)
    except ValidationError as error:
        raise Ended(message.POLICY, describe_validation(error)) from error
