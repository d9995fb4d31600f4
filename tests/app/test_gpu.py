"""The device path, wherever there is a CUDA device: pytest tests/app/test_gpu.py -rs"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from app import cuda, model, registry
from app.batcher import Batcher
from app.clock import Clock
from app.device import CUDA, TENSORRT, DeviceOptions
from app.engine import Engine
from app.loader import Loader
from app.settings import Settings
from tests import synthetic
from tests.conftest import running
from tests.process import ROOT

pytestmark = pytest.mark.skipif(not cuda.devices(), reason="the driver shows no CUDA device")
GRAPHS = DeviceOptions(instances=2, graphs=True)


def test_models_prove_themselves_on_cuda(models_dir):
    found = registry.scan(models_dir, threads=2, preference="cuda")
    assert not found.refused
    assert {one.engine.provider for one in found.ready} == {CUDA}
    assert all(isinstance(one.engine.sessions, Batcher) for one in found.ready)


@pytest.mark.parametrize("options", [DeviceOptions(), DeviceOptions(instances=2), GRAPHS])
def test_the_shipped_models_agree_with_the_cpu(options):
    loader = Loader(ROOT / "models", threads=2, preference="cuda", options=options)
    found = registry.load_all(loader)
    assert not found.refused
    for one in found.ready:
        height, width = one.manifest.input.height, one.manifest.input.width
        frames = np.stack([synthetic.colonoscopy(height, width)] * 13)
        frames += np.arange(13, dtype=np.uint8)[:, None, None, None]
        expected = one.new_engine(threads=2, preference="cpu").run(frames)
        with ThreadPoolExecutor(13) as pool:
            found_ones = list(pool.map(lambda frame, one=one: one.engine.run(frame[None], Clock())[0], frames))
        np.testing.assert_allclose(np.stack(found_ones), expected, atol=one.manifest.golden_tolerance)
        one.engine.close()


def test_a_model_loaded_while_graphs_are_replayed_spoils_none(models_dir):
    folder = models_dir / "red-dense" / "1"
    serving = model.load(folder, threads=1, preference="cuda", options=GRAPHS)
    frames = np.random.default_rng(0).integers(0, 256, (200, *serving.golden.frame.shape), np.uint8)
    expected = Engine(synthetic.red_graph(), preference="cpu").run(frames)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(serving.engine.run, frame[None], Clock()) for frame in frames]
        for _ in range(3):
            model.load(folder, threads=1, preference="cuda", options=GRAPHS)
    np.testing.assert_allclose(np.concatenate([answer.result() for answer in answers]), expected, atol=1e-4)


def test_page_locked_memory_is_memory_and_the_context_lives():
    locked = cuda.page_locked((4, 5), np.float32)
    locked[:] = np.arange(20).reshape(4, 5)
    assert locked.sum() == 190
    assert cuda.alive()


@pytest.mark.skipif(TENSORRT not in onnxruntime.get_available_providers(), reason="onnxruntime without TensorRT")
def test_tensorrt_keeps_its_engines(models_dir: Path, tmp_path: Path):
    pytest.importorskip("tensorrt_libs", reason="no TensorRT: pip install tensorrt-cu13")
    options = DeviceOptions(sizes=(1, 4), engine_cache=tmp_path)
    loaded = model.load(models_dir / "red-dense" / "1", threads=1, preference="tensorrt", options=options)
    assert loaded.engine.provider == TENSORRT
    assert list(tmp_path.glob("*.engine"))


def test_the_response_says_cuda(models_dir):
    with running(Settings(models_dir=models_dir, provider="cuda", require_gpu=True)) as client:
        answer = client.post("/v1/segment", content=synthetic.encode(synthetic.colonoscopy()))
        assert answer.headers["X-Polyprune-Provider"] == CUDA
        assert set(client.get("/readyz").json()["providers"].values()) == {CUDA}
