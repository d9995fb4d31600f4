"""The commands and examples of README and docs, run as printed against a service with the models of the repository.

A page joins by its line in PAGES, and a file that its commands read by one in `write_files`.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from app.settings import Settings
from tests import synthetic
from tests.conftest import running

RUN = (
    "README.md",
    "docs/frontend.md",
    "docs/benchmark.md",
)  # whose commands this module runs; other pages have tests of their own
PAGES = ("README.md", *sorted(map(str, Path("docs").rglob("*.md"))))
TEXTS = {page: Path(page).read_text(encoding="utf-8") for page in RUN}
SIZE = (528, 622)
NODE = shutil.which("node")

# What a page has at hand: a picked file, and an <img>.
BROWSER = 'import { openAsBlob } from "node:fs";\nconst file = await openAsBlob("frame.jpg"), image = {};\n'


def curls(text: str) -> list[str]:
    """Commands of one line each, also after a backslash."""
    return re.findall(r"^curl .+$", text.replace("\\\n", " "), re.MULTILINE)


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def write_files(folder: Path) -> None:
    for name in ("frame.jpg", "a.jpg", "b.jpg"):
        (folder / name).write_bytes(synthetic.encode(synthetic.colonoscopy(*SIZE), "JPEG"))


def check_answer(data: bytes, suffix: str) -> None:
    """A picture or an array of the frame's size; anything else is JSON."""
    if suffix in (".png", ".jpg"):
        assert synthetic.decode(data).shape[:2] == SIZE
    elif suffix == ".npy":
        assert np.load(io.BytesIO(data), allow_pickle=False).shape == SIZE
    else:
        assert json.loads(data)


@pytest.fixture(scope="module")
def url():
    with running(Settings(models_dir=Path("models"))) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def folder(tmp_path):
    write_files(tmp_path)
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return done


def here(text: str, url: str) -> str:
    return text.replace("http://127.0.0.1:8000", url)


def wait_for_benchmark(url):
    """One command may have started one that the next would be refused for."""
    while httpx.get(f"{url}/benchmark").json()["running"]:
        time.sleep(0.1)


@pytest.mark.parametrize("command", [command for text in TEXTS.values() for command in curls(text)])
def test_curl(command, url, folder):
    wait_for_benchmark(url)
    done = run(["bash", "-c", here(command, url) + " --fail-with-body"], folder)
    words = shlex.split(command)
    answer = folder / words[words.index("-o") + 1] if "-o" in words else None
    check_answer(answer.read_bytes() if answer else done.stdout, answer.suffix if answer else ".json")


@pytest.mark.parametrize("code", [code for text in TEXTS.values() for code in blocks(text, "python")])
def test_python(code, url, folder):
    run([sys.executable, "-W", "error", "-c", here(code, url)], folder)
    for made in folder.glob("*.png"):
        check_answer(made.read_bytes(), made.suffix)


@pytest.mark.skipif(NODE is None, reason="needs node on the PATH")
@pytest.mark.parametrize("code", [code for text in TEXTS.values() for code in blocks(text, "js")])
def test_javascript(code, url, folder):
    (folder / "example.mjs").write_text(
        BROWSER + here(code, url) + '\nif (!/^(blob|data):/.test(image.src)) throw new Error("no picture");\n'
    )
    run([NODE, "--no-warnings", "example.mjs"], folder)


def test_there_is_something_to_run():
    assert len(curls(TEXTS["README.md"])) == 4
    for page in RUN[1:]:
        assert curls(TEXTS[page]), page


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", Path(page).read_text(encoding="utf-8")):
        path = Path(page).parent / target if target else Path(page)
        assert path.exists(), target
        assert not heading or heading in anchors(path.read_text(encoding="utf-8")), f"{target}#{heading}"


def anchors(text: str) -> list[str]:
    """What GitHub names the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
