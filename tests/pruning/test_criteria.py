import math

import pytest
import torch
from torch.nn import functional as F

from pruning.criteria import score
from pruning.data import Frames
from pruning.deploy import normalise
from pruning.errors import RecipeError
from pruning.gates import gated, ones, pixel_gated, removing
from pruning.grouping import find_groups
from pruning.groups import Group, Slot, filters
from pruning.taylor import effect, output_gradient
from tests.pruning.networks import SIZE, Residual, make, noise, prune_section, spec

SECTION = spec()


def run(network, section, frames=None, seed=0):
    return score(network, SECTION, find_groups(network, SIZE), frames or noise(4), section, seed)


def test_the_filters_of_a_depthwise_transposed_convolution():
    up = make("upwards").up
    assert torch.equal(filters(up, up.weight), up.weight.flatten(1))


def test_a_gate_of_ones_has_the_gradient_sum_of_x_times_dx():
    network = make("unet")
    groups = find_groups(network, SIZE)
    kept = {}
    norm = network.get_submodule("encoder.1.1")
    hook = norm.register_forward_hook(lambda _m, _i, o: kept.update(x=o.clone(), leaf=o.retain_grad() or o))
    gates = ones(network, groups, 2)
    frames = normalise(noise(2).images, SECTION)
    with gated(network, gates):
        logits = network(frames)
    seed = torch.randn_like(logits)
    found = torch.autograd.grad(logits, [gates["encoder.1.1"], kept["leaf"]], seed)
    hook.remove()
    torch.testing.assert_close(found[0], (kept["x"] * found[1]).sum((2, 3)), rtol=1e-4, atol=1e-5)


def test_taylor_predicts_the_change_of_a_linear_network_exactly():
    """With a fixed output gradient, removing a channel of a network that is linear in it changes <G, logits> by -E."""
    network = Residual().eval()
    (group,) = find_groups(network, SIZE)
    frames = noise(3)
    section = prune_section(criterion="taylor-signed", gradient="random")
    scores = run(network, section, frames)[group.name]
    gradient = output_gradient(
        torch.zeros(3, 1, SIZE, SIZE), frames.masks.float(), section, torch.Generator().manual_seed(0)
    )
    inputs = normalise(frames.images, SECTION)
    with torch.no_grad():
        dense = (gradient * network(inputs)).sum((1, 2, 3))
        for channel in range(4):
            with gated(network, removing(network, [group], {group.name: [channel]})):
                change = (gradient * network(inputs)).sum((1, 2, 3)) - dense
            assert change.mean().item() == pytest.approx(scores[channel].item(), rel=1e-4, abs=1e-6)


def test_abs_and_sq_are_taken_per_frame_before_the_mean():
    network, frames = make("unet"), noise(2)
    each = [run(network, prune_section(criterion="taylor-signed"), frames.subset(torch.tensor([i]))) for i in (0, 1)]
    absolute = run(network, prune_section(criterion="taylor-abs"), frames)
    square = run(network, prune_section(criterion="taylor-sq"), frames)
    for name, values in absolute.items():
        torch.testing.assert_close(values, (each[0][name].abs() + each[1][name].abs()) / 2, rtol=1e-4, atol=1e-9)
        torch.testing.assert_close(square[name], (each[0][name] ** 2 + each[1][name] ** 2) / 2, rtol=1e-3, atol=1e-12)


def test_the_score_does_not_depend_on_the_batch():
    network, frames = make("unet"), noise(5)
    groups, section = find_groups(network, SIZE), prune_section()
    one = score(network, SECTION, groups, frames, section, 0, batch=1)
    all_at_once = score(network, SECTION, groups, frames, section, 0, batch=5)
    for name in one:
        torch.testing.assert_close(one[name], all_at_once[name], rtol=1e-3, atol=1e-8)


def test_normalised_gradients_have_norm_1_for_each_frame_and_plain_ones_do_not():
    logits = torch.randn(3, 1, 16, 16) * torch.tensor([1.0, 10.0, 0.1])[:, None, None, None]
    masks = (torch.rand(3, 1, 16, 16) > torch.tensor([0.5, 0.5, 0.99])[:, None, None, None]).float()
    generator = torch.Generator().manual_seed(0)
    for settings in ({}, {"gradient": "random"}):
        gradient = output_gradient(logits, masks, prune_section(**settings), generator)
        torch.testing.assert_close(gradient.flatten(1).norm(dim=1), torch.ones(3))
    plain = output_gradient(logits, masks, prune_section(normalise_gradient=False), generator)
    assert plain.flatten(1).norm(dim=1).std() > 0.005


def test_the_plain_gradient_is_that_of_dice_plus_cross_entropy_summed_over_frames():
    logits = torch.randn(2, 1, 8, 8, requires_grad=True)
    masks = (torch.rand(2, 1, 8, 8) > 0.5).float()
    p = torch.sigmoid(logits)
    overlap, total = (p * masks).sum((1, 2, 3)), p.sum((1, 2, 3)) + masks.sum((1, 2, 3))
    dice = 1 - (2 * overlap + 1e-5) / (total + 1e-5)
    entropy = F.binary_cross_entropy_with_logits(logits, masks, reduction="none").mean((1, 2, 3))
    (expected,) = torch.autograd.grad((dice + entropy).sum(), logits)
    section = prune_section(normalise_gradient=False)
    found = output_gradient(logits.detach(), masks, section, torch.Generator())
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_a_random_gradient_needs_no_labels():
    network, frames = make("unet"), noise(4)
    blank = Frames(frames.images, torch.zeros_like(frames.masks), frames.stems)
    section = prune_section(gradient="random")
    with_labels, without = run(network, section, frames), run(network, section, blank)
    assert all(torch.equal(with_labels[name], without[name]) for name in with_labels)


def pixel_effects(network, layer, frames, gradient):
    """x·δx of every pixel of a layer's output, from what it put out and the gradient that came back."""
    kept = {}
    hook = network.get_submodule(layer).register_forward_hook(lambda _m, _i, o: kept.update(x=o) or o.clone())
    logits = network(normalise(frames.images, SECTION))
    hook.remove()
    (back,) = torch.autograd.grad(logits, kept["x"], gradient(logits))
    return (kept["x"] * back).detach().double()


def test_per_pixel_the_absolute_value_is_taken_before_the_sum():
    network, frames = make("unet"), noise(3)
    section = prune_section(reduction="pixel")
    effects = pixel_effects(
        network, "encoder.1.1", frames, lambda logits: output_gradient(logits, frames.masks.float(), section, None)
    )
    found = run(network, section, frames)["encoder.1.0"]
    torch.testing.assert_close(found, effects.abs().sum((2, 3)).mean(0), rtol=1e-4, atol=1e-9)
    square = run(network, prune_section(criterion="taylor-sq", reduction="pixel"), frames)["encoder.1.0"]
    torch.testing.assert_close(square, effects.square().sum((2, 3)).mean(0), rtol=1e-4, atol=1e-12)


def test_a_layer_that_runs_twice_has_the_effects_of_both_runs():
    network, frames, section = make("twice in a row"), noise(2), prune_section(criterion="taylor-signed")
    per_image = run(network, section, frames)
    groups = find_groups(network, SIZE)
    with pixel_gated(network, groups) as gates:
        logits = network(normalise(frames.images, SECTION))
    gradient = output_gradient(logits, frames.masks.float(), section, None)
    effects = dict(zip(gates, torch.autograd.grad(logits, list(gates.values()), gradient), strict=True))
    for group in groups:
        (pixels,) = effect(group, effects)
        torch.testing.assert_close(-pixels.sum(2).mean(0), per_image[group.name], rtol=1e-4, atol=1e-9)


def test_per_pixel_a_layer_that_runs_on_two_sizes_is_refused():
    with pytest.raises(RecipeError, match="shared runs on planes of several sizes"):
        run(make("on two levels"), prune_section(reduction="pixel"))


def test_per_pixel_members_are_summed_where_their_planes_agree_and_counted_apart_where_not():
    group = Group("a", 2, (), (), (), tuple(Slot(layer, (0, 1), (0, 1)) for layer in ("a", "b", "half")))
    effects = {"a": torch.randn(3, 2, 4, 4), "b": torch.randn(3, 2, 4, 4), "half": torch.randn(3, 2, 2, 2)}
    full, half = effect(group, effects)
    torch.testing.assert_close(full, (effects["a"] + effects["b"]).double().flatten(2))
    torch.testing.assert_close(half, effects["half"].double().flatten(2))


def test_taylor_of_weights_is_the_square_of_what_scaling_a_filter_changes_in_evaluation_mode():
    """Σ w·∂w is the derivative by a factor on the filter, which the batch norm of another mode would undo."""
    network, frames = make("unet"), noise(4)
    section = prune_section(criterion="taylor-weight", normalise_gradient=False)
    found = score(network, SECTION, find_groups(network, SIZE), frames, section, 0, batch=2)["encoder.1.0"]
    expected = torch.zeros_like(found)
    for part in frames.batches(2):
        effects = pixel_effects(
            network, "encoder.1.0", part, lambda logits, p=part: output_gradient(logits, p.masks.float(), section, None)
        )
        expected += effects.sum((0, 2, 3)).div(2).square() / 2
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-12)
    assert found.max() > 0


def test_l1_is_the_mean_magnitude_of_the_filter():
    network = Residual().eval()
    (group,) = find_groups(network, SIZE)
    expected = (network.a.weight.abs().mean((1, 2, 3)) + network.b.weight.abs().mean((1, 2, 3))) / 2
    torch.testing.assert_close(run(network, prune_section(criterion="l1"))[group.name], expected.double().detach())


def test_bn_gamma_keeps_channels_without_a_batch_norm():
    network = make("unet")
    scores = run(network, prune_section(criterion="bn-gamma"))
    assert all(math.isinf(value) for value in scores["up.0"].tolist())
    torch.testing.assert_close(
        scores["encoder.0.0"], network.get_submodule("encoder.0.1").weight.abs().double().detach()
    )


def test_random_scores_repeat_with_their_seed():
    network, section = make("unet"), prune_section(criterion="random")
    first, again, other = (run(network, section, seed=seed)["encoder.0.0"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
