import pytest
import torch

from pruning import checkpoint
from pruning.cost import count_macs, count_parameters
from pruning.errors import NetworkError, RunError
from pruning.networks import build
from pruning.networks.lite import SCALES, Lite
from tests.pruning.networks import NETWORKS, SIZE, make, spec


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_have_the_size_of_the_frame(name):
    with torch.no_grad():
        assert make(name)(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 1, SIZE, SIZE)


def test_unet_lite0_costs_what_its_card_says():
    network = build("unet-lite0", {"pretrained": False}).eval()
    assert count_parameters(network) == 3_933_537
    assert count_macs(network, 256) == 1_624_717_312


@pytest.mark.parametrize(("number", "blocks"), [(0, 16), (2, 21)])
def test_an_encoder_holds_the_published_weights(number, blocks):
    published = torch.load(SCALES[number].weights.get_model_file_path(), weights_only=True)
    own = Lite(number).state_dict()
    last = "stages.6.0.layers.2.1.running_var"
    assert torch.equal(own["stem.1.weight"], published["_conv_stem.weight"])
    assert torch.equal(own[last], published[f"_blocks.{blocks - 1}._bn2.running_var"])
    assert len(own) == len([key for key in published if not key.startswith(("_conv_head", "_bn1", "_fc"))])


@pytest.mark.parametrize(
    ("factory", "arguments", "message"),
    [
        ("unot", {}, "unknown network 'unot': use one of unet, unet-lite0"),
        ("no.such.package:Net", {}, "cannot import"),
        ("pruning.networks.unet:Missing", {}, "cannot import"),
        ("unet", {"depht": 3}, "does not take the arguments"),
        ("pruning.networks:find", {"factory": "unet"}, "a factory returns a torch.nn.Module"),
    ],
)
def test_a_factory_that_cannot_be_used_is_named(factory, arguments, message):
    with pytest.raises(NetworkError, match=message):
        build(factory, arguments)


def test_a_network_with_another_output_is_refused():
    with pytest.raises(NetworkError, match=r"must return logits of shape \(1, 1, 64, 64\); got \(1, 8, 64, 64\)"):
        checkpoint.create(spec("torch.nn:Conv2d", in_channels=3, out_channels=8, kernel_size=1))


def test_a_network_that_takes_no_such_frame_is_refused():
    with pytest.raises(NetworkError, match=r"unet with the arguments .*'depth': 8.* takes no frame of 64 × 64: "):
        checkpoint.create(spec("unet", width=1, depth=8))


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match="run the station before"):
        checkpoint.load(tmp_path / "dense.pt")
