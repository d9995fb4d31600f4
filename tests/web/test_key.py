"""A service that wants a key: the page asks for it, and sends it with requests and with the stream."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from app.settings import Settings
from tests.conftest import running
from tests.web.sample import video

KEY = "a-key_with/slash+plus=and-enough-characters"


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[httpx.Client]:
    keys = tmp_path / "keys"
    keys.write_text(f"clinic-a user {sha256(KEY.encode()).hexdigest()}\n")
    with running(Settings(models_dir=Path("models"), keys_file=keys)) as client:
        yield client


def test_a_browser_that_keeps_nothing_asks_for_the_key_too(chromium: Browser, gated: httpx.Client) -> None:
    context = chromium.new_context()
    context.add_init_script("""for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
    }""")
    page = context.new_page()
    page.goto(str(gated.base_url))
    page.get_by_label("This service asks for an API key").fill(KEY)
    page.get_by_role("button", name="Use this key").click()
    page.locator(".service.ready").wait_for()
    page.get_by_role("button", name="Use the light theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    context.close()


def test_the_key_is_asked_for_and_opens_everything(chromium: Browser, gated: httpx.Client, tmp_path: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(str(gated.base_url))
    field = page.get_by_label("This service asks for an API key")
    expect(field).to_be_focused()
    expect(page.locator("#models-error")).to_contain_text("Expected an API key, and none came")
    field.fill("wrong")
    field.press("Enter")
    expect(field).to_be_visible()
    field.fill(f"\u200b{KEY} ")  # as a paste may bring it
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
