"""The camera is on while it is looked at, and what comes to an end is said."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.web.sample import SAMPLE
from tests.web.test_live import COUNTED, ON, wait_for_answers

UNPLUGGED = """() => {
  const track = tracks.at(-1);
  track.stop();
  track.dispatchEvent(new Event("ended"));
}"""
HELD = """() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  const allowed = new Promise((allow) => (window.allow = allow));
  navigator.mediaDevices.getUserMedia = (wish) => allowed.then(() => ask(wish));
}"""


@pytest.fixture
def preview(page: Page) -> Page:
    """The page with a preview of the camera."""
    page.evaluate(COUNTED)
    page.locator("#camera").click()
    page.locator("#take:enabled").wait_for()
    return page


def test_a_preview_closes_when_another_view_is_shown(preview: Page) -> None:
    preview.get_by_role("tab", name="Live").click()
    assert preview.evaluate(ON) == 0
    preview.get_by_role("tab", name="Frame").click()
    assert preview.locator("#preview").is_hidden()


def test_a_preview_closes_when_a_file_is_opened(preview: Page) -> None:
    preview.set_input_files("#file", SAMPLE)
    preview.locator("#agreement", has_text="Dice").wait_for()
    assert preview.locator("#preview").is_hidden()
    assert preview.evaluate(ON) == 0


def test_a_camera_that_is_allowed_too_late_does_not_stay_on(page: Page) -> None:
    page.evaluate(HELD)
    page.evaluate(COUNTED)
    page.locator("#camera").click()
    page.get_by_role("tab", name="Live").click()
    page.evaluate("() => allow()")
    page.wait_for_function("() => tracks.length === 1")
    expect(page.locator("#camera")).to_be_enabled()
    assert page.evaluate(ON) == 0
    assert page.locator("#preview").is_hidden()


def test_a_camera_that_is_unplugged_gives_no_frame_any_more(preview: Page) -> None:
    preview.evaluate(UNPLUGGED)
    expect(preview.locator("#frame-error")).to_contain_text("The camera gives no picture any more")
    assert preview.locator("#preview").is_hidden()


def test_a_camera_that_is_unplugged_ends_the_stream(page: Page) -> None:
    page.evaluate(COUNTED)
    page.get_by_role("tab", name="Live").click()
    page.locator("#live-camera").click()
    wait_for_answers(page, 2)
    page.evaluate(UNPLUGGED)
    expect(page.locator("#live-error")).to_contain_text("The camera gives no picture any more")
    expect(page.locator("#live-state")).to_have_text("Stopped.")
    assert page.get_by_role("button", name="Stop").is_disabled()
    assert page.locator("#live-picture canvas").is_visible()
