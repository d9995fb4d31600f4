"""`python -m app`: the service on the host and port of the settings."""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from app import logs, settings
from app.main import create_app
from app.settings import PREFIX, Settings

STARTUP_FAILED = 3  # as uvicorn's own command exits


class Server(uvicorn.Server):
    """Ends the streams itself, with 1001: uvicorn would with 1012, a restart, which nobody has promised."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,  # uvicorn's records go where ours go
            server_header=False,
            ws_max_size=settings.max_body_bytes,
            ws_per_message_deflate=False,  # frames and masks are compressed already
        )
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn does it, once no stream is open."""
        await self._app.state.services.streams.close()
        await super().shutdown(sockets)


def main() -> None:
    """Run until SIGINT or SIGTERM; frames in flight are answered first."""
    chosen = _settings()
    logs.configure(chosen.log_level, chosen.log_format)
    for name in settings.unknown_names():
        logging.warning("%s is not a setting: docs/settings.md lists them", name)
    server = Server(create_app(chosen), chosen)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        for item in error.errors():
            name = PREFIX + "_".join(map(str, item["loc"])).upper()
            print(f"{name}: {item['msg']}, got {item['input']!r}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
