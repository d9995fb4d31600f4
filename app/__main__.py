"""`python -m app`: the service on the host and port of the settings."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from app import logs, settings
from app.errors import KeysRefused
from app.main import create_app
from app.server import Server, WebSocketProtocol
from app.settings import PREFIX, Settings

STARTUP_FAILED = 3  # as uvicorn's own command exits


def main() -> None:
    """Run until SIGINT or SIGTERM; frames in flight are answered first."""
    chosen = _settings()
    logs.configure(chosen.log_level, chosen.log_format)
    for name in settings.unknown_names():
        logging.warning("%s is not a setting: docs/settings.md lists them", name)
    server = _server(chosen)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)


def _server(chosen: Settings) -> Server:
    app = _app(chosen)

    async def end_streams() -> None:
        await app.state.services.streams.close()

    config = uvicorn.Config(
        app,
        host=chosen.host,
        port=chosen.port,
        log_config=None,  # uvicorn's records go where ours go
        access_log=False,  # app.routes.observe logs requests
        server_header=False,
        forwarded_allow_ips=chosen.trusted_proxies,
        ssl_certfile=chosen.tls_certificate,
        ssl_keyfile=chosen.tls_key,
        ws=WebSocketProtocol,
        ws_max_size=chosen.max_body_bytes,
        ws_per_message_deflate=False,  # frames and masks are compressed already
    )
    return Server(config, end_streams)


def _app(chosen: Settings) -> FastAPI:
    try:
        return create_app(chosen)
    except KeysRefused as error:
        print(f"{PREFIX}KEYS_FILE: {error}", file=sys.stderr)
        sys.exit(2)


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
