"""Holds each caller to its limits."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import TooManyRequests
from app.limits import Buckets, Limits, TokenBucket
from app.routes.access import CALLER, Caller


class Limit:
    """ASGI middleware: a request of a caller beyond its limits raises; public paths have no caller and no limits.

    Answers carry `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11) where there is a
    rate. A WebSocket takes one token, and one place as long as it is open.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._buckets = Buckets()
        self._in_flight: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the limits. Raises TooManyRequests."""
        caller: Caller | None = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        with self._place(caller):
            await self._app(scope, receive, self._within_rate(caller, send))

    @contextmanager
    def _place(self, caller: Caller) -> Iterator[None]:
        most = caller.limits.concurrency
        if most and self._in_flight[caller.id] >= most:
            raise TooManyRequests(
                f"At most {most} requests at once: wait for an answer before the next.", retry_after=1
            )
        self._in_flight[caller.id] += 1
        try:
            yield
        finally:
            self._in_flight[caller.id] -= 1
            if not self._in_flight[caller.id]:
                del self._in_flight[caller.id]

    def _within_rate(self, caller: Caller, send: Send) -> Send:
        limits = caller.limits
        if not limits.rate:
            return send
        bucket = self._buckets.of(caller.id, limits.rate, limits.burst)
        wait = bucket.take(time.monotonic())
        if wait:
            raise TooManyRequests(
                f"At most {limits.rate:g} requests a second, and {limits.burst} at once: wait {wait:.1f} s.",
                retry_after=wait,
            )
        return _telling(send, _fields(limits, bucket))


def _fields(limits: Limits, bucket: TokenBucket) -> list[tuple[bytes, bytes]]:
    window = math.ceil(limits.burst / limits.rate)
    return [
        (b"ratelimit-policy", f'"requests";q={limits.burst};w={window}'.encode()),
        (b"ratelimit", f'"requests";r={bucket.left};t={bucket.seconds_to_full}'.encode()),
    ]


def _telling(send: Send, fields: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_fields(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *fields]
        await send(message)

    return send_with_fields
