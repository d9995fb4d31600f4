"""A service that wants a key: the page asks for it, and sends it with requests and with the stream."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect
from starlette.types import ASGIApp, Receive, Scope, Send

from app.main import create_app
from app.settings import Settings
from tests.conftest import running
from tests.web.sample import video

KEY = "a-key_with/slash+plus="
OFFERED = "polyprune.key." + base64.urlsafe_b64encode(KEY.encode()).decode().rstrip("=")
PUBLIC = ("/web/", "/healthz")


class Gate:
    """ASGI middleware that lets nobody in without the key, by either way that a browser has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "lifespan"
            or scope["path"] == "/"
            or scope["path"].startswith(PUBLIC)
            or self._knows(scope)
        ):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            headers = [(b"content-type", b"application/problem+json")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            body = json.dumps({"status": 401, "detail": "This service wants an API key."}).encode()
            await send({"type": "http.response.body", "body": body})

    def _knows(self, scope: Scope) -> bool:
        return dict(scope["headers"]).get(b"x-api-key", b"").decode("latin-1") == KEY or OFFERED in scope.get(
            "subprotocols", []
        )


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    monkeypatch.setattr("tests.conftest.create_app", lambda settings: Gate(create_app(settings)))
    with running(Settings(models_dir=Path("models"))) as client:
        yield client


def test_the_key_is_asked_for_and_opens_everything(chromium: Browser, gated: httpx.Client, tmp_path: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(str(gated.base_url))
    field = page.get_by_label("This service asks for an API key")
    expect(field).to_be_focused()
    expect(page.locator("#models-error")).to_have_text("This service wants an API key.")
    field.fill("wrong")
    field.press("Enter")
    expect(field).to_be_visible()
    field.fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    page.locator(".service.ready").wait_for()
    expect(field).to_be_hidden()
    page.get_by_role("button", name="Sample frame").click()
    page.locator("#agreement", has_text="Dice").wait_for()
    page.set_input_files("#file", video(tmp_path / "drift.webm", frames=20))
    expect(page.locator("#live-tag")).to_contain_text("polyp-lite0-pruned/1")
    assert page.evaluate("() => sessionStorage.length") == 1
    assert page.evaluate("() => localStorage.getItem('polyprune.key')") is None
    context.close()
