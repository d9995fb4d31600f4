"""Fixtures: the page in a real browser, from a real server with the models of the repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect

from app.settings import Settings
from tests.conftest import running
from tests.web.browser import CAMERA, CHROMIUM, MISSING, browser

PATIENCE = 60_000  # ms: for the slowest machine; nothing waits so long where all is well
DESKTOP = {"width": 1440, "height": 900}

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="package")
def service() -> Iterator[httpx.Client]:
    with running(Settings(models_dir=Path("models"))) as client:
        yield client


# Playwright keeps an event loop running in this thread while it is open: not beyond these tests.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with browser(*CAMERA) as started:
        yield started


@pytest.fixture
def page(chromium: Browser, service: httpx.Client) -> Iterator[Page]:
    """The page, ready; afterwards it must have had no error and have asked nobody but the service."""
    origin = str(service.base_url)
    errors: list[str] = []
    asked: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # Chromium logs an answer of 4xx as an error by itself; the page shows it in words.
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            errors.append(message.text)

    def remember(request: Request) -> None:
        if not request.url.startswith(("blob:", origin, origin.replace("http", "ws"))):
            asked.append(request.url)

    context = chromium.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE)
    opened = context.new_page()
    opened.on("console", note)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("request", remember)
    opened.goto(origin)
    opened.locator(".service.ready").wait_for()
    yield opened
    context.close()
    assert not errors
    assert not asked


@pytest.fixture
def sample_page(page: Page) -> Page:
    """The page with the sample frame and what both networks say about it."""
    page.get_by_role("button", name="Sample frame").click()
    page.locator("#agreement", has_text="Dice").wait_for()
    return page
