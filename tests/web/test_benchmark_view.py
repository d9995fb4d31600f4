"""The benchmark: started from the page, followed, and shown."""

from __future__ import annotations

from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect

DRAWN = """(name) => {
  const context = document.querySelector(name).getContext("2d");
  return context.getImageData(0, 0, 900, 300).data.some(Boolean);
}"""


def measure(page: Page, rounds: int = 4) -> None:
    """Run a short benchmark to its end."""
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("Rounds", exact=True).fill(str(rounds))
    page.get_by_label("Warm-up rounds").fill("0")
    page.get_by_role("button", name="Run the benchmark").click()
    expect(page.locator("#benchmark-state")).to_have_text(f"Done: {rounds} rounds.")


def test_it_runs_to_the_end_and_shows_the_speed_up(sample_page: Page) -> None:
    measure(sample_page)
    assert float(sample_page.inner_text("#speedup").removesuffix("×")) > 0
    assert "95 % interval" in sample_page.inner_text("#speedup-interval")
    assert "agree with a Dice of" in sample_page.inner_text("#speedup-interval")
    assert [row.split("\t")[:2] for row in sample_page.locator("#benchmark-table tbody tr").all_inner_texts()] == [
        [network, stage]
        for network in ("polyp-lite0-dense/1", "polyp-lite0-pruned/1")
        for stage in ("network", "end to end")
    ]
    assert "From file to mask" in sample_page.inner_text("#speedup-whole")
    for plot in ("#plot-network", "#plot-end_to_end"):
        assert "half within" in (sample_page.get_attribute(plot, "aria-label") or "")
        assert sample_page.evaluate(DRAWN, plot)
    assert sample_page.locator("#sweep").is_hidden()


def test_a_sweep_is_shown(page: Page) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("End to end too").uncheck()
    page.get_by_label("Frames at once, up to").select_option("2")
    measure(page, rounds=2)
    rows = [row.split("\t") for row in page.locator("#sweep-table tbody tr").all_inner_texts()]
    assert [row[2] for row in rows] == ["1", "1", "2", "2"]
    assert page.locator("#figure-end_to_end").is_hidden()


def test_stored_runs_are_listed_and_opened(page: Page) -> None:
    measure(page, rounds=2)
    first = page.inner_text("#speedup")
    measure(page, rounds=3)
    rows = page.locator("#stored-table tbody tr")
    expect(rows.first).to_contain_text("polyp-lite0-pruned/1")
    expect(rows.nth(1)).to_contain_text(first)
    rows.nth(1).get_by_role("button").click()
    expect(page.locator("#benchmark-method")).to_contain_text("2 rounds")
    assert page.inner_text("#speedup") == first
    expect(page.locator("#trend")).to_be_visible()
    assert page.evaluate(DRAWN, "#trend-plot")
    page.get_by_label("Network", exact=True).select_option("polyp-lite0-dense/1")
    expect(page.locator("#stored-note")).to_contain_text("runs.")


def test_a_run_is_saved_as_files(page: Page, chromium: Browser) -> None:
    """The page is opened as the service serves it: its own policy lets its style through, and nothing else."""
    measure(page, rounds=2)
    for button, start in (("CSV", b"benchmark,created,model"), ("HTML page", b"<!doctype html>")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button, exact=True).click()
        assert Path(download.value.path()).read_bytes().startswith(start)
    name = download.value.suggested_filename
    context = chromium.new_context()
    opened = context.new_page()
    messages: list[str] = []
    opened.on("console", lambda message: messages.append(message.text))
    opened.goto(page.url + f"benchmark/{name.removeprefix('benchmark-')}")
    assert opened.locator("svg").count() == 4 + 2
    assert opened.evaluate("getComputedStyle(document.querySelector('path.ecdf')).fill") == "none"
    context.close()
    assert not messages


def test_who_may_not_delete_is_told(page: Page) -> None:
    measure(page, rounds=2)
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#benchmark-error")).to_contain_text("admin key")
    expect(page.locator("#benchmark-results")).to_be_visible()


def test_one_that_runs_already_is_followed(page: Page, service: httpx.Client) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    button = page.get_by_role("button", name="Run the benchmark")
    expect(button).to_be_enabled()
    assert service.post("/benchmark", json={"iterations": 100}).status_code == 202
    button.click()
    expect(page.locator("#benchmark-state")).to_contain_text("was running already")
    expect(page.locator("#benchmark-state")).to_have_text("Done: 100 rounds.")


def test_what_the_service_refuses_is_said_in_its_words(page: Page) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("CPU threads").fill("256")
    page.get_by_role("button", name="Run the benchmark").click()
    expect(page.locator("#benchmark-error")).to_contain_text("threads: at most")
    assert page.get_by_role("button", name="Run the benchmark").is_enabled()
