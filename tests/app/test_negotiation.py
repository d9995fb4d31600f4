"""`Accept` headers, with the examples of RFC 9110, section 12.5.1."""

from __future__ import annotations

import pytest

from app.negotiation import best

OFFERS = ("image/png", "image/jpeg", "application/json")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("IMAGE/JPEG", "image/jpeg"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json, image/jpeg", "image/jpeg"),  # equal: the service's order
        ("image/jpeg;q=0.5, application/json;q=0.7", "application/json"),
        ("image/jpeg ; q=0.5 ,application/json;Q=0.7", "application/json"),
        ("image/*;q=0.3, application/json;q=0.2, */*;q=0.1", "image/png"),
        ("*/*, image/png;q=0.2, image/jpeg;q=0.9", "application/json"),  # the specific range decides
        ("image/*, image/png;q=0", "image/jpeg"),
        ("image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5", "image/png"),  # a browser's <img>
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "image/png"),  # a browser's page
        ('text/plain;note="a, image/jpeg", application/json', "application/json"),
        ("text/html, ,;,, application/json", "application/json"),
        ("text/html", None),
        ("*/*;q=0", None),
        ("image/*;q=0, application/*;q=0.0", None),
        ("image/png;q=high, image/jpeg;q=0.1", "image/jpeg"),
        ("image/png;q=high", None),
        ("image/png;q=nan, image/jpeg;q=7, application/json;q=-1", None),
    ],
)
def test_best(accept: str, expected: str | None) -> None:
    assert best(accept, OFFERS) == expected
