"""The pictures of the page in the documentation, with the sample frame alone.

python -m tests.web.screenshots     # writes docs/images/page-*.png again
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from app.settings import Settings
from tests.conftest import running
from tests.web.browser import CHROMIUM, MISSING, browser
from tests.web.sample import video

IMAGES = Path("docs/images")
DESKTOP = (1440, 900)
TABLET = (820, 1180)
PATIENCE = 120_000  # ms
LARGEST = 300_000  # bytes


def frame(page: Page) -> None:
    """Both networks beside each other, with a threshold below their own."""
    for _ in range(2):  # the first time also warms the service up
        with page.expect_response(lambda answer: "polyp-lite0-dense" in answer.url):  # asked after the pruned one
            page.get_by_role("button", name="Sample frame").click()
        page.locator("#agreement", has_text="Dice").wait_for()
    page.locator("#threshold").fill("0.2")


def live(page: Page) -> None:
    """A stream that has run for a while."""
    page.get_by_role("tab", name="Live").click()
    with tempfile.TemporaryDirectory() as folder:
        page.set_input_files("#video-file", video(Path(folder) / "drift.webm"))
        page.wait_for_timeout(12_000)


def benchmark(page: Page) -> None:
    """What a benchmark of 200 rounds found, on the sample frame."""
    frame(page)
    page.get_by_role("tab", name="Benchmark").click()
    page.get_by_label("Rounds", exact=True).fill("200")
    page.get_by_role("button", name="Run the benchmark").click()
    page.locator("#benchmark-results").wait_for()
    page.mouse.move(0, 0)


def light(page: Page) -> None:
    """The light theme."""
    page.get_by_role("button", name="Use the light theme").click()
    frame(page)


PICTURES: dict[str, tuple[tuple[int, int], Callable[[Page], None]]] = {
    "frame": (DESKTOP, frame),
    "frame-tablet": (TABLET, frame),
    "frame-light": (DESKTOP, light),
    "live": (DESKTOP, live),
    "live-tablet": (TABLET, live),
    "benchmark": (DESKTOP, benchmark),
    "benchmark-tablet": (TABLET, benchmark),
}


@contextmanager
def opened(chromium: Browser, url: str, size: tuple[int, int]) -> Iterator[Page]:
    """The page, ready, in a window of this size."""
    context = chromium.new_context(viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(url)
    page.locator(".service.ready").wait_for()
    yield page
    context.close()


def save(png: bytes, path: Path) -> None:
    """In 256 colours, which keeps the file small enough for a repository."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Write every picture."""
    if CHROMIUM is None:
        raise SystemExit(MISSING)
    IMAGES.mkdir(parents=True, exist_ok=True)
    with running(Settings(models_dir=Path("models"))) as client, browser() as chromium:
        for name, (size, act) in PICTURES.items():
            with opened(chromium, str(client.base_url), size) as page:
                act(page)
                path = IMAGES / f"page-{name}.png"
                save(page.screenshot(), path)
            if path.stat().st_size > LARGEST:
                raise SystemExit(
                    f"{path} has {path.stat().st_size} bytes, more than {LARGEST}: make its frame plainer."
                )
            print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
