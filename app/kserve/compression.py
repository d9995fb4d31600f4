"""HTTP content codings gzip and deflate (RFC 9110, section 8.4.1), with a limit on what comes out."""

from __future__ import annotations

import zlib

from app.errors import BadInference, BodyTooLarge, UnsupportedMediaType

# zlib's wbits: a window of 2^15 bytes, plus 16 for gzip's header. HTTP's deflate is the zlib format (RFC 1950).
WINDOWS = {"gzip": 31, "deflate": 15}
LEVEL = 1  # a probability hardly compresses further at the higher ones, which take several times as long


def inflate(data: bytes, coding: str, limit: int) -> bytes:
    """Undo a request's Content-Encoding; never holds more than `limit` bytes of what comes out.

    Args:
        data: the body.
        coding: the header's value; empty or identity for none.
        limit: in bytes.

    Raises:
        UnsupportedMediaType: another coding.
        BodyTooLarge: more comes out; it is noticed as it does.
        BadInference: cut short, damaged, or followed by something else.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return data
    if coding not in WINDOWS:
        raise UnsupportedMediaType(f"Expected Content-Encoding gzip, deflate or none, got {coding!r}.")
    stream = zlib.decompressobj(WINDOWS[coding])
    try:
        inflated = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise BadInference(f"The body is not what Content-Encoding {coding} says: {error}") from error
    if len(inflated) > limit:
        raise BodyTooLarge(f"The body is longer than the limit of {limit} bytes once inflated: send fewer frames.")
    if not stream.eof or stream.unused_data:
        raise BadInference(f"The body is not one whole {coding} stream: send all of it and nothing after it.")
    return inflated


def deflate(data: bytes, coding: str) -> bytes:
    """Apply gzip or deflate."""
    stream = zlib.compressobj(LEVEL, wbits=WINDOWS[coding])
    return stream.compress(data) + stream.flush()


def choose(accepted: str) -> str | None:
    """The coding that an Accept-Encoding header likes best; None for none. Of equals gzip, the commoner one.

    No coding is always acceptable (RFC 9110, section 12.5.3), and liked best only where `identity` weighs more.
    """
    weights = dict(_weight(part) for part in accepted.lower().split(","))
    best = max((*WINDOWS, "identity"), key=lambda coding: weights.get(coding, 0.0))
    return best if best in WINDOWS and weights.get(best, 0.0) > 0 else None


def _weight(part: str) -> tuple[str, float]:
    coding, _, parameter = part.partition(";")
    name, _, value = parameter.partition("=")
    try:
        return coding.strip(), float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return coding.strip(), 0.0
