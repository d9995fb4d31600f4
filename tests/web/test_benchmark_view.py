"""The benchmark: started from the page, followed, and shown."""

from __future__ import annotations

import httpx
from playwright.sync_api import Page, expect

DRAWN = """() => {
  const context = document.querySelector("#benchmark-plot").getContext("2d");
  return context.getImageData(0, 0, 900, 300).data.some(Boolean);
}"""


def test_it_runs_to_the_end_and_shows_the_speed_up(sample_page: Page) -> None:
    sample_page.get_by_role("tab", name="Benchmark").click()
    sample_page.get_by_label("Rounds", exact=True).fill("4")
    sample_page.get_by_label("Warm-up rounds").fill("0")
    sample_page.get_by_role("button", name="Run the benchmark").click()
    expect(sample_page.locator("#benchmark-state")).to_have_text("Done: 4 rounds.")
    assert float(sample_page.inner_text("#speedup").removesuffix("×")) > 0
    assert "95 % interval" in sample_page.inner_text("#speedup-interval")
    assert "agree with a Dice of" in sample_page.inner_text("#speedup-interval")
    assert [row.split("\t")[0] for row in sample_page.locator("#benchmark-table tbody tr").all_inner_texts()] == [
        "polyp-lite0-dense/1",
        "polyp-lite0-pruned/1",
    ]
    assert "half within" in (sample_page.get_attribute("#benchmark-plot", "aria-label") or "")
    assert sample_page.evaluate(DRAWN)


def test_one_that_runs_already_is_followed(page: Page, service: httpx.Client) -> None:
    assert service.post("/benchmark", json={"iterations": 40}).status_code == 202
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_role("button", name="Run the benchmark").click()
    expect(page.locator("#benchmark-state")).to_contain_text("was running already")
    expect(page.locator("#benchmark-state")).to_have_text("Done: 40 rounds.")


def test_what_the_service_refuses_is_said_in_its_words(page: Page) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("CPU threads").fill("256")
    page.get_by_role("button", name="Run the benchmark").click()
    expect(page.locator("#benchmark-error")).to_contain_text("threads: at most")
    assert page.get_by_role("button", name="Run the benchmark").is_enabled()
