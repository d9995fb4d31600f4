"""One frame: what the page computes in the browser is what the service says."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, Route

from tests import synthetic
from tests.web import sample
from tests.web.sample import SAMPLE

MODELS = {"dense": "polyp-lite0-dense/1", "pruned": "polyp-lite0-pruned/1"}

STRAY = """([place, isFile]) => {
  const dataTransfer = new DataTransfer();
  if (isFile) dataTransfer.items.add(new File(["bytes"], "a.jpg", { type: "image/jpeg" }));
  else dataTransfer.setData("text/plain", "words");
  return ["dragover", "drop"].every((type) => {
    const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
    document.querySelector(place).dispatchEvent(event);
    return event.defaultPrevented;
  });
}"""

PASTED = """async () => {
  const clipboardData = new DataTransfer();
  const blob = await (await fetch("/web/sample.jpg")).blob();
  clipboardData.items.add(new File([blob], "a.jpg", { type: "image/jpeg" }));
  dispatchEvent(new ClipboardEvent("paste", { clipboardData, cancelable: true }));
}"""


def drawn(page: Page) -> None:
    """Sliders are followed once a picture: wait for two."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def set_slider(page: Page, name: str, value: float) -> None:
    page.locator(f"#{name}").fill(str(value))
    drawn(page)


def picture(page: Page) -> np.ndarray:
    """What the canvas shows, uint8 [height, width, 4]."""
    drawn(page)
    url = page.evaluate("() => document.querySelector('#picture canvas').toDataURL()")
    return synthetic.decode(base64.b64decode(url.split(",")[1]))


def listed(page: Page) -> list[str]:
    return page.locator("#lesions button").all_inner_texts()


def saved(page: Page, button: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes()


def ask(service: httpx.Client, **query: object) -> httpx.Response:
    return service.post(
        "/v1/segment", params=query, content=SAMPLE.read_bytes(), headers={"Content-Type": "image/jpeg"}
    )


def check_not_overtaken(page: Page, answer: str, ask: Callable[[], None]) -> None:
    """A file that is opened while the answer that `ask` waits for is held stays when it comes."""
    held: list[Route] = []
    page.route(answer, lambda route: held.append(route))  # noqa: PLW0108  (marked by its caller)
    ask()
    while not held:
        page.wait_for_timeout(20)
    newer = synthetic.encode(synthetic.decode(SAMPLE.read_bytes())[:, :600])
    page.set_input_files("#file", {"name": "b.png", "mimeType": "image/png", "buffer": newer})
    page.locator("#agreement", has_text="Dice").wait_for()
    with page.expect_response(answer):
        held[0].continue_()
    page.wait_for_timeout(500)
    assert "b.png, 600 × 512" in page.inner_text("#frame-note")
    assert picture(page).shape == (512, 600, 4)


def test_the_sample_frame_is_the_one_its_program_draws() -> None:
    drawn = sample.colon().astype(int)
    assert np.abs(synthetic.decode(SAMPLE.read_bytes()).astype(int) - drawn).mean() < 3


def test_the_networks_find_something_in_it(sample_page: Page) -> None:
    assert listed(sample_page)
    assert "640 × 512" in sample_page.inner_text("#frame-note")


def test_an_upload_shows_its_mask(page: Page, tmp_path: Path) -> None:
    frame = tmp_path / "frame.png"
    frame.write_bytes(synthetic.encode(synthetic.decode(SAMPLE.read_bytes())[:, :600]))
    page.set_input_files("#file", frame)
    page.locator("#agreement", has_text="Dice").wait_for()
    assert "frame.png, 600 × 512" in page.inner_text("#frame-note")
    with_mask = picture(page)
    page.get_by_role("switch", name="Fill").uncheck()
    page.get_by_role("switch", name="Contour").uncheck()
    without = picture(page)
    assert with_mask.shape == (512, 600, 4)
    assert (with_mask != without).any(axis=2).sum() > 1000


@pytest.mark.parametrize("threshold", [0.07, 0.3, 0.5, 0.93])
@pytest.mark.parametrize("kind", ["dense", "pruned"])
def test_mask_and_lesions_are_the_service_s(
    sample_page: Page, service: httpx.Client, kind: str, threshold: float
) -> None:
    set_slider(sample_page, "threshold", threshold)
    sample_page.locator(f"#listed input[value={kind}]").check(force=True)
    mask = synthetic.decode(saved(sample_page, "Mask PNG"))[..., 0]
    query = {"model": MODELS[kind], "threshold": threshold}
    assert np.array_equal(mask, synthetic.decode(ask(service, **query).content))

    expected = ask(service, **query, output="json").json()["lesions"]
    report = json.loads(saved(sample_page, "JSON"))
    assert (report["frame"], report["threshold"]) == ({"width": 640, "height": 512}, threshold)
    (network,) = [network for network in report["networks"] if network["model"] == MODELS[kind]]
    assert [lesion["area"] for lesion in network["lesions"]] == [lesion["area"] for lesion in expected]
    for found, wanted in zip(network["lesions"], expected, strict=True):
        if [lesion["area"] for lesion in expected].count(wanted["area"]) == 1:  # the order of equals is nobody's
            assert found["box"] == wanted["box"]
            assert found["probability"] == pytest.approx(wanted["probability"], abs=1e-6)
            assert found["fraction"] == pytest.approx(wanted["fraction"])
    assert len(listed(sample_page)) == len(expected)


@pytest.mark.parametrize("kind", ["dense", "pruned"])
def test_a_peak_is_the_service_s_until_it_is_reset(sample_page: Page, service: httpx.Client, kind: str) -> None:
    sample_page.locator(f"#listed input[value={kind}]").check(force=True)
    own = saved(sample_page, "Mask PNG")
    assert sample_page.inner_text("#peak-value") == "own"
    marked = []
    for threshold, peak in ((0.3, 0.0), (0.3, 0.99), (0.05, 0.99)):
        set_slider(sample_page, "threshold", threshold)
        set_slider(sample_page, "peak", peak)
        sample_page.locator("#drop:not(.busy)").wait_for()  # both networks were asked again
        mask = synthetic.decode(saved(sample_page, "Mask PNG"))[..., 0]
        answer = ask(service, model=MODELS[kind], threshold=threshold, peak=peak)
        assert np.array_equal(mask, synthetic.decode(answer.content))
        report = json.loads(saved(sample_page, "JSON"))
        assert (report["threshold"], report["peak"]) == (threshold, peak)
        marked.append(bool(mask.any()))
    assert marked[0]
    sample_page.get_by_role("button", name="Reset").click()
    sample_page.locator("#drop:not(.busy)").wait_for()
    assert sample_page.inner_text("#peak-value") == "own"
    assert json.loads(saved(sample_page, "JSON"))["peak"] is None
    assert saved(sample_page, "Mask PNG") == own


def test_a_higher_threshold_marks_less(sample_page: Page) -> None:
    areas = []
    for threshold in (0.02, 0.2, 0.5, 0.8, 0.99):
        set_slider(sample_page, "threshold", threshold)
        areas.append(int((synthetic.decode(saved(sample_page, "Mask PNG"))[..., 0] > 0).sum()))
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[-1]


def test_agreement_is_the_dice_of_both_masks(sample_page: Page, service: httpx.Client) -> None:
    set_slider(sample_page, "threshold", 0.4)
    masks = [synthetic.decode(ask(service, model=model, threshold=0.4).content) > 0 for model in MODELS.values()]
    dice = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
    assert sample_page.inner_text("#agreement").split()[0] == f"{dice:.3f}"


def test_the_divider_moves_by_keyboard_and_shares_out_the_picture(sample_page: Page) -> None:
    set_slider(sample_page, "threshold", 0.5)
    wipe = sample_page.get_by_role("slider", name="Divider")
    half = picture(sample_page)
    wipe.focus()
    wipe.press("End")
    dense = picture(sample_page)
    assert wipe.get_attribute("aria-valuetext") == "100 % dense"
    wipe.press("Home")
    pruned = picture(sample_page)
    assert np.array_equal(half[:, :320], dense[:, :320])
    assert np.array_equal(half[:, 320:], pruned[:, 320:])
    assert not np.array_equal(dense, pruned)
    wipe.press("ArrowRight")
    assert wipe.input_value() == "0.5"
    sample_page.locator("#show input[value=dense]").check(force=True)
    assert np.array_equal(picture(sample_page), dense)
    assert wipe.is_hidden()


def test_pointing_at_a_lesion_darkens_what_is_around_it(sample_page: Page, service: httpx.Client) -> None:
    sample_page.locator("#show input[value=pruned]").check(force=True)
    before = picture(sample_page).astype(int)
    sample_page.locator("#lesions button").first.focus()
    after = picture(sample_page).astype(int)
    mask = synthetic.decode(ask(service, model=MODELS["pruned"]).content)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    assert np.array_equal(after[largest], before[largest])
    assert after[~largest].mean() < before[~largest].mean()


def test_an_overlay_is_saved_as_it_is_shown(sample_page: Page) -> None:
    shown = picture(sample_page)
    assert np.array_equal(synthetic.decode(saved(sample_page, "Overlay PNG")), shown)


def test_what_is_no_image_is_refused_in_words_and_nothing_is_lost(sample_page: Page) -> None:
    before = picture(sample_page)
    notes = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no frame"}
    sample_page.set_input_files("#file", notes)
    sample_page.locator("#frame-error", has_text="Expected a JPEG").wait_for()
    assert np.array_equal(picture(sample_page), before)
    assert sample_page.inner_text("#agreement").endswith("Dice")


def test_nothing_of_the_frame_before_stands_beside_one_that_was_refused(sample_page: Page) -> None:
    pixels = synthetic.decode(SAMPLE.read_bytes())
    picked = {"name": "a.gif", "mimeType": "image/gif", "buffer": synthetic.encode(pixels, "GIF")}
    sample_page.set_input_files("#file", picked)
    sample_page.locator("#frame-error", has_text="Expected a JPEG").wait_for()  # the browser shows it all the same
    assert "a.gif, 640 × 512" in sample_page.inner_text("#frame-note")
    assert [sample_page.inner_text(f"#{name}") for name in ("ms-dense", "ms-pruned", "agreement")] == ["–"] * 3
    assert listed(sample_page) == []
    for name in ("downloads", "wipe", "tag-dense", "tag-pruned"):
        assert sample_page.locator(f"#{name}").is_hidden()


def test_a_frame_that_browsers_do_not_show_comes_from_the_service(page: Page) -> None:
    pixels = synthetic.decode(SAMPLE.read_bytes())
    page.set_input_files(
        "#file", {"name": "a.tif", "mimeType": "image/tiff", "buffer": synthetic.encode(pixels, "TIFF")}
    )
    page.locator("#agreement", has_text="Dice").wait_for()
    assert "a.tif, 640 × 512" in page.inner_text("#frame-note")


def test_a_frame_that_takes_longer_to_open_does_not_overtake_a_newer_one(page: Page) -> None:
    tiff = synthetic.encode(synthetic.decode(SAMPLE.read_bytes()), "TIFF")
    slow = {"name": "a.tif", "mimeType": "image/tiff", "buffer": tiff}
    check_not_overtaken(page, "**/v1/segment?output=overlay*", lambda: page.set_input_files("#file", slow))


def test_a_mask_does_not_stay_under_a_peak_that_was_never_asked_for(sample_page: Page) -> None:
    sample_page.route("**/v1/segment?*", lambda route: route.abort())
    set_slider(sample_page, "peak", 0.99)
    sample_page.locator("#frame-error", has_text="does not answer").wait_for()
    assert [sample_page.inner_text(f"#{name}") for name in ("ms-dense", "ms-pruned", "agreement")] == ["–"] * 3
    assert listed(sample_page) == []
    assert sample_page.locator("#downloads").is_hidden()
    sample_page.unroute("**/v1/segment?*")
    sample_page.get_by_role("button", name="Reset").click()
    sample_page.locator("#agreement", has_text="Dice").wait_for()


def test_a_file_that_changes_on_disk_stays_as_it_was_opened(page: Page, service: httpx.Client, tmp_path: Path) -> None:
    frame = tmp_path / "frame.jpg"
    frame.write_bytes(SAMPLE.read_bytes())
    page.set_input_files("#file", frame)
    page.locator("#agreement", has_text="Dice").wait_for()
    frame.write_bytes(b"the next one")
    set_slider(page, "peak", 0.9)
    page.locator("#drop:not(.busy)").wait_for()
    assert page.locator("#frame-error").is_hidden(), page.inner_text("#frame-error")
    mask = synthetic.decode(saved(page, "Mask PNG"))[..., 0]
    assert np.array_equal(mask, synthetic.decode(ask(service, model=MODELS["pruned"], threshold=0.5, peak=0.9).content))


def test_a_file_that_is_dropped_beside_the_picture_does_not_replace_the_page(page: Page) -> None:
    for view, place in (("Frame", "#threshold"), ("Frame", "header"), ("Live", "#live-model"), ("Benchmark", "main")):
        page.get_by_role("tab", name=view).click()
        assert page.evaluate(STRAY, [place, True])
    assert not page.evaluate(STRAY, ["#key-value", False])  # words may be


def test_a_frame_that_is_pasted_shows_wherever_one_was(page: Page) -> None:
    page.get_by_role("tab", name="Live").click()
    page.evaluate(PASTED)
    page.locator("#agreement", has_text="Dice").wait_for()
    assert page.get_by_role("tabpanel", name="Frame").is_visible()


def test_a_frame_from_the_camera(page: Page) -> None:
    page.locator("#camera").click()
    page.get_by_role("button", name="Take this frame").click()
    page.locator("#agreement", has_text="Dice").wait_for()
    assert "camera.jpg" in page.inner_text("#frame-note")
    assert page.locator("#preview").is_hidden()


def test_another_network_answers_after_it_was_picked(sample_page: Page) -> None:
    own = sample_page.locator("#model-dense").input_value()
    with sample_page.expect_response(lambda response: f"model={own.replace('/', '%2F')}" in response.url):
        sample_page.locator("#model-dense").dispatch_event("change")
    sample_page.locator("#drop:not(.busy)").wait_for()
    assert sample_page.inner_text("#agreement").endswith("Dice")


def test_a_sample_frame_that_comes_late_does_not_overtake_a_file(page: Page) -> None:
    check_not_overtaken(page, "**/web/sample.jpg", page.get_by_role("button", name="Sample frame").click)


def test_a_sample_frame_that_does_not_come_is_said_in_words(page: Page) -> None:
    page.route("**/web/sample.jpg", lambda route: route.abort())
    page.get_by_role("button", name="Sample frame").click()
    page.locator("#frame-error", has_text="The service does not answer. Check").wait_for()
