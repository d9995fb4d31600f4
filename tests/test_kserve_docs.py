"""What docs/kserve.md shows is run as printed, against a service with the models of the repository."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import Settings
from tests import synthetic
from tests.conftest import running

TEXT = Path("docs/kserve.md").read_text(encoding="utf-8")
MANIFEST = json.loads(Path("models/polyp-lite0-pruned/1/manifest.json").read_text(encoding="utf-8"))
SIZE = [MANIFEST["input"]["height"], MANIFEST["input"]["width"]]


def block(language: str, word: str) -> str:
    """The one block in this language with this word in it."""
    (found,) = [
        body for body in re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL) if word in body
    ]
    return found


@pytest.fixture(scope="module")
def address():
    with running(Settings(models_dir=Path("models"))) as client:
        yield f"127.0.0.1:{client.base_url.port}"


def test_python(address, tmp_path):
    (tmp_path / "frame.jpg").write_bytes(synthetic.encode(synthetic.colonoscopy(528, 622), "JPEG"))
    program = block("python", "tritonclient").replace("127.0.0.1:8000", address) + "print(list(probability.shape))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout) == SIZE


def test_curl(address, tmp_path):
    commands = block("sh", "request.json").replace("127.0.0.1:8000", address)
    commands = commands.replace("python", sys.executable).replace("curl", "curl --fail-with-body")
    done = subprocess.run(["bash", "-ec", commands], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(done.stdout)["outputs"][0]["shape"] == [1, *SIZE]


def test_curl_with_the_bytes_of_a_frame(address, tmp_path):
    (tmp_path / "frame.rgb").write_bytes(bytes(3 * SIZE[0] * SIZE[1]))
    command = block("sh", "frame.rgb").replace("127.0.0.1:8000", address).replace("curl", "curl --fail-with-body")
    subprocess.run(["bash", "-ec", command], cwd=tmp_path, capture_output=True, check=True)
    assert (tmp_path / "answer.bin").read_bytes()[-4 * SIZE[0] * SIZE[1] - 1 :].startswith(b"}")


def test_config_of_triton_is_that_of_the_model():
    config = block("protobuf", "dynamic_batching")
    assert f"dims: {[*SIZE, 3]}" in config
    assert f"dims: {SIZE}" in config


def test_every_setting_named_is_one():
    named = set(re.findall(r"POLYPRUNE_(\w+)", TEXT))
    assert named <= {name.upper() for name in Settings.model_fields}
