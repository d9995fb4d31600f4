"""The benchmark: started from the page, followed, and shown."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, Route, expect

from tests.app.test_benchmark import finish

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
    assert [row.split("\t")[:3] for row in sample_page.locator("#ratio-table tbody tr").all_inner_texts()] == [
        ["polyp-lite0-pruned/1", "polyp-lite0-dense/1", stage] for stage in ("network", "end to end")
    ]
    around = [row.split("\t")[6] for row in sample_page.locator("#benchmark-table tbody tr").all_inner_texts()]
    assert [bool(re.fullmatch(r"\d\.\d\d×", text)) for text in around] == [False, True, False, True]
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
    assert ["polyp-lite0-dense/1:" in row[-1] for row in rows] == [False, True, False, True]
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


def test_one_that_runs_is_followed_after_a_reload(page: Page, service: httpx.Client) -> None:
    benchmark = service.post("/benchmark", json={"iterations": 60}).json()["id"]
    page.reload()
    with page.expect_request(f"**/benchmark/{benchmark}"):
        page.get_by_role("tab", name="Benchmark").click()
    expect(page.locator("#benchmark-state")).to_contain_text("runs already")
    expect(page.locator("#run")).to_be_disabled()
    expect(page.locator("#benchmark-state")).to_have_text("Done: 60 rounds.")


def test_a_look_that_fails_is_repeated(page: Page) -> None:
    busy = {"status": 429, "json": {"detail": "At most so many requests a second."}}
    page.route(re.compile(r"/benchmark/[0-9a-f]+$"), lambda route: route.fulfill(**busy), times=1)
    measure(page, rounds=2)
    assert page.locator("#benchmark-error").is_hidden()


def test_a_run_that_failed_is_not_shown_as_the_one_before(page: Page) -> None:
    """Nor can the one before be deleted in its place."""
    measure(page, rounds=2)
    failed = {"id": "bad", "state": "failed", "progress": 0, "created": "2026-01-01T00:00:00Z", "models": []}
    failed |= {"error": "The time limit left 0 rounds.", "warning": None, "result": None}
    page.route(re.compile(r"/benchmark/[0-9a-f]+$"), lambda route: route.fulfill(json=failed))
    page.locator("#stored-table tbody button").first.click()
    expect(page.locator("#benchmark-error")).to_contain_text("0 rounds")
    expect(page.get_by_role("button", name="Delete")).to_be_hidden()


def test_a_page_of_stored_runs_that_is_gone_gives_way_to_the_last_one(page: Page) -> None:
    runs = [
        {"id": f"{number}", "created": "2026-01-01T00:00:00Z", "state": "failed", "models": ["a/1"], "ratios": []}
        for number in range(10)
    ]

    def listed(route: Route) -> None:
        begins = "offset=0" in route.request.url  # what was on the second page has been deleted since
        listing = {"total": 11 if begins else 10, "benchmarks": runs if begins else []}
        route.fulfill(json={**listing, "persistent": True, "providers": ["cpu"], "running": None})

    page.route(re.compile(r"/benchmark\?"), listed)
    page.get_by_role("tab", name="Benchmark").click()
    with page.expect_response(lambda response: "offset=0" in response.url):
        page.get_by_role("button", name="Older").click()
    expect(page.locator("#stored-newer")).to_be_disabled()
    expect(page.locator("#stored-table tbody tr")).to_have_count(10)


def test_every_ratio_names_both_networks(page: Page, service: httpx.Client) -> None:
    models = ["polyp-lite0-dense", "polyp-lite0-fast", "polyp-nano"]
    finish(service, service.post("/benchmark", json={"models": models, "iterations": 2, "warmup": 0}))
    page.get_by_role("tab", name="Benchmark").click()
    page.locator("#stored-table tbody button").first.click()
    expect(page.locator("#speedup-words")).to_have_text("as fast: polyp-lite0-fast/1 beside polyp-lite0-dense/1")
    rows = [row.split("\t")[:2] for row in page.locator("#ratio-table tbody tr").all_inner_texts()]
    assert rows == [["polyp-lite0-fast/1", "polyp-lite0-dense/1"], ["polyp-nano/2", "polyp-lite0-fast/1"]]


def test_what_the_service_refuses_is_said_in_its_words(page: Page) -> None:
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("CPU threads").fill("256")
    page.get_by_role("button", name="Run the benchmark").click()
    expect(page.locator("#benchmark-error")).to_contain_text("threads: at most")
    assert page.get_by_role("button", name="Run the benchmark").is_enabled()
