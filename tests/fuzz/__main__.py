"""Fuzz for minutes or hours: counts what came of the inputs, and watches the memory."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS, Target

ROUND = 500  # inputs of one target before the next has its turn


def resident() -> int:
    """Bytes in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def turn(target: Target, number: int, outcomes: Counter[str], until: float) -> None:
    """One round. Raises what the target raises, with the smallest input that makes it."""

    @settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @seed(number)
    @given(mutated(target.seeds()))
    def check(data: bytes) -> None:
        if time.monotonic() < until:
            outcomes[target.read(data)] += 1

    check()


def main() -> None:
    """`python -m tests.fuzz [--minutes N] [--seed N] [TARGET ...]`."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="all where none is named")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    names = asked.targets or list(TARGETS)
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names}
    until = time.monotonic() + 60 * asked.minutes
    print(f"seed {asked.seed}", flush=True)
    number = asked.seed
    while time.monotonic() < until:
        for name in names:
            number += 1
            turn(TARGETS[name], number, outcomes[name], until)
        print(f"{sum(map(Counter.total, outcomes.values()))} inputs, {resident() / 2**20:.0f} MiB", flush=True)
    for name, counts in outcomes.items():
        print(f"{name}: {counts.total()} inputs: " + ", ".join(f"{n} {what}" for what, n in counts.most_common()))


if __name__ == "__main__":
    sys.exit(main())
