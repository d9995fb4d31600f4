"""Where things lie: on narrow screens, with long names, and in pages that run from right to left."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Page

from tests import synthetic
from tests.app.test_benchmark import finish
from tests.web.sample import SAMPLE

PHONE = {"width": 360, "height": 740}
WIDTH = "() => document.documentElement.scrollWidth"
# Where the words of the note come to lie, one box each, from left to right.
WORDS_FROM_LEFT = """(words) => {
  const walker = document.createTreeWalker(document.getElementById("frame-note"), NodeFilter.SHOW_TEXT);
  const places = [];
  for (let node; (node = walker.nextNode()); ) {
    for (const word of words) {
      const at = node.data.indexOf(word);
      if (at < 0) continue;
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + word.length);
      places.push([range.getBoundingClientRect().left, word]);
    }
  }
  return places.sort(([one], [other]) => one - other).map(([, word]) => word);
}"""


def load(page: Page, name: str, pixels: slice = slice(None)) -> None:
    frame = synthetic.encode(synthetic.decode(SAMPLE.read_bytes())[:, pixels])
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": frame})
    page.locator("#agreement", has_text="Dice").wait_for()


def test_benchmarks_are_no_wider_than_a_phone(page: Page, service: httpx.Client) -> None:
    finish(service, service.post("/benchmark", json={"iterations": 2, "warmup": 0}))
    page.set_viewport_size(PHONE)
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_role("button", name="Open the run").first.click()
    page.locator("#benchmark-results").wait_for()
    assert page.evaluate(WIDTH) <= PHONE["width"]


def test_a_long_name_breaks(page: Page) -> None:
    load(page, "a" * 200 + ".png")
    assert page.evaluate(WIDTH) <= 1440


def test_a_name_from_right_to_left_does_not_turn_the_size_of_the_frame(page: Page) -> None:
    load(page, "\u05e6\u05d9\u05dc\u05d5\u05dd 1", slice(600))
    assert page.evaluate(WORDS_FROM_LEFT, ["600", "512"]) == ["600", "512"]


def test_the_divider_is_where_it_is_put_in_a_page_from_right_to_left(sample_page: Page) -> None:
    """As a translation of the page turns it."""
    sample_page.evaluate("document.documentElement.dir = 'rtl'")
    box = sample_page.locator("#picture").bounding_box()
    assert box
    sample_page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    assert float(sample_page.locator("#wipe").input_value()) == pytest.approx(25, abs=1)


@pytest.mark.parametrize("width", [12, 60, 160])
def test_each_tag_is_on_its_own_side_of_a_narrow_frame(page: Page, width: int) -> None:
    load(page, "narrow.png", slice(300, 300 + width))
    picture, dense, pruned = (
        page.locator(f"#{name}").bounding_box() for name in ("picture", "tag-dense", "tag-pruned")
    )
    assert picture
    assert dense
    assert pruned
    middle = picture["x"] + picture["width"] / 2
    assert dense["x"] + dense["width"] < middle < pruned["x"]
    assert dense["height"] == pruned["height"] < 40  # one line
