"""How long a request's body may take to come."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooSlow


class Patience:
    """ASGI middleware: a body that has not come whole in time raises where it is read.

    Args:
        seconds: from the request's head to its body's end.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on. Raises BodyTooSlow."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + self._seconds
        whole = False

        async def receive_in_time() -> Message:
            nonlocal whole
            if whole:  # what comes now is that the client leaves, and nobody waits for that
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyTooSlow(
                    f"The body did not come whole within {self._seconds:g} s: send a smaller frame, or faster."
                ) from None
            whole = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)
