"""A service whose networks change, that goes away and that comes back while the page is open."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from app.settings import Settings
from tests.conftest import running
from tests.web.sample import video
from tests.web.test_live import wait_for_answers

PRUNED = "polyp-lite0-pruned/1"
FAST = "polyp-lite0-fast/1"
PROBLEM = {"Content-Type": "application/problem+json", "Retry-After": "1"}


@pytest.fixture
def open_service() -> Iterator[httpx.Client]:
    """Whose models everybody may load and unload."""
    with running(Settings(models_dir=Path("models"), model_control="open")) as client:
        yield client


@pytest.fixture
def open_page(chromium: Browser, open_service: httpx.Client) -> Iterator[Page]:
    context = chromium.new_context()
    opened = context.new_page()
    opened.goto(str(open_service.base_url))
    opened.locator(".service.ready").wait_for()
    yield opened
    context.close()


def unload(service: httpx.Client, model: str, default: str) -> None:
    service.put("/v1/models/default", json={"model": default}).raise_for_status()
    service.post(f"/v1/models/{model}/unload").raise_for_status()


def test_a_network_that_is_unloaded_leaves_the_pickers_and_another_answers(
    open_page: Page, open_service: httpx.Client, tmp_path: Path
) -> None:
    open_page.get_by_role("button", name="Sample frame").click()
    open_page.locator("#agreement", has_text="Dice").wait_for()
    unload(open_service, PRUNED, FAST)
    open_page.locator("#peak").fill("0.6")
    expect(open_page.locator("#models-error")).to_have_text(
        f"{PRUNED} does not serve any more; {FAST} is picked instead."
    )
    open_page.locator("#agreement", has_text="Dice").wait_for()
    assert open_page.locator("#frame-error").is_hidden()
    assert open_page.locator("#model-pruned").input_value() == FAST
    assert PRUNED not in open_page.locator("#model-pruned option").all_inner_texts()
    assert open_page.inner_text("#peak-value") == "0.60"  # as it was set
    open_page.set_input_files("#file", video(tmp_path / "drift.webm"))
    wait_for_answers(open_page, 1)
    assert FAST in open_page.inner_text("#live-tag")


def test_a_stream_of_a_network_that_is_gone_offers_those_that_serve(
    open_page: Page, open_service: httpx.Client, tmp_path: Path
) -> None:
    unload(open_service, PRUNED, FAST)
    open_page.set_input_files("#file", video(tmp_path / "drift.webm"))
    expect(open_page.locator("#live-error")).to_contain_text("is not here")
    expect(open_page.locator("#live-model")).to_have_value(FAST)
    assert open_page.locator("#live-empty").is_visible()  # nothing came yet


def test_networks_that_were_loaded_meanwhile_are_offered_when_the_page_is_looked_at(
    open_page: Page, open_service: httpx.Client
) -> None:
    unload(open_service, FAST, PRUNED)
    for present in (False, True):
        if present:
            open_service.post(f"/v1/models/{FAST}/load").raise_for_status()
        open_page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
        expect(open_page.locator(f"#live-model option[value='{FAST}']")).to_have_count(int(present))
    assert open_page.locator("#model-pruned").input_value() == PRUNED


def test_a_service_that_was_away_when_the_page_came_is_found(page: Page) -> None:
    refusals = 2

    def refuse(route: Route) -> None:
        nonlocal refusals
        refusals -= 1
        if refusals < 0:
            route.continue_()
        else:
            route.fulfill(status=503, headers=PROBLEM, body=json.dumps({"detail": "No model is ready yet."}))

    page.route("**/v1/models", refuse)
    page.reload()
    expect(page.locator("#service")).to_have_text("Not connected")
    expect(page.locator("#models-error")).to_contain_text("No model is ready yet.")
    page.locator(".service.ready").wait_for()
    assert page.locator("#models-error").is_hidden()
    assert page.locator("#model-pruned").input_value() == PRUNED


def test_a_frame_that_could_not_be_asked_for_is_when_the_service_is_back(sample_page: Page) -> None:
    sample_page.locator("#threshold").fill("0.3")
    for place in ("**/v1/segment?*", "**/v1/models"):
        sample_page.route(place, lambda route: route.abort())
    sample_page.locator("#peak").fill("0.6")
    expect(sample_page.locator("#service")).to_have_text("Not connected")
    assert sample_page.inner_text("#agreement") == "–"
    for place in ("**/v1/segment?*", "**/v1/models"):
        sample_page.unroute(place)
    sample_page.locator("#agreement", has_text="Dice").wait_for()
    assert sample_page.locator("#frame-error").is_hidden()
    assert [sample_page.inner_text(f"#{name}-value") for name in ("threshold", "peak")] == ["0.30", "0.60"]
