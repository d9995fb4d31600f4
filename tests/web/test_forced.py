"""Where the system's own colours are forced, as for people who need strong contrast."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import Page

from tests import synthetic

GROUND = """(place) => {
  const [name, part] = place.split("::");
  return getComputedStyle(document.querySelector(name), part && `::${part}`).backgroundColor;
}"""
PAIRS = (  # of one kind: chosen, and not
    ("#show label:nth-of-type(2) span", "#show label:nth-of-type(3) span"),
    ("#listed label:nth-of-type(2) span", "#listed label:nth-of-type(1) span"),
    (".key.dense", ".key.pruned"),
    ("#fill", "#fill::before"),
    ("#with-frame", "#benchmark-form"),
    ("#tab-frame::after", "header"),
    ("#threshold-pruned", ".card"),
)


def test_what_is_chosen_shows_in_forced_colours(sample_page: Page) -> None:
    sample_page.emulate_media(forced_colors="active", reduced_motion="reduce")
    alike = [pair for pair in PAIRS if len({sample_page.evaluate(GROUND, place) for place in pair}) < 2]
    assert alike == []
    switch = sample_page.locator("#fill")
    on = sample_page.evaluate(GROUND, "#fill")
    switch.uncheck()
    assert sample_page.evaluate(GROUND, "#fill") != on


def test_words_on_the_accent_are_read_in_forced_colours(sample_page: Page) -> None:
    """A row through the middle of a label meets its letters."""
    sample_page.emulate_media(forced_colors="active", reduced_motion="reduce")
    for place in ("#open", "#show label:nth-of-type(2) span"):
        pixels = synthetic.decode(sample_page.locator(place).screenshot())[..., :3].astype(int)
        row = pixels[len(pixels) // 2]
        assert (np.abs(np.diff(row, axis=0)).sum(axis=1) > 90).sum() > 10, place
