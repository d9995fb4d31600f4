"""Real input, damaged as files are damaged and as attackers damage them."""

from __future__ import annotations

import struct
from functools import reduce
from typing import Any

from hypothesis import strategies as st

# Where sizes, counts and offsets break: zero, the ends of the types, and one beside.
NUMBERS = [0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
WORDS = [
    struct.pack(form, number & mask)
    for number in NUMBERS
    for form, mask in (
        ("<B", 0xFF),
        ("<H", 0xFFFF),
        (">H", 0xFFFF),
        ("<I", 0xFFFFFFFF),
        (">I", 0xFFFFFFFF),
    )
]
MOST = 12  # mutations of one input

Place = st.floats(0, 1, exclude_max=True)  # in the input, whose length changes with each mutation
Mutation = st.one_of(
    st.tuples(st.just("flip"), Place, st.integers(0, 7)),
    st.tuples(st.just("write"), Place, st.sampled_from(WORDS) | st.binary(min_size=1, max_size=8)),
    st.tuples(st.just("insert"), Place, st.binary(min_size=1, max_size=16)),
    st.tuples(st.just("cut"), Place, st.just(0)),
    st.tuples(st.just("drop"), Place, st.integers(1, 64)),
    st.tuples(st.just("repeat"), Place, st.integers(1, 512)),
    st.tuples(st.just("swap"), Place, Place),
)  # fmt: skip


def swap(data: bytes, at: int, share: float) -> bytes:
    """The two ends change places around a middle."""
    start, end = sorted((at, int(share * len(data))))
    return data[end:] + data[start:end] + data[:start]


DO = {
    "flip": lambda data, at, bit: data[:at] + bytes(byte ^ 1 << bit for byte in data[at : at + 1]) + data[at + 1 :],
    "write": lambda data, at, word: data[:at] + word + data[at + len(word) :],
    "insert": lambda data, at, word: data[:at] + word + data[at:],
    "cut": lambda data, at, _: data[:at],
    "drop": lambda data, at, length: data[:at] + data[at + length :],
    "repeat": lambda data, at, length: data[: at + length] + data[at:],
    "swap": swap,
}


def mutate(data: bytes, mutation: tuple[str, float, Any]) -> bytes:
    """One mutation."""
    kind, share, what = mutation
    return DO[kind](data, int(share * len(data)), what)


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed, or the head of one with the tail of another, after some mutations."""
    data = draw(st.sampled_from(seeds))
    if draw(st.integers(0, 3)) == 0:
        other = draw(st.sampled_from(seeds))
        data = data[: int(draw(Place) * len(data))] + other[int(draw(Place) * len(other)) :]
    return reduce(mutate, draw(st.lists(Mutation, max_size=MOST)), data)
