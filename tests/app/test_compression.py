"""Content codings: what comes in inflated and within a limit, what goes out."""

from __future__ import annotations

import gzip
import zlib

import pytest

from app.errors import BadInference, BodyTooLarge, UnsupportedMediaType
from app.kserve.compression import choose, deflate, inflate

DATA = b"frame " * 1000
PACK = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("coding", ["gzip", "deflate", " GZip "])
def test_inflates_up_to_the_limit(coding: str) -> None:
    packed = PACK[coding.strip().lower()](DATA)
    assert inflate(packed, coding, len(DATA)) == DATA
    with pytest.raises(BodyTooLarge, match="5999 bytes"):
        inflate(packed, coding, len(DATA) - 1)


@pytest.mark.parametrize("coding", ["", "identity"])
def test_leaves_alone_what_is_not_packed(coding: str) -> None:
    assert inflate(DATA, coding, 1) == DATA  # its length was checked as it came in


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "x"])
def test_other_codings_are_refused(coding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="Content-Encoding"):
        inflate(DATA, coding, 10_000)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d + b"x", lambda d: d[:-5] + b"wrong", lambda _: b""])
def test_damage_is_refused(coding: str, damage: object) -> None:
    assert callable(damage)
    with pytest.raises(BadInference):
        inflate(damage(PACK[coding](DATA)), coding, 10_000)


def test_what_goes_out_is_what_the_headers_say() -> None:
    assert gzip.decompress(deflate(DATA, "gzip")) == DATA
    assert zlib.decompress(deflate(DATA, "deflate")) == DATA


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("", None),
        ("identity", None),
        ("br, zstd", None),
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("GZIP;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0, deflate ; q=0.1", "deflate"),
        ("gzip;q=nonsense", None),
        ("gzip;q=0.1, identity", None),
        ("identity, gzip", "gzip"),
        ("identity;q=0.5, deflate;q=0.6", "deflate"),
        ("identity;q=0, gzip;q=0", None),
    ],
)
def test_choice_of_the_answers_coding(accepted: str, expected: str | None) -> None:
    assert choose(accepted) == expected
