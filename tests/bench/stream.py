"""Latency of `WS /v1/stream` at the rates of cameras: python -m tests.bench.stream

Starts the service as its own process and offers frames at fixed rates, one rate after the other. A round trip
counts from before a frame is sent until its answer is read. The rates take turns for some rounds, so that
another load on the machine falls on all of them.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import numpy as np

from app import machine, registry
from app.client import session
from app.message import Failure, Header
from tests.bench.serving import service
from tests.synthetic import colonoscopy, encode

WARM_UP = 20  # frames


@dataclass
class Figures:
    """Of one rate, over all rounds; seconds by round."""

    offered: int = 0
    answered: int = 0
    dropped: int = 0
    rounds: list[list[float]] = field(default_factory=list)
    last: Header | None = None  # of the round

    def begin(self, frames: int) -> None:
        """Another round of so many frames."""
        self.offered += frames
        self.rounds.append([])
        self.last = None

    def answered_one(self, header: Header, seconds: float) -> None:
        """A frame came back."""
        self.rounds[-1].append(seconds)
        self.last = header

    def end(self) -> None:
        """Take over the service's own counts."""
        if self.last is None:
            raise RuntimeError("No frame of a whole round was answered: is the service overloaded?")
        self.answered += self.last.answered
        self.dropped += self.last.dropped


class Watch:
    """Hands answers to the figures of the rate that has its turn."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def answered(self, header: Header, _payload: bytes, seconds: float) -> None:
        """Note the round trip."""
        self._figures.answered_one(header, seconds)

    def failed(self, failure: Failure) -> None:
        """Never with a good frame."""
        raise RuntimeError(failure.error["detail"])


def offer(url: str, data: bytes, rate: float, seconds: float, figures: Figures) -> None:
    """One round at one rate."""
    count = max(1, round(rate * seconds))
    figures.begin(count)
    frames: Iterator[bytes] = repeat(data, count)
    asyncio.run(session.run(url, frames, Watch(figures), rate=rate, key=None))
    figures.end()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", help="name or name/version; the default model otherwise")
    parser.add_argument("--rates", type=float, nargs="+", default=[25, 30, 60], help="frames a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="per rate and round")
    options = parser.parse_args()
    data = encode(colonoscopy(512, 640), "JPEG", quality=90)
    model = registry.scan(options.models, threads=1, preference="cpu").resolve(options.model)
    figures = {rate: Figures() for rate in options.rates}
    with service(options.models, model.id) as server:
        url = session.stream_url(f"ws://127.0.0.1:{server.port}")
        offer(url, data, WARM_UP, 1, Figures())
        for _ in range(options.rounds):
            for rate in options.rates:
                offer(url, data, rate, options.seconds, figures[rate])
    print(machine.describe().model_dump_json())
    print(f"{model.id}; JPEG of 640 x 512, {len(data)} bytes; {options.rounds} rounds, {options.seconds} s a rate")
    show(figures)


def show(figures: dict[float, Figures]) -> None:
    """Print a line a rate, with the spread of the median over the rounds."""
    for rate, of in figures.items():
        p50, p95 = np.percentile(np.concatenate(of.rounds), [50, 95]) * 1e3
        medians = [np.median(seconds) * 1e3 for seconds in of.rounds]
        print(
            f"{rate:g} frames/s: offered {of.offered}, answered {of.answered}, dropped {of.dropped}; "
            f"round trip p50 {p50:.1f} ms (rounds {min(medians):.1f} to {max(medians):.1f}), p95 {p95:.1f} ms"
        )


if __name__ == "__main__":
    main()
