"""Every operation of the OpenAPI document, a few requests each; `python -m tests.fuzz.api` goes on for longer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from schemathesis import BaseSchema

from tests.fuzz.api import attack, operations, served

EXAMPLES = 6

pytestmark = pytest.mark.filterwarnings("ignore:::(schemathesis|PIL|requests|pydicom)")


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[BaseSchema, str]]:
    with served() as found:
        yield found


def test_answers_are_those_that_are_documented(service: tuple[BaseSchema, str]) -> None:
    schema, url = service
    found = operations(schema)
    assert len(found) > 20
    for operation in found:
        assert attack(operation, url, examples=EXAMPLES, number=7, until=math.inf)
