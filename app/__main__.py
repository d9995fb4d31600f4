"""`python -m app`: the service on the host and port of the settings."""

from __future__ import annotations

import logging
import sys

from pydantic import ValidationError

from app import logs, settings
from app.main import create_app, drain
from app.server import Server
from app.settings import PREFIX, Settings


def main() -> None:
    """Run until SIGINT or SIGTERM; frames in flight are answered first."""
    chosen = _settings()
    logs.configure(chosen.log_level, chosen.log_format)
    for name in settings.unknown_names():
        logging.warning("%s is not a setting: docs/settings.md lists them", name)
    app = create_app(chosen)
    Server(app, chosen, on_drain=lambda: drain(app)).run()


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
