"""How the log looks: a line of text, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import time
from typing import Literal


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC, ISO 8601), level, logger, message, and a traceback where there is one."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        entry = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(level: str, style: Literal["text", "json"]) -> None:
    """Send every logger's records, uvicorn's too, to stderr in one style."""
    formatter: logging.Formatter = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    if style == "json":
        formatter = JsonFormatter()
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
