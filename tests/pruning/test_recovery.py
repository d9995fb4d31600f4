import torch
from torch import nn

from pruning.deploy import normalise
from pruning.recovery import recalibrate
from tests.pruning.networks import Residual, make, noise, spec

SPEC = spec()


def test_the_statistics_are_those_of_the_frames():
    torch.manual_seed(0)
    network = Residual()
    network.norm_a.num_batches_tracked.fill_(100)  # as after training: what was measured then must not count
    network.norm_a.running_mean.fill_(7)
    frames = noise(8)
    recalibrate(network, SPEC, frames, batch=4)
    with torch.no_grad():
        outputs = network.a(normalise(frames.images, SPEC))
    batches = outputs.split(4)
    torch.testing.assert_close(network.norm_a.running_mean, outputs.mean((0, 2, 3)))
    torch.testing.assert_close(network.norm_a.running_var, sum(part.var((0, 2, 3)) for part in batches) / 2)


def test_nothing_drops_out_while_they_are_measured():
    network, frames = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(3)).train(), noise(4)
    recalibrate(network, SPEC, frames)
    torch.testing.assert_close(network[1].running_mean, normalise(frames.images, SPEC).mean((0, 2, 3)))


def test_only_the_statistics_change_and_a_smaller_last_batch_does_not_count():
    network, other = make("unet"), make("unet")
    frames = noise(6)
    recalibrate(network, SPEC, frames, batch=4)
    recalibrate(other, SPEC, frames.subset(torch.arange(4)), batch=4)
    untouched = make("unet")
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
        running = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        assert torch.equal(value, untouched.state_dict()[name]) is not running, name
    assert not any(module.training for module in network.modules())
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {norm.momentum for norm in norms} == {0.1}
