"""How much one caller may ask: a token bucket for its rate, and a bound on what runs for it at once."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated

from pydantic import ConfigDict, Field

MOST_CALLERS = 10_000  # about 2 MB; the one that was silent longest is forgotten, which only favours it


@dataclass(frozen=True)
class Limits:
    """What one caller may ask; 0 is no limit."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # `app.keys` reads them from text

    rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0  # requests a second in the long run
    burst: Annotated[int, Field(ge=1)] = 1  # requests at once after a pause; counts only where there is a rate
    concurrency: Annotated[int, Field(ge=0)] = 0  # requests in flight, an open WebSocket being one


class TokenBucket:
    """Holds `burst` tokens when full and gains `rate` a second; a request takes one."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._updated = now

    def take(self, now: float) -> float:
        """Take one token. Returns 0, or the seconds until there is one."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._rate
        self._tokens -= 1
        return 0.0

    @property
    def left(self) -> int:
        """Requests that could come now."""
        return int(self._tokens)

    @property
    def seconds_to_full(self) -> int:
        """Whole seconds until a burst could come."""
        return math.ceil((self._burst - self._tokens) / self._rate)


class Buckets:
    """One bucket a caller, in bounded memory."""

    def __init__(self, most: int = MOST_CALLERS) -> None:
        self._most = most
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def of(self, caller: str, rate: float, burst: int) -> TokenBucket:
        """The caller's bucket; a full one if there is none."""
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = TokenBucket(rate, burst, time.monotonic())
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(caller)
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)


def network_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 of an IPv6 one, which one subscriber holds whole."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:  # how IPv4 clients look to a socket for both
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
