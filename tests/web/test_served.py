"""The page's files: types, caching, policy, and nothing beside the folder."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve

FOLDER = Path("app/web")
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_every_file_has_its_type_and_is_asked_for_again(client: httpx.Client, path: Path) -> None:
    first = client.get(f"/web/{path.name}")
    assert first.status_code == 200
    assert first.content == path.read_bytes()
    assert first.headers["content-type"].split(";")[0] == TYPES[path.suffix]
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["x-content-type-options"] == "nosniff"
    again = client.get(f"/web/{path.name}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["cache-control"] == "no-cache"


def test_the_page_is_at_the_root(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.content == (FOLDER / "index.html").read_bytes()
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    head = client.head("/")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path", ["/web/", "/web/absent.js", "/web/%2e%2e/main.py", "/web/..%2fmain.py", "/web//etc/passwd"]
)
def test_nothing_else_is_there(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_needs_no_model(serve: Serve, tmp_path: Path) -> None:
    assert serve(models_dir=tmp_path).get("/").status_code == 200


def test_nothing_comes_from_elsewhere_and_nothing_is_inline() -> None:
    for path in FOLDER.iterdir():
        if path.suffix in (".html", ".css", ".js"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"https?://|@import", text), path
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*src=)", page)


def test_each_module_fits_in_two_screens() -> None:
    for path in FOLDER.glob("*.js"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 220, path
