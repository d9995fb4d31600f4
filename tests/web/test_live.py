"""Live: frames of a video and of the camera come back with their masks."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import InvalidHandshake
from websockets.sync.client import connect

from app.settings import Settings
from tests.conftest import running
from tests.web.browser import CHROMIUM
from tests.web.sample import video


@pytest.fixture(autouse=True)
def _stream(service: httpx.Client) -> None:
    """The service has the stream."""
    try:
        with connect(str(service.base_url.copy_with(scheme="ws", path="/v1/stream"))):
            pass
    except InvalidHandshake:
        pytest.skip("this service has no /v1/stream")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video(tmp_path_factory.mktemp("film") / "drift.webm")


COUNTED = """() => {
  window.tracks = [];
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wish) => {
    const found = await ask(wish);
    tracks.push(...found.getTracks());
    return found;
  };
}"""
# How often the page was called for each frame that the video presented.
CALLED = """() => {
  window.called = {};
  const video = HTMLVideoElement.prototype;
  const ask = video.requestVideoFrameCallback;
  video.requestVideoFrameCallback = function (then) {
    return ask.call(this, (now, frame) => {
      called[now] = (called[now] ?? 0) + 1;
      then(now, frame);
    });
  };
}"""
DROPPED = """([id, names, text]) => {
  const bytes = Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));
  for (const name of names) {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name, { type: "video/webm" }));
    document.getElementById(id).dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
  }
}"""
ON = "() => tracks.filter((track) => track.readyState === 'live').length"


def number(page: Page, name: str) -> float:
    return float(page.inner_text(f"#live-{name}").split()[0].replace(",", ""))


def wait_for_answers(page: Page, count: int) -> None:
    """Until so many frames have come back."""
    while page.inner_text("#live-answered") == "–" or number(page, "answered") < count:
        assert page.locator("#live-error").is_hidden(), page.inner_text("#live-error")
        page.wait_for_timeout(50)


def test_a_video_is_streamed_until_it_is_stopped(page: Page, film: Path) -> None:
    page.get_by_role("tab", name="Live").click()
    page.set_input_files("#video-file", film)
    wait_for_answers(page, 5)
    assert number(page, "rate") > 0
    assert 0 < number(page, "p50") <= number(page, "p95")
    assert number(page, "dropped") >= 0
    assert "polyp-lite0-pruned/1" in page.inner_text("#live-tag")
    assert "of the frame" in page.inner_text("#live-summary")
    assert page.evaluate("() => document.querySelector('#live-picture canvas').width") == 640
    assert "within" in (page.get_attribute("#live-plot", "aria-label") or "")
    page.get_by_role("button", name="Stop").click()
    assert page.inner_text("#live-state") == "Stopped."
    answered = number(page, "answered")
    page.wait_for_timeout(500)
    assert number(page, "answered") <= answered + 1  # one may have been on its way to the picture
    assert page.locator("#live-picture canvas").is_visible()


def test_a_threshold_of_one_clears_the_masks_of_later_frames(page: Page, film: Path) -> None:
    page.get_by_role("tab", name="Live").click()
    page.set_input_files("#video-file", film)
    wait_for_answers(page, 2)
    page.locator("#live-threshold").fill("1")
    expect(page.locator("#live-summary")).to_contain_text("Nothing is marked")


def test_a_peak_of_one_clears_them_too(page: Page, film: Path) -> None:
    page.get_by_role("tab", name="Live").click()
    page.locator("#live-peak").fill("1")
    page.set_input_files("#video-file", film)
    wait_for_answers(page, 2)
    expect(page.locator("#live-summary")).to_contain_text("Nothing is marked")
    page.locator("#live-peak").fill("0")
    expect(page.locator("#live-summary")).to_contain_text("of the frame")


def test_a_video_that_is_opened_under_frame_plays_under_live(page: Page, film: Path) -> None:
    page.set_input_files("#file", film)
    wait_for_answers(page, 1)
    assert page.locator("#live").is_visible()


def test_the_camera(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.locator("#live-camera").click()
    wait_for_answers(page, 3)


def test_another_network_goes_on_with_the_same_video(page: Page, film: Path) -> None:
    page.get_by_role("tab", name="Live").click()
    page.set_input_files("#video-file", film)
    wait_for_answers(page, 3)
    page.select_option("#live-model", "polyp-lite0-fast/1")
    expect(page.locator("#live-tag")).to_contain_text("polyp-lite0-fast/1")
    wait_for_answers(page, 3)
    assert page.get_by_role("button", name="Stop").is_enabled()


def test_a_frame_is_sent_or_skipped_once_whatever_played_before(page: Page, film: Path) -> None:
    page.get_by_role("tab", name="Live").click()
    page.evaluate(CALLED)
    for _ in range(3):
        page.set_input_files("#video-file", film)
        wait_for_answers(page, 2)
        expect(page.locator("#live-state")).to_have_text("Running.")
        page.evaluate("() => (called = {})")
        page.wait_for_timeout(500)
        assert max(page.evaluate("() => Object.values(called)")) == 1


def test_of_two_videos_that_are_dropped_at_once_the_second_plays(page: Page, film: Path) -> None:
    page.get_by_role("tab", name="Live").click()
    page.evaluate(DROPPED, ["live-drop", ["a.webm", "b.webm"], base64.b64encode(film.read_bytes()).decode()])
    wait_for_answers(page, 3)
    assert page.get_by_role("button", name="Stop").is_enabled()


@pytest.mark.parametrize(
    ("view", "button", "ready", "end"),
    [("Frame", "camera", "#take:enabled", "leave"), ("Live", "live-camera", "#stop:enabled", "stop")],
)
def test_a_second_click_opens_no_second_camera(page: Page, view: str, button: str, ready: str, end: str) -> None:
    page.get_by_role("tab", name=view).click()
    page.evaluate(COUNTED)
    page.evaluate("(id) => [1, 2].forEach(() => document.getElementById(id).click())", button)
    page.locator(ready).wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate(ON) == 1
    page.locator(f"#{end}").click()
    assert page.evaluate(ON) == 0


def test_what_is_no_video_is_said(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.set_input_files("#video-file", {"name": "a.webm", "mimeType": "video/webm", "buffer": b"no video"})
    expect(page.locator("#live-error")).to_contain_text("a.webm is not a video")
    assert page.get_by_role("button", name="Stop").is_disabled()


def test_it_connects_again_and_says_so(chromium: Browser, film: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    with running(Settings(models_dir=Path("models"))) as client:
        page.goto(str(client.base_url))
        page.set_input_files("#file", film)
        wait_for_answers(page, 1)
    expect(page.locator("#live-state")).to_contain_text(re.compile("attempt [1-5] of 5"))
    assert page.locator("#live-picture canvas").is_visible()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#live-state")).to_have_text("Stopped.")
    context.close()


def test_a_camera_that_is_not_allowed_is_said(chromium: Browser, service: httpx.Client) -> None:
    strict = chromium.browser_type.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    page = strict.new_page()
    page.goto(str(service.base_url))
    page.locator("#camera").click()
    expect(page.locator("#frame-error")).to_contain_text("camera")
    assert page.locator("#preview").is_hidden()
    page.get_by_role("tab", name="Live").click()
    page.locator("#live-camera").click()
    expect(page.locator("#live-error")).to_contain_text("camera")
    strict.close()


def test_a_stream_that_is_not_looked_at_goes_on_when_it_is(chromium: Browser, film: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    with running(Settings(models_dir=Path("models"), stream_idle_seconds=1)) as client:
        page.goto(str(client.base_url))
        page.locator(".service.ready").wait_for()
        page.set_input_files("#file", film)
        wait_for_answers(page, 1)
        page.evaluate("() => document.getElementById('live-video').pause()")  # as in a page that is hidden
        expect(page.locator("#live-state")).to_have_text("Paused: it goes on with the next frame.")
        page.wait_for_timeout(2000)
        answered = number(page, "answered")
        page.evaluate("() => document.getElementById('live-video').play()")
        wait_for_answers(page, int(answered) + 3)
        expect(page.locator("#live-state")).to_have_text("Running.")
    context.close()
