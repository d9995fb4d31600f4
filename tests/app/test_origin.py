"""Which pages may open a stream."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.routes.origin import is_same
from tests.app.guarded import USER, guarded, key
from tests.conftest import Serve


def opens(client: httpx.Client, origin: str | None, headers: dict[str, str] | None = None) -> int:
    """The status of the handshake."""
    url = str(client.base_url).replace("http", "ws", 1) + "/v1/stream"
    try:
        with connect(url, origin=origin, additional_headers=headers, open_timeout=30, proxy=None):  # type: ignore[arg-type]
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "http://127.0.0.1", "null", "x"])
def test_foreign_pages_open_no_stream(client: httpx.Client, origin: str) -> None:
    assert opens(client, origin) == 403


def test_foreign_pages_are_not_let_in_by_a_key_that_nobody_checks(client: httpx.Client) -> None:
    assert opens(client, "https://evil.example", key("x" * 40)) == 403


def test_own_page_and_other_programs_do(client: httpx.Client) -> None:
    assert opens(client, str(client.base_url).rstrip("/")) == 101
    assert opens(client, None) == 101


@pytest.mark.parametrize(
    ("origins", "status"), [("https://a.example, https://b.example", 101), ("*", 101), (None, 403)]
)
def test_pages_that_cors_allows_do(serve: Serve, origins: str | None, status: int) -> None:
    assert opens(serve(cors_origins=origins), "https://b.example") == status


def test_a_key_opens_from_anywhere(tmp_path: Path, models_dir: Path) -> None:
    with guarded(tmp_path, models_dir) as client:
        assert opens(client, "https://evil.example", key(USER)) == 101
        assert opens(client, "https://evil.example") == 401


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("https://a.example", "a.example", True),
        ("https://a.example", "a.example:443", True),
        ("https://A.example:8443", "a.example:8443", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://a.example", "a.example:80", False),
        ("https://a.example", "b.a.example", False),
        ("https://a.example.evil.example", "a.example", False),
        ("https://", "", False),
        ("null", "null", False),
        ("file://", "", False),
        ("https://a:99999", "a:99999", False),
        ("https://[", "[", False),
    ],
)
def test_same_origin(origin: str, host: str, same: bool) -> None:
    assert is_same(origin, host) is same
