import pytest

from pruning.bf16 import has_instructions


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({"avx2": True, "avx512_f": False, "avx512_bf16": False, "amx_bf16": False}, False),  # AMD Zen 3
        ({"avx512_f": True, "avx512_vnni": True, "avx512_bf16": False, "amx_bf16": False}, False),  # Intel Ice Lake
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, True),  # AMD Zen 4
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": True}, True),  # Intel Sapphire Rapids
        ({"neon": True, "bf16": True}, False),
    ],
)
def test_what_a_processor_says_of_itself(capabilities, native):
    assert has_instructions(capabilities) == native
