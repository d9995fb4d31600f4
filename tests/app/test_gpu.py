"""The CUDA path, wherever there is a device: pytest tests/app/test_gpu.py -rs"""

from __future__ import annotations

import pytest

from app import registry
from app.engine import CUDA, cuda_devices
from app.settings import Settings
from tests import synthetic
from tests.conftest import running

pytestmark = pytest.mark.skipif(not cuda_devices(), reason="the driver shows no CUDA device")


def test_models_prove_themselves_on_cuda(models_dir):
    found = registry.scan(models_dir, threads=2, preference="cuda")
    assert not found.refused
    assert {model.engine.provider for model in found.ready} == {CUDA}
    assert all(model.engine.latency is model.engine.throughput for model in found.ready)


def test_the_response_says_cuda(models_dir):
    with running(Settings(models_dir=models_dir, provider="cuda")) as client:
        answer = client.post("/v1/segment", content=synthetic.encode(synthetic.colonoscopy()))
        assert answer.headers["X-Polyprune-Provider"] == CUDA
