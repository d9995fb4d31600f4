import pytest
import torch
from monai.networks.nets import BasicUNet, FlexibleUNet, SegResNet
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from pruning.errors import RecipeError, UnprunableError
from pruning.grouping import find_groups
from tests.pruning.networks import BASIC_UNET, SIZE, Detached, Halves, Residual, Shared, Through, Weighed, conv, make


def test_a_residual_sum_is_one_group_with_two_writers():
    (group,) = find_groups(Residual(), SIZE)
    assert group.width == 4
    assert {slot.layer for slot in group.writers} == {"a", "b"}
    assert {slot.layer for slot in group.readers} == {"head"}
    assert {slot.layer for slot in group.gates} == {"norm_a", "b"}  # b has no batch norm: gated itself


def test_the_output_is_never_pruned():
    groups = find_groups(make("unet"), SIZE)
    assert all("head" not in {slot.layer for slot in group.writers} for group in groups)


def test_a_skip_connection_lies_behind_an_offset_in_its_reader():
    groups = {group.name: group for group in find_groups(make("unet"), SIZE)}
    up = groups["up.3"]
    (reader,) = [slot for slot in up.readers if slot.layer == "decoder.3.0"]
    assert reader.channels == tuple(range(8, 16))  # torch.cat([skip, up]): the eight channels of skip come first
    assert reader.roots == tuple(range(8))


def test_protected_layers_keep_every_channel():
    names = {group.name for group in find_groups(make("unet"), SIZE, protect=("decoder.3", "encoder.0.0"))}
    assert "encoder.0.0" not in names
    assert not any(name.startswith("decoder.3.") for name in names)
    assert "encoder.0.3" in names


def test_a_protected_name_that_fits_no_layer_is_an_error():
    with pytest.raises(RecipeError, match="'decoder9', which fits no layer"):
        find_groups(make("unet"), SIZE, protect=("decoder9",))


def test_a_protected_name_is_a_whole_part_of_a_path():
    network = nn.Sequential(*(nn.Conv2d(3 if number == 0 else 4, 4, 1) for number in range(12)), nn.Conv2d(4, 1, 1))
    names = {group.name for group in find_groups(network, SIZE, protect=("1",))}
    assert names == {str(number) for number in range(12) if number != 1}


def head(*layers):
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), *layers, nn.Conv2d(8, 1, 1))


def test_an_attention_map_is_no_partner_of_the_channels_that_it_weighs():
    groups = {group.name: group for group in find_groups(make("AttentionUnet"), SIZE)}
    up = groups["model.1.upconv.up.conv"]
    assert [slot.layer for slot in up.writers] == ["model.1.upconv.up.conv"]
    (merge,) = [slot for slot in up.readers if slot.layer == "model.1.merge.conv"]
    assert merge.channels == tuple(range(16, 32))  # torch.cat((attended, up)): sixteen attended channels come first


def test_what_squeeze_and_excitation_scales_by_has_no_gate_of_its_own():
    """Its sigmoid multiplies the other members, which are zero when the group is masked."""
    gates = {slot.layer for group in find_groups(make("FlexibleUNet"), SIZE) for slot in group.gates}
    assert "encoder._blocks.0.0._bn1" in gates
    assert not any("_se_expand" in layer for layer in gates)


@pytest.mark.parametrize("factor", [nn.Sigmoid(), nn.Hardsigmoid()])
@pytest.mark.parametrize("norm", [False, True])
def test_what_any_sigmoid_makes_a_factor_has_no_gate(factor, norm):
    (group,) = find_groups(Weighed(factor, norm), SIZE)
    assert {slot.layer for slot in group.writers} == {"a", "weigh"}
    assert {slot.layer for slot in group.norms} == ({"norm"} if norm else set())
    assert {slot.layer for slot in group.gates} == {"a"}


def test_parts_of_a_concatenation_that_a_depthwise_layer_reads_are_groups_of_their_own():
    groups = {group.name: group for group in find_groups(make("separable"), SIZE)}
    assert {name: group.width for name, group in groups.items()} == {"a": 16, "b": 8}
    for slots in (groups["b"].writers, groups["b"].norms, groups["b"].readers):
        behind = [slot for slot in slots if slot.layer != "b"]
        assert [(slot.channels, slot.roots) for slot in behind] == [(tuple(range(16, 24)), tuple(range(8)))]


def test_a_convolution_that_is_read_beside_its_batch_norm_is_gated_too():
    """SegResNet normalises before it convolves: a sum that goes round the batch norm must be masked as well."""
    gates = {slot.layer for group in find_groups(make("SegResNet"), SIZE) for slot in group.gates}
    assert {"convInit.conv", "down_layers.0.1.norm1"} <= gates


def test_one_slope_for_all_channels_is_left_as_it_is():
    (group,) = find_groups(head(nn.PReLU()), SIZE)
    assert group.width == 8


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (head(nn.PReLU(8)), r"1 \(PReLU\)"),
        (head(nn.GroupNorm(4, 8)), r"1 \(GroupNorm\)"),
        (head(nn.InstanceNorm2d(8, affine=True)), "1: affine instance norm"),
        (head(nn.Conv2d(8, 8, 3, padding=1, groups=2)), "1: 2 groups"),
        (nn.Sequential(conv(3, 16), nn.ConvTranspose2d(16, 16, 2, 2, groups=4), conv(16, 1)), "1: 4 groups"),
        (nn.Sequential(conv(3, 16), nn.Conv2d(16, 8, 1, groups=8), conv(8, 1)), "1: 8 groups"),
        (Halves(nn.Sigmoid()), "^a: "),
        (Halves(nn.Identity()), "^a: "),
        (Through(lambda a, b: (a + b).flip(1), 8), "^a: .* with them masked"),
        (Through(lambda a, b: sum((a + b).chunk(2, 1)), 4), "^a: .* with them masked"),
        (Through(lambda a, b: torch.cat([a, b], 1)[:, :12], 12), "with them masked"),
        (Through(lambda a, b: nn.functional.pixel_shuffle(a + b, 2), 2), "^a: .* with them masked"),
        (Shared(), "b: it shares a parameter with a"),
        (head(weight_norm(conv(8, 8))), "1: its weight is computed from others"),
        (Detached(), "shortcut: it runs, but no gradient reaches it"),
        (SegResNet(2, 8, 3, 1), r"down_layers\.0\.1\.norm1 \(GroupNorm\)"),
        (BasicUNet(**{**BASIC_UNET, "norm": ("instance", {"affine": True})}), "affine instance norm"),
        (FlexibleUNet(3, 1, "resnet18", pretrained=False, spatial_dims=2), "with them masked"),
    ],
)
def test_what_cannot_be_pruned_rightly_is_refused_by_name(network, message):
    torch.manual_seed(0)
    with pytest.raises(UnprunableError, match=message):
        find_groups(network, SIZE)


@pytest.mark.parametrize(
    "function", [lambda a: a.softmax(1), lambda a: a.flip(1), lambda a: a - a.mean(1, keepdim=True)]
)
def test_what_is_protected_need_not_be_removable(function):
    torch.manual_seed(0)
    network = Through(lambda a, b: torch.cat([function(a), b], 1), 16)
    with pytest.raises(UnprunableError, match=r"^a: .*name it in prune\.protect"):
        find_groups(network, SIZE)
    (group,) = find_groups(network, SIZE, ("a",))
    assert group.name == "b"


def test_a_slope_has_no_channels_that_a_concatenation_could_count():
    network = Through(lambda a, b: torch.cat([nn.functional.prelu(a, network.slope), b], 1), 16)
    network.slope = nn.Parameter(torch.tensor([0.25]))
    assert {group.name: group.width for group in find_groups(network, SIZE)} == {"a": 8, "b": 8}


@pytest.mark.parametrize("protected", ["encoder.1.1", "encoder.1"])
def test_protecting_a_batch_norm_protects_what_it_normalises(protected):
    names = {group.name for group in find_groups(make("unet"), 64, protect=(protected,))}
    assert "encoder.1.0" not in names
    assert "encoder.2.0" in names
