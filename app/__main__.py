"""`python -m app`: the service on the host and port of the settings."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

from pydantic import ValidationError

from app import cuda, logs, settings
from app.errors import KeysRefused
from app.main import create_app, drain, end_streams
from app.server import Server
from app.settings import PREFIX, Settings

STANDARD_ERROR = 2  # the last of the three file descriptors
STARTUP_FAILED = 3  # as uvicorn's own command exits


def main() -> None:
    """Run until SIGINT or SIGTERM; frames in flight are answered first."""
    _fill_standard_streams()
    chosen = _settings()
    logs.configure(chosen.log_level, chosen.log_format)
    for name in settings.unknown_names():
        logging.warning("%s is not a setting: docs/settings.md lists them", name)
    if chosen.require_gpu and not cuda.devices():
        print(f"{PREFIX}REQUIRE_GPU: the driver shows no CUDA device, see docs/gpu.md", file=sys.stderr)
        sys.exit(2)
    try:
        app = create_app(chosen)
    except KeysRefused as error:
        print(f"{PREFIX}KEYS_FILE: {error}", file=sys.stderr)
        sys.exit(2)
    server = Server(app, chosen, on_drain=lambda: drain(app), before_stop=lambda: end_streams(app))
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(STARTUP_FAILED)
    # The interpreter would wait for the threads of frames that were cut off, and they for the end of their work.
    logging.shutdown()
    os._exit(0)


def _fill_standard_streams() -> None:
    """Where the process was started without them, so that no socket takes their numbers, which C libraries write to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass
    os.close(descriptor)


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
