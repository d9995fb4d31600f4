"""The service and other servers of the same ONNX file, in one run: python -m tests.bench.peers

LitServe, BentoML, MLServer and Triton's binary, each in an environment of its own that is made on first use, get the
same JPEG and give the same mask (checked first), under the same load (wrk). They run side by side on 127.0.0.1 and take
turns, in another order each round, with loops that have no server: the raw network with one thread a core, which is
the limit; the network with all cores on one frame; and the peers' pipeline without a server. A peer that cannot be
installed, does not start or gives another mask is left out, and named.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from app import machine, registry
from app.model import Model
from tests.bench.peers.contestant import Contestant, Loop
from tests.bench.peers.lineup import Lineup
from tests.bench.peers.peer import PEERS
from tests.bench.peers.pipeline import Pipeline, Task
from tests.bench.peers.table import Turn, entries, markdown, rows
from tests.bench.serving import raw_run
from tests.synthetic import colonoscopy, encode

CONNECTIONS = (1, 4, 16)
RAW = "raw loop, one thread a core"
HEIGHT, WIDTH = 512, 640


def main() -> None:
    """Measure, print and write."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with us
    if shutil.which("wrk") is None:
        sys.exit("The load generator is missing: apt-get install wrk")
    model = registry.scan(options.models, threads=1, preference="cpu").resolve(options.model)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lineup, loops = prepare(model, options, folder, stack)
        turns = measure([*loops, *lineup.served], options.rounds, options.seconds)
    setup = f"{model.id}; JPEG of {WIDTH} x {HEIGHT}; {options.rounds} rounds, {options.seconds} s a turn; wrk"
    show(lineup, turns, setup)
    write(options.json, lineup, turns, setup)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--model", help="name or name/version; the default model otherwise")
    names = [peer.name for peer in PEERS]
    parser.add_argument("--peers", nargs="*", choices=names, default=names, help="all of them otherwise")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="per turn")
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path.home() / ".cache" / "polyprune" / "peers",
        help="folder in which the peers' environments are made and kept",
    )
    parser.add_argument("--json", type=Path, help="file for all figures")
    return parser.parse_args()


def prepare(model: Model, options: argparse.Namespace, folder: Path, stack: ExitStack) -> tuple[Lineup, list[Loop]]:
    """The servers, started, and the loops without one."""
    body = folder / "frame.jpg"
    body.write_bytes(encode(colonoscopy(HEIGHT, WIDTH), "JPEG", quality=90))
    spec = model.manifest.input
    graph = str((model.folder / "model.onnx").resolve())
    task = Task(graph, spec.height, spec.width, HEIGHT, WIDTH, model.manifest.threshold, machine.cores())
    lineup = Lineup(model, options.models, task, body, folder, stack)
    for peer in PEERS:
        if peer.name in options.peers:
            print(f"{peer.name} ...", file=sys.stderr)
            lineup.try_to_add(peer, options.environments)
    return lineup, loops(model, task, body.read_bytes())


def loops(model: Model, task: Task, data: bytes) -> list[Loop]:
    """What there is without a server: the limits, and the peers' pipeline."""
    pipeline = Pipeline(task)
    return [
        Loop(RAW, raw_run(model, 1), machine.cores()),
        Loop("raw loop, all cores on one frame", raw_run(model, machine.cores()), 1),
        Loop("the peers' pipeline without a server", lambda: pipeline(data), machine.cores()),
    ]


def measure(contestants: Sequence[Contestant], rounds: int, seconds: int) -> list[Turn]:
    """Turns of all with each number of clients; in each round another begins."""
    total = rounds * len(CONNECTIONS) * len(contestants) * seconds
    print(f"Measuring for about {total} s ...", file=sys.stderr)
    turns = []
    for number in range(rounds):
        first = number % len(contestants)
        for connections in CONNECTIONS:
            for contestant in (*contestants[first:], *contestants[:first]):
                turns.append(Turn(contestant.name, number, connections, contestant.load(connections, seconds)))
    return turns


def show(lineup: Lineup, turns: Sequence[Turn], setup: str) -> None:
    """Print what was measured, on what, and the tables."""
    print(machine.describe().model_dump_json())
    print(f"{setup}\n")
    print(entries(lineup.entries))
    for name, reason in lineup.left_out.items():
        print(f"\n{name} is left out. {reason}")
    print(f"\n{markdown(rows(turns, RAW))}")


def write(path: Path | None, lineup: Lineup, turns: Sequence[Turn], setup: str) -> None:
    """All figures, for whoever wants to work with them."""
    if path is None:
        return
    figures = {
        "machine": machine.describe().model_dump(),
        "setup": setup,
        "servers": [asdict(entry) for entry in lineup.entries],
        "left_out": lineup.left_out,
        "rows": [asdict(row) for row in rows(turns, RAW)],
        "turns": [asdict(turn) for turn in turns],
    }
    path.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
