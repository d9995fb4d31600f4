"""OpenVINO's provider where its package and an Intel processor are: pytest tests/app/test_openvino.py -rs"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from app import machine, openvino, registry
from app.engines import Engines
from app.errors import ModelRefused
from app.settings import Settings
from tests import synthetic
from tests.conftest import running


def missing() -> str:
    """Why OpenVINO cannot run here; empty where it can."""
    try:
        openvino.processor()
    except ModelRefused as error:
        return str(error)
    return ""


needs_openvino = pytest.mark.skipif(bool(missing()), reason=missing())


@needs_openvino
def test_models_prove_themselves_on_openvino(models_dir):
    found = registry.scan(models_dir, threads=2, preference="openvino")
    assert not found.refused
    assert {model.engine.provider for model in found.ready} == {openvino.PROVIDER}
    assert {model.engine.throughput.provider for model in found.ready} == {openvino.PROVIDER}
    assert all(model.engine.latency is not model.engine.throughput for model in found.ready)


@needs_openvino
def test_the_response_says_openvino(models_dir):
    with running(Settings(models_dir=models_dir, provider="openvino")) as client:
        answer = client.post("/v1/segment", content=synthetic.encode(synthetic.colonoscopy()))
        assert answer.headers["X-Polyprune-Provider"] == openvino.PROVIDER


def test_a_model_on_openvino_needs_no_gpu(client, monkeypatch):
    """The name alone decides, so that the test needs no Intel processor."""
    monkeypatch.setattr(Engines, "provider", openvino.PROVIDER)
    assert client.get("/healthz").status_code == 200
    config = client.get("/v2/models/red-pruned/config").json()
    assert config["instance_group"][0]["kind"] == "KIND_CPU"


@pytest.mark.skipif(not missing(), reason="OpenVINO runs here")
@pytest.mark.parametrize("provider", ["openvino", "openvino-bf16"])
def test_without_it_every_model_is_refused_and_told_what_to_do(models_dir, provider):
    found = registry.scan(models_dir, threads=1, preference=provider)
    assert not found.ready
    remedy = "takes Intel's only" if find_spec("onnxruntime_ep_openvino") else "pip install 'polyprune[openvino]'"
    assert all(remedy in refusal.reason for refusal in found.refused)


def test_bf16_has_to_be_asked_for():
    assert openvino.config("openvino", 1)["INFERENCE_PRECISION_HINT"] == "f32"
    assert openvino.config("openvino-bf16", 1)["INFERENCE_PRECISION_HINT"] == "bf16"


def test_a_lone_frame_gets_all_threads_and_frames_that_are_not_alone_one_each():
    lone, many = openvino.config("openvino", 4), openvino.config("openvino", 1)
    cores = str(machine.cores())
    assert (lone["NUM_STREAMS"], lone["INFERENCE_NUM_THREADS"]) == ("1", "4")
    assert (many["NUM_STREAMS"], many["INFERENCE_NUM_THREADS"]) == (cores, cores)
