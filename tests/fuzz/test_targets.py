"""A few seconds of fuzzing; `python -m tests.fuzz` goes on for longer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.filterwarnings("ignore:::pydicom", "ignore:::PIL")


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_input_ends_in_a_clear_error(name: str) -> None:
    """The same inputs each time, so that the suite fails for what was changed and not by chance."""
    target = TARGETS[name]

    @settings(max_examples=target.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @seed(7)
    @given(mutated(target.seeds()))
    def check(data: bytes) -> None:
        target.read(data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str) -> None:
    """Else the mutations would only ever reach the first check."""
    target = TARGETS[name]
    assert "accepted" in {target.read(data) for data in target.seeds()}


PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhi\r\n--b--\r\n'


@pytest.mark.parametrize(("body", "outcome"), [(b"\r\n" + PART, "accepted"), (b"\njunk" + PART, "bad-body")])
def test_what_comes_before_the_first_boundary_counts_however_it_is_cut(body: bytes, outcome: str) -> None:
    assert TARGETS["form"].read(body) == outcome  # whole and in seven pieces
