"""Which media type to answer with, by the request's `Accept` header (RFC 9110, section 12.5.1).

Written here since it is short: neither Starlette nor what it needs reads the header.
"""

from __future__ import annotations

from collections.abc import Iterable
from email.message import Message
from functools import lru_cache
from math import isfinite
from urllib.request import parse_http_list  # splits at commas outside of quotes

Range = tuple[str, float]  # such as ("image/*", 0.8)


@lru_cache(maxsize=64)
def best(accept: str, offers: tuple[str, ...]) -> str | None:
    """The offer with the highest q-value, of equal ones the first; None where all are ruled out.

    The most specific range decides about an offer: `image/*, image/png;q=0` takes any picture but a PNG.
    Parameters other than q are not compared. An empty header accepts everything.
    """
    ranges = list(_ranges(accept)) or [("*/*", 1.0)]
    quality, offer = max(((_quality(offer, ranges), offer) for offer in offers), key=lambda pair: pair[0])
    return offer if quality > 0 else None


def _quality(offer: str, ranges: Iterable[Range]) -> float:
    levels = dict(ranges)
    for pattern in (offer, f"{offer.split('/', maxsplit=1)[0]}/*", "*/*"):
        if pattern in levels:
            return levels[pattern]
    return 0.0


def _ranges(accept: str) -> Iterable[Range]:
    for entry in parse_http_list(accept):
        header = Message()
        header["Content-Type"] = entry
        yield header.get_content_type(), _level(header.get_param("q", "1"))


def _level(text: object) -> float:
    """A q-value; a malformed one counts 0, so that it cannot win."""
    try:
        level = float(str(text))
    except ValueError:
        return 0.0
    return level if isfinite(level) and 0 <= level <= 1 else 0.0
