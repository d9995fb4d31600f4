"""`python -m app`: the service on the host and port of the settings."""

from __future__ import annotations

import logging
import sys

import uvicorn
from pydantic import ValidationError

from app import logs, settings
from app.errors import KeysRefused
from app.main import create_app
from app.settings import PREFIX, Settings


def main() -> None:
    """Run until SIGINT or SIGTERM; frames in flight are answered first."""
    chosen = _settings()
    logs.configure(chosen.log_level, chosen.log_format)
    for name in settings.unknown_names():
        logging.warning("%s is not a setting: docs/settings.md lists them", name)
    try:
        app = create_app(chosen)
    except KeysRefused as error:
        print(f"{PREFIX}KEYS_FILE: {error}", file=sys.stderr)
        sys.exit(2)
    # log_config=None: uvicorn's records go where ours go. access_log: app.routes.observe logs requests.
    uvicorn.run(
        app,
        host=chosen.host,
        port=chosen.port,
        log_config=None,
        access_log=False,
        server_header=False,
        forwarded_allow_ips=chosen.trusted_proxies,
        ssl_certfile=chosen.tls_certificate,
        ssl_keyfile=chosen.tls_key,
    )


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
