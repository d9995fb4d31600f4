"""Three kinds of users for locust (docs/load.md).

    Frontend   one frame at a time, with time to look at it
    Stream     a camera: WebSocket, 25 frames a second
    Batch      eight frames in one request

Who is turned away with 503 and Retry-After has its own row and is no failure: that is the service's answer to more
than it can do. Set POLYPRUNE_KEY where the service asks for a key.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import Any

import gevent
from locust import HttpUser, User, between, constant_throughput, events, task
from locust.clients import ResponseContextManager
from websockets import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from app import message
from app.message import Header
from tests.synthetic import colonoscopy, encode

KEY = os.environ.get("POLYPRUNE_KEY")
HEADERS = {"X-API-Key": KEY} if KEY else {}
# An endoscope's usual picture, and full HD.
FRAMES = [encode(colonoscopy(*size), "JPEG", quality=90) for size in ((512, 640), (1080, 1920))]
# Making them took a while, which the timer of the run would count.
gevent.get_hub().loop.update_now()
FRAMES_PER_SECOND = 25
BATCH = 8
SEGMENT, BATCHES, STREAM = "/v1/segment", "/v1/segment/batch", "/v1/stream"
STARTS = {"mask": b"\x89PNG", "json": b"{", "overlay": b"\xff\xd8\xff"}  # of the answers


def note(kind: str, name: str, milliseconds: float = 0.0, length: int = 0, error: Exception | None = None) -> None:
    """Count what locust's own client does not see."""
    shown = {"request_type": kind, "name": name, "response_time": milliseconds, "response_length": length}
    events.request.fire(**shown, exception=error, context={})


def turned_away(response: ResponseContextManager, name: str) -> float:
    """Seconds that the service, which had no place, wants the user to wait; its answer has a row of its own. Else 0."""
    if response.status_code != 503 or "Retry-After" not in response.headers:
        return 0.0
    response.request_meta["name"] = f"{name}, turned away"
    response.success()
    return float(response.headers["Retry-After"])


class Frontend(HttpUser):
    """Somebody at a page: a frame, a look at the mask, the next frame."""

    weight = 6
    wait_time = between(0.5, 2)

    @task(6)
    def mask(self) -> None:
        """Ask for the mask of a frame of either size."""
        for frame in FRAMES:
            self._ask("mask", frame)

    @task(2)
    def report(self) -> None:
        """Ask for boxes and areas."""
        self._ask("json", FRAMES[0])

    @task(1)
    def overlay(self) -> None:
        """Ask for the frame with the lesion drawn in."""
        self._ask("overlay", FRAMES[0])

    def _ask(self, output: str, frame: bytes) -> None:
        name = f"{SEGMENT} {output}"
        sent: dict[str, Any] = {"params": {"output": output}, "headers": HEADERS | {"Content-Type": "image/jpeg"}}
        with self.client.post(SEGMENT, data=frame, name=name, catch_response=True, **sent) as response:
            pause = turned_away(response, name)
            if response.status_code == 200 and not response.content.startswith(STARTS[output]):
                response.failure(f"Expected {output}, got {response.content[:16]!r}")
        gevent.sleep(pause)


class Batch(HttpUser):
    """An archive that is worked through."""

    weight = 1
    wait_time = between(2, 5)

    @task
    def send(self) -> None:
        """Send a batch, and look at each result."""
        files = [("file", (f"{number}.jpg", FRAMES[0], "image/jpeg")) for number in range(BATCH)]
        with self.client.post(BATCHES, files=files, headers=HEADERS, catch_response=True) as response:
            pause = turned_away(response, BATCHES)
            if response.status_code == 200:
                self._look(response)
        gevent.sleep(pause)

    def _look(self, response: ResponseContextManager) -> None:
        errors = [result["error"] for result in response.json()["results"] if "error" in result]
        others = [error["detail"] for error in errors if not error["type"].endswith(":overloaded")]
        for _ in range(len(errors) - len(others)):
            note("POST", f"{BATCHES} frame, turned away")
        if others:
            response.failure(others[0])


class Stream(User):
    """A camera. A round trip counts from before a frame is sent until its answer is read."""

    weight = 1
    wait_time = constant_throughput(FRAMES_PER_SECOND)

    def on_start(self) -> None:
        """Open the stream, again and again where it is refused."""
        while not self._open():
            gevent.sleep(1)
        self._sent: dict[int, float] = {}
        self._count = self._dropped = 0
        self._receiver = gevent.spawn(self._receive)

    def _open(self) -> bool:
        url = self.host.replace("http", "ws", 1) + STREAM
        begin = time.perf_counter()
        opening = connect(url, subprotocols=[message.SUBPROTOCOL], additional_headers=HEADERS, proxy=None)
        self._opened = ExitStack()
        try:
            self._socket = self._opened.enter_context(opening)
        except (InvalidStatus, OSError) as error:
            full = isinstance(error, InvalidStatus) and error.response.status_code == 503
            note("WS", f"{STREAM}, turned away" if full else f"{STREAM} open", error=None if full else error)
            return False
        note("WS", f"{STREAM} open", (time.perf_counter() - begin) * 1e3)
        return True

    def on_stop(self) -> None:
        """Close it."""
        self._opened.close()
        self._receiver.join()

    @task
    def send(self) -> None:
        """Send the next frame, whether or not the last was answered."""
        self._sent[self._count] = time.perf_counter()
        try:
            self._socket.send(FRAMES[0])
        except ConnectionClosed as closed:
            note("WS", f"{STREAM} frame", error=closed)
            self.on_stop()
            self.on_start()
        else:
            self._count += 1

    def _receive(self) -> None:
        for answer in self._socket:
            # Text where a frame could not be used.
            header, _ = message.unpack(answer) if isinstance(answer, bytes) else (message.unpack_text(answer), b"")
            milliseconds = (time.perf_counter() - self._sent[header.sequence]) * 1e3
            self._sent = {number: when for number, when in self._sent.items() if number > header.sequence}
            if isinstance(header, Header):
                note("WS", f"{STREAM} frame", milliseconds, len(answer))
                self._note_dropped(header.dropped)
            else:
                note("WS", f"{STREAM} frame", milliseconds, error=ValueError(header.error["detail"]))

    def _note_dropped(self, dropped: int) -> None:
        for _ in range(self._dropped, dropped):
            note("WS", f"{STREAM} frame, dropped")
        self._dropped = dropped
