"""For everyone: names, keyboard, contrast, sizes, and motion."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

VIEWS = ("Frame", "Live", "Benchmark")
SIZES = {"desktop": (1440, 900), "laptop": (1024, 768), "tablet": (820, 1180), "phone": (390, 844)}
LEAST_CONTRAST = 4.5  # WCAG 2.2, success criterion 1.4.3

# Elements with words of their own, their colour, and the first ground behind them that is not transparent.
WORDS = """() => {
  const shown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && !element.closest(".away, .skip, :disabled, fieldset:disabled");
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (!/^rgba.*, 0\\)$/.test(backgroundColor)) return backgroundColor;
    }
  };
  return [...document.querySelectorAll("body *")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    .filter(shown)
    .map((element) => [element.outerHTML.slice(0, 90), getComputedStyle(element).color, ground(element)]);
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, canvas, progress, table, [role=tabpanel]")]
  .filter((element) => element.checkVisibility() || element.id === "wipe")
  .filter((element) => {
    const by = (element.getAttribute("aria-labelledby") ?? "").split(" ").map((id) => document.getElementById(id));
    const near = [...by, ...(element.labels ?? []), element.caption, element.tagName === "BUTTON" ? element : null];
    return ![element.ariaLabel, ...near.map((other) => other?.textContent)].some((name) => name?.trim());
  })
  .map((element) => element.outerHTML)"""


def luminance(colour: str) -> float:
    """Of `rgb(r, g, b)` or `rgba(...)` (WCAG 2.2, relative luminance)."""
    levels = [float(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def show(page: Page, view: str) -> None:
    page.get_by_role("tab", name=view).click()


def test_contrast_is_computed_as_the_standard_says() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_words_stand_out(sample_page: Page, theme: str) -> None:
    if theme == "light":
        sample_page.get_by_role("button", name="Use the light theme").click()
    sample_page.emulate_media(reduced_motion="reduce")  # no colour on its way to another
    sample_page.mouse.move(0, 0)
    for view in VIEWS:
        show(sample_page, view)
        words: list[list[Any]] = sample_page.evaluate(WORDS)
        assert len(words) > 10
        weak = [(html, round(contrast(colour, ground), 2)) for html, colour, ground in words]
        assert [item for item in weak if item[1] < LEAST_CONTRAST] == []


def test_every_control_has_a_name(sample_page: Page) -> None:
    for view in VIEWS:
        show(sample_page, view)
        assert sample_page.evaluate(NAMELESS) == []


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_nothing_is_wider_than_the_screen_and_the_notice_shows(sample_page: Page, size: tuple[int, int]) -> None:
    sample_page.set_viewport_size({"width": size[0], "height": size[1]})
    for view in VIEWS:
        show(sample_page, view)
        assert sample_page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
        expect(sample_page.get_by_text("Research use only. Not a medical device.")).to_be_in_viewport()


def test_tabs_by_arrow_keys(page: Page) -> None:
    page.get_by_role("tab", name="Frame").press("ArrowRight")
    expect(page.get_by_role("tab", name="Live")).to_be_focused()
    assert page.get_by_role("tabpanel", name="Live").is_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("tabpanel", name="Benchmark").is_visible()


FOCUSED = """() => {
  const at = document.activeElement;
  const shows = [at, ...at.parentElement.children].some((near) => ["", "::after"].some(
    (part) => getComputedStyle(near, part || null).outlineStyle !== "none"));
  return [at.id || at.name || at.tagName, shows];
}"""


def test_everything_is_reached_by_keyboard_and_the_focus_shows(sample_page: Page) -> None:
    reached = set()
    for _ in range(40):
        sample_page.keyboard.press("Tab")
        name, shows = sample_page.evaluate(FOCUSED)
        assert shows or name == "BODY", name
        reached.add(name)
    wanted = {"open", "camera", "show", "wipe", "threshold", "fill", "opacity", "contour", "save-mask", "model-dense"}
    assert wanted <= reached


def test_the_theme_is_dark_until_it_is_changed_and_stays_so(page: Page) -> None:
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.get_by_role("button", name="Use the light theme").click()
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "light"


def test_nothing_moves_where_that_is_not_wanted(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    durations = page.evaluate(
        "() => [...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
    )
    assert set(durations) == {"0s"}


def test_results_are_spoken(sample_page: Page) -> None:
    for place in ("service", "frame-note", "lesions-summary", "live-state", "benchmark-state"):
        assert sample_page.get_attribute(f"#{place}", "role") == "status"
    for place in ("frame-error", "live-error", "benchmark-error", "models-error"):
        assert sample_page.get_attribute(f"#{place}", "role") == "alert"
    label = sample_page.get_attribute("#picture canvas", "aria-label") or ""
    assert "threshold 0.5" in label
    assert "lesions" in label


def test_tables_wider_than_their_card_are_scrolled_by_keyboard(page: Page) -> None:
    """Not every browser lets the focus into what scrolls by itself."""
    places = page.evaluate("""() => [...document.querySelectorAll(".scroll")].map(
      (place) => [place.tabIndex, place.getAttribute("role"), Boolean(place.ariaLabel)])""")
    assert places == [[0, "region", True]] * 4


def test_the_key_is_asked_for_in_a_landmark(page: Page) -> None:
    page.evaluate("() => (document.getElementById('key').hidden = false)")
    expect(page.get_by_role("form", name="API key")).to_be_visible()
