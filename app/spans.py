"""Where a trace hears of what a request is made of. By default there is none, and nobody listens.

`app.tracing` makes traces, and `app.routes.trace` gives each request its own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Protocol


class Tracer(Protocol):
    """Makes spans, each a child of the one around it, also in the threads that work for it."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """A span of what happens inside."""

    def waited(self, name: str, seconds: float) -> None:
        """A span that began so long ago and ends now."""

    def frame(self, seconds: float) -> AbstractContextManager[object]:
        """A trace of its own for what happens inside, which began so long ago, with a link to the one around it."""


# Of the request that is worked on here. `to_thread` copies the context, so that worker threads see it.
tracer: ContextVar[Tracer | None] = ContextVar("tracer", default=None)

NOBODY = nullcontext()


def stage(name: str) -> AbstractContextManager[object]:
    """A span of what happens inside, where somebody listens."""
    listening = tracer.get()
    return NOBODY if listening is None else listening.stage(name)


def waited(name: str, seconds: float) -> None:
    """A span that began so long ago and ends now, where somebody listens."""
    listening = tracer.get()
    if listening is not None:
        listening.waited(name, seconds)


def frame(seconds: float) -> AbstractContextManager[object]:
    """A trace for one frame of a stream, where somebody listens: that of the stream would grow for hours."""
    listening = tracer.get()
    return NOBODY if listening is None else listening.frame(seconds)
