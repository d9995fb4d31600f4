"""Fixtures: a real server on a real port, with real sessions behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from app.main import create_app
from app.settings import Settings
from tests import synthetic

Serve = Callable[..., httpx.Client]


@contextmanager
def running(settings: Settings) -> Iterator[httpx.Client]:
    """A service with these settings, and a client that speaks to it."""
    with serving(create_app(settings)) as client:
        yield client


@contextmanager
def serving(app: ASGIApp) -> Iterator[httpx.Client]:
    """An app on a free port of 127.0.0.1, in a thread, and a client that speaks to it."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start; its log says why"
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one dense and one pruned model."""
    return synthetic.write_pair(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def client(models_dir: Path) -> Iterator[httpx.Client]:
    """A client of a service with default settings and both models."""
    with running(Settings(models_dir=models_dir)) as client:
        yield client


@pytest.fixture
def serve(models_dir: Path) -> Iterator[Serve]:
    """Starts another service with other settings, and stops it after the test."""
    with ExitStack() as stack:

        def start(**changes: Any) -> httpx.Client:
            settings = Settings(**{"models_dir": models_dir, **changes})
            return stack.enter_context(running(settings))

        yield start
