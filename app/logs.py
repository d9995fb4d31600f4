"""How the log looks: a line of text, or one JSON object a line.

A record may carry `extra={"fields": {...}}`: members of the JSON object, `name=value` at the end of the text.
Every record of a request carries its id, those of the threads that work for it too, and as JSON that of its trace.
"""

from __future__ import annotations

import json
import logging
import time
from contextvars import ContextVar
from typing import Any, Literal

# Set by `app.routes.observe`. `to_thread` copies the context, so that worker threads see it.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# Set by `app.routes.trace`, where there are traces.
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)


def current_request() -> str | None:
    """The id of the request that is worked on here."""
    return request_id.get()


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC, ISO 8601), level, logger, message, request_id, trace_id, fields, traceback."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        entry = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": getattr(record, "request_id", None),
            "trace_id": getattr(record, "trace_id", None),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in entry.items() if value is not None})


class TextFormatter(logging.Formatter):
    """`time level logger [request id]: message name=value`, and a traceback below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the standard library's name)
        """One line: what a client sent cannot begin another one."""
        known = getattr(record, "request_id", None)
        marked = f" [{known}]" if known else ""
        fields = getattr(record, "fields", {}).items()
        pairs = "".join(f" {name}={_plain(value)}" for name, value in fields if value is not None)
        return _one_line(f"{super().formatMessage(record)}{marked}: {record.message.strip()}{pairs}")


class RequestIdFilter(logging.Filter):
    """Marks each record with the id of the request that it was made for, and that of its trace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record."""
        record.request_id = request_id.get()
        record.trace_id = trace_id.get()
        return True


def configure(level: str, style: Literal["text", "json"]) -> None:
    """Send every logger's records, uvicorn's too, to stderr in one style.

    `debug` holds for our own loggers only: on that level libraries log request headers, hence keys, and tags
    of images.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(RequestIdFilter())
    least = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(least, logging.INFO), handlers=[handler], force=True)
    logging.getLogger("app").setLevel(least)
    logging.getLogger("uvicorn.error").addFilter(_is_not_access)
    _collect_no_more_than_is_shown()


def _collect_no_more_than_is_shown() -> None:
    """Python's logging HOWTO, "Optimization": where a record was made, and by which thread and process."""
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _is_not_access(record: logging.LogRecord) -> bool:
    """Uvicorn logs the address of each WebSocket with its query; `app.routes.observe` logs it without."""
    return not str(record.msg).startswith('%s - "WebSocket ')


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{_plain(item)}" for name, item in value.items())
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
