"""The page of all endpoints, in a browser that reaches nobody but the service."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page, expect

from tests.web.sample import SAMPLE


def test_a_frame_is_segmented_from_the_list_of_endpoints(page: Page, service: httpx.Client) -> None:
    page.goto(f"{service.base_url}/docs")
    segment = page.locator("[id$=segment_frame_v1_segment_post]")
    segment.locator(".opblock-summary-control").click(no_wait_after=True)
    segment.get_by_role("button", name="Try it out").click()
    segment.locator("input[type=file]").set_input_files(SAMPLE)
    segment.get_by_role("button", name="Execute").click()
    mask = segment.locator(".live-responses-table img")
    expect(mask).to_be_visible()
    assert mask.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])") == [640, 512]
