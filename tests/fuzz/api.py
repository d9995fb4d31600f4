"""Schemathesis over the OpenAPI document: what each operation answers has to be what it documents, and never a 500.

python -m tests.fuzz.api --minutes 10
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, BaseSchema, Case, CheckContext, GenerationMode, Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.settings import Settings
from tests.conftest import running
from tests.fuzz.mutations import mutated
from tests.fuzz.seeds import pictures
from tests.synthetic import write_pair


def never_a_bug(_context: CheckContext, response: Response, _case: Case) -> None:
    """503 is an answer: with `X-Deadline-Ms: 0.001`, say. 500 is a bug."""
    assert response.status_code != 500, "a bug"


CHECKS = [
    never_a_bug,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Schemathesis makes bytes at random for these, which would never get past the first check.
FRAMES = ("image/*", "application/dicom", "application/octet-stream")
MODEL = {"name": "red-dense", "version": "1"}  # which no name made at random is
TIMEOUT = 60  # seconds: what takes longer hangs


@contextmanager
def served() -> Iterator[tuple[BaseSchema, str]]:
    """The document of a service whose models anybody may control, and its address."""
    with tempfile.TemporaryDirectory() as folder:
        models = write_pair(Path(folder))
        with running(Settings(models_dir=models, model_control="open", benchmark_max_iterations=4)) as client:
            url = str(client.base_url).rstrip("/")
            yield schemathesis.openapi.from_dict(client.get("/openapi.json").json()), url


def operations(schema: BaseSchema) -> list[APIOperation]:
    """All that the document holds."""
    return [result.ok() for result in schema.get_all_operations()]


def attack(operation: APIOperation, url: str, *, examples: int, number: int, until: float) -> Counter[int]:
    """Send requests that fit the document and requests that do not; how many had which status.

    Raises:
        AssertionError: of Schemathesis, with the request that shows it.
    """
    statuses: Counter[int] = Counter()
    httpx.post(f"{url}/v1/models/{MODEL['name']}/load", timeout=TIMEOUT).raise_for_status()  # if it was unloaded
    cases = st.one_of(operation.as_strategy(mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE))

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @seed(number)
    @given(cases, mutated(pictures()), st.booleans())
    def check(case: Case, frame: bytes, known: bool) -> None:
        if time.monotonic() < until:
            if known:
                case.path_parameters.update({key: MODEL[key] for key in case.path_parameters if key in MODEL})
            statuses[send(case, frame, url)] += 1

    check()
    return statuses


def send(case: Case, frame: bytes, url: str) -> int:
    """One request, checked; the status of its answer."""
    if case.media_type in FRAMES:
        case.body = frame
    response = case.call(base_url=url, timeout=TIMEOUT)
    case.validate_response(response, checks=CHECKS)
    return response.status_code


def main() -> None:
    """`python -m tests.fuzz.api [--minutes N] [--seed N]`."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.api", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    asked = parser.parse_args()
    number, until = asked.seed, time.monotonic() + 60 * asked.minutes
    print(f"seed {asked.seed}", flush=True)
    statuses: dict[str, Counter[int]] = {}
    with served() as (schema, url):
        while time.monotonic() < until:
            for operation in operations(schema):
                number += 1
                found = attack(operation, url, examples=50, number=number, until=until)
                statuses.setdefault(operation.label, Counter()).update(found)
    for label, counts in statuses.items():
        print(f"{label}: {counts.total()} requests: " + ", ".join(f"{n} x {code}" for code, n in counts.most_common()))


if __name__ == "__main__":
    main()
