import pytest
import torch

from pruning.colour import FLATTEST, transfer
from pruning.deploy import normalise
from tests.pruning.networks import spec

SIZE = 64


def picture(mean=(120, 90, 60), contrast=25.0, seed=0):
    """Float32 [1, 3, S, S] of blotches, larger than the pixels that are left out; none is black."""
    noise = torch.randn(1, 3, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(seed))
    blotches = torch.nn.functional.interpolate(noise, scale_factor=8)
    return (torch.tensor(mean).view(1, 3, 1, 1) + contrast * blotches).clamp(40, 250)


def moved(images, strength):
    gain, offset = transfer(images, strength)
    return images * gain + offset


def test_at_full_strength_lit_pixels_get_the_wanted_mean_and_contrast():
    """Those of Kvasir-SEG, which the graphs and checkpoints of published networks were made with."""
    found = moved(picture(), 1.0)
    assert found.mean((0, 2, 3)).tolist() == pytest.approx([169, 98, 72], abs=0.1)
    assert found.std((0, 2, 3), correction=0).tolist() == pytest.approx([53, 45, 40], abs=0.1)


def test_half_the_strength_is_half_way_in_the_mean_and_in_the_logarithm_of_contrast():
    image = picture()
    none, half, whole = (moved(image, strength) for strength in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, image)
    torch.testing.assert_close(half.mean((2, 3)), (image.mean((2, 3)) + whole.mean((2, 3))) / 2)
    torch.testing.assert_close(half.std((2, 3)), (image.std((2, 3)) * whole.std((2, 3))).sqrt())


def test_the_same_picture_in_another_light_comes_out_alike():
    image = picture()
    other = image * torch.tensor([0.8, 1.1, 0.9]).view(1, 3, 1, 1) + 10
    torch.testing.assert_close(moved(other, 1.0), moved(image, 1.0), rtol=1e-4, atol=1e-2)
    before, after = ((b - a).abs().mean() for a, b in ((image, other), (moved(image, 0.5), moved(other, 0.5))))
    assert after < 0.6 * before


def test_black_around_the_picture_changes_nothing_in_it():
    image = picture()
    framed = torch.zeros(1, 3, 2 * SIZE, 2 * SIZE)
    framed[..., :SIZE, :SIZE] = image
    for bare, bordered in zip(transfer(image, 0.5), transfer(framed, 0.5), strict=True):
        torch.testing.assert_close(bare, bordered, rtol=1e-3, atol=1e-2)


def test_frames_of_a_batch_do_not_see_each_other():
    one, two = picture(seed=1), picture(mean=(60, 60, 60), contrast=10.0, seed=2)
    both = normalise(torch.cat([one, two]), spec())
    torch.testing.assert_close(both, torch.cat([normalise(one, spec()), normalise(two, spec())]))


@pytest.mark.parametrize("value", [0, 31, 32, 255])
def test_a_flat_frame_stays_flat_and_finite(value):
    flat = torch.full((1, 3, SIZE, SIZE), float(value))
    gain, _ = transfer(flat, 0.5)
    assert gain.flatten().tolist() == pytest.approx([FLATTEST**-0.5] * 3, rel=1e-3)
    found = moved(flat, 0.5)
    assert torch.isfinite(found).all()
    assert found.std((2, 3)).max() < 1e-3


def test_without_transfer_bytes_are_only_scaled():
    image = picture().to(torch.uint8)
    plain = spec().model_copy(update={"colour_transfer": 0.0})
    assert torch.equal(normalise(image, plain), (image.float() - 127) / 128)
