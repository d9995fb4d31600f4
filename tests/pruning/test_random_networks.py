"""Networks put together at random from blocks that people use: what is removed is what was masked, and what it costs.

Some are refused, as those with a depthwise layer behind a concatenation of channels with their like: then the layer
that is named keeps its channels, and the rest can be pruned.
"""

import copy
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pruning.cost import CostModel, count_macs, count_parameters, parameters
from pruning.errors import UnprunableError
from pruning.gates import gated, removing
from pruning.grouping import find_groups
from pruning.removal import remove

SIZE = 32
WIDTHS = (4, 6, 8)
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.SiLU, nn.Hardswish, nn.GELU, nn.ReLU6)


def layer(draw, narrow, wide, kernel=3, **settings):
    """Convolution, batch norm or bias, activation."""
    normed = draw.random() < 0.7
    convolution = nn.Conv2d(narrow, wide, kernel, padding="same", bias=not normed, **settings)
    return nn.Sequential(convolution, nn.BatchNorm2d(wide) if normed else nn.Identity(), draw.choice(ACTIVATIONS)())


class Block(nn.Module):
    """`width` channels out; `parts` by name are its layers, and `join` computes with them."""

    def __init__(self, width, join, **parts):
        super().__init__()
        self.width, self.join, self.parts = width, join, nn.ModuleDict(parts)

    def forward(self, x):
        return self.join(x, self.parts)


def plain(draw, width):
    wide = draw.choice(WIDTHS)
    return Block(wide, lambda x, p: p["a"](x), a=layer(draw, width, wide, draw.choice((1, 3, (1, 5)))))


def residual(draw, width):
    wide = draw.choice((width, *WIDTHS))
    short = nn.Identity() if wide == width else nn.Conv2d(width, wide, 1)
    branch = nn.Sequential(layer(draw, width, 6), nn.Conv2d(6, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide))
    return Block(wide, lambda x, p: F.relu(p["branch"](x) + p["short"](x)), branch=branch, short=short)


def preactivated(draw, width):
    branch = nn.Sequential(nn.BatchNorm2d(width), draw.choice(ACTIVATIONS)(), nn.Conv2d(width, width, 3, padding=1))
    return Block(width, lambda x, p: x + p["branch"](x), branch=branch)


def dense(draw, width):
    grown = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 3, padding=1, bias=False))
    order = draw.choice((1, -1))
    return Block(width + 4, lambda x, p: torch.cat([x, p["grown"](x)][::order], 1), grown=grown)


def inception(draw, width):
    wides = draw.sample(WIDTHS, 2)
    parts = {f"b{wide}": layer(draw, width, wide, draw.choice((1, 3))) for wide in wides}
    return Block(sum(wides), lambda x, p: torch.cat([branch(x) for branch in p.values()], 1), **parts)


def separable(draw, width):
    wide = draw.choice(WIDTHS)
    deep = layer(draw, width, width, groups=width, dilation=draw.choice((1, 2)))
    return Block(wide, lambda x, p: p["point"](p["deep"](x)), deep=deep, point=layer(draw, width, wide, 1))


def squeezed(draw, width):
    """An inverted bottleneck with squeeze and excitation."""
    inner = 2 * width
    gate = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, 4, 1), nn.ReLU(), nn.Conv2d(4, inner, 1), nn.Sigmoid()
    )

    def join(x, p):
        y = p["deep"](p["widen"](x))
        return x + p["narrow"](y * p["gate"](y))

    widen, deep = layer(draw, width, inner, 1), layer(draw, inner, inner, groups=inner)
    return Block(width, join, widen=widen, deep=deep, gate=gate, narrow=nn.Conv2d(inner, width, 1))


def attended(_draw, width):
    """An attention gate: one map that weighs all channels."""
    seen = nn.Sequential(nn.Conv2d(width, 4, 1), nn.ReLU(), nn.Conv2d(4, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())
    return Block(width, lambda x, p: x * p["seen"](x), seen=seen)


def pyramid(draw, width):
    """Dilated branches and a global one, as in ASPP."""
    wide = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 4, 1), nn.ReLU())

    def join(x, p):
        return p["out"](torch.cat([p["near"](x), p["far"](x), p["wide"](x).expand(-1, -1, *x.shape[2:])], 1))

    near, far = layer(draw, width, 4, 1), layer(draw, width, 4, dilation=3)
    return Block(6, join, near=near, far=far, wide=wide, out=layer(draw, 12, 6, 1))


def down_and_up(draw, width):
    down = nn.Sequential(draw.choice((nn.MaxPool2d, nn.AvgPool2d))(2), layer(draw, width, 8))
    up = draw.choice((nn.ConvTranspose2d(8, 6, 2, 2), nn.Sequential(nn.Upsample(scale_factor=2), layer(draw, 8, 6))))
    order = draw.choice((1, -1))
    return Block(width + 6, lambda x, p: torch.cat([x, p["up"](p["down"](x))][::order], 1), down=down, up=up)


def twice(draw, width):
    return Block(6, lambda x, p: p["again"](p["again"](p["a"](x))), a=layer(draw, width, 6), again=layer(draw, 6, 6))


def ghost(draw, width):
    def join(x, p):
        y = p["a"](x)
        return torch.cat([y, p["deep"](y)], 1)

    return Block(8, join, a=layer(draw, width, 4, 1), deep=layer(draw, 4, 4, groups=4))


BLOCKS = (
    plain,
    residual,
    preactivated,
    dense,
    inception,
    separable,
    squeezed,
    attended,
    pyramid,
    down_and_up,
    twice,
    ghost,
)


def compose(draw):
    """A network of a few blocks with weights and statistics that all do something, in float64."""
    blocks = [layer(draw, 3, 8)]
    width = 8
    for make in draw.sample(BLOCKS, 4):
        blocks.append(make(draw, width))
        width = blocks[-1].width
    network = nn.Sequential(*blocks, nn.Conv2d(width, 1, 1)).eval()
    for norm in filter(lambda module: isinstance(module, nn.BatchNorm2d), network.modules()):
        for values, low, high in ((norm.weight, 0.5, 1.5), (norm.bias, -0.5, 0.5), (norm.running_mean, -0.5, 0.5)):
            nn.init.uniform_(values, low, high)
    return network


def find(network):
    """The groups, with what is refused protected as the refusal says."""
    protect = ()
    while True:
        try:
            return find_groups(network, SIZE, protect)
        except UnprunableError as error:
            named = tuple(str(error).split(":")[0].split(", "))
            assert not set(named) <= set(protect)
            protect += named


@pytest.mark.parametrize("seed", range(24))
def test_what_is_removed_is_what_was_masked_and_what_it_costs(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    network = compose(draw)
    groups = find(network)
    assert groups
    removed = {
        group.name: sorted(draw.sample(range(group.width), draw.randrange(1, group.width)))
        for group in groups
        if group.width > 1
    }
    widths = {group.name: group.width - len(removed.get(group.name, ())) for group in groups}
    macs = CostModel(network, groups, SIZE)
    trained = CostModel(network, groups, SIZE, parameters, "parameters", count_parameters(network))
    frames = torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64)
    pruned = copy.deepcopy(network)
    remove(pruned, SIZE, removed)
    gates = {name: gate.double() for name, gate in removing(network, groups, removed).items()}
    with torch.no_grad(), gated(network.double(), gates):
        masked = network(frames)
    with torch.no_grad():
        torch.testing.assert_close(copy.deepcopy(pruned).double()(frames), masked, atol=1e-9, rtol=1e-9)
    assert (macs.total(widths), trained.total(widths)) == (count_macs(pruned, SIZE), count_parameters(pruned))
