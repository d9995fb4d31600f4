import torch
from torch import nn

from pruning.depthwise import DepthwiseInFull


def layer(groups: int) -> nn.Conv2d:
    """A convolution of eight channels."""
    return nn.Conv2d(8, 8, 3, padding=1, groups=groups, bias=False)


def run(groups: int, *, full: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(output, gradient of the weights) under autocast, and the exact output."""
    torch.manual_seed(0)
    network, x = layer(groups), torch.randn(2, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        if full:
            with DepthwiseInFull():
                y = network(x)
        else:
            y = network(x)
    y.float().square().sum().backward()
    return y, network.weight.grad, network(x)


def test_depthwise_layers_compute_in_fp32_and_give_autocasts_type():
    y, gradient, exact = run(8, full=True)
    assert y.dtype == torch.bfloat16
    assert gradient.dtype == torch.float32
    assert torch.equal(y, exact.bfloat16())  # rounded once, at the end
    assert not torch.equal(run(8, full=False)[0], y)


def test_other_layers_stay_in_bf16():
    assert torch.equal(run(1, full=True)[0], run(1, full=False)[0])


def test_without_autocast_nothing_changes():
    torch.manual_seed(0)
    network, x = layer(8), torch.randn(2, 8, 16, 16)
    with DepthwiseInFull():
        y = network(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, network(x))
