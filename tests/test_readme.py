"""The README's commands, run as printed against a service with the models of the repository."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings
from tests import synthetic
from tests.conftest import running

README = Path("README.md").read_text(encoding="utf-8")
CURLS = re.findall(r"^curl .+$", README, re.MULTILINE)


@pytest.fixture(scope="module")
def url():
    with running(Settings(models_dir=Path("models"))) as client:
        yield str(client.base_url).rstrip("/")


@pytest.mark.parametrize("command", CURLS)
def test_curl(command, url, tmp_path):
    (tmp_path / "frame.jpg").write_bytes(synthetic.encode(synthetic.colonoscopy(528, 622), "JPEG"))
    line = command.replace("http://127.0.0.1:8000", url) + " --fail-with-body"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    for name in ("mask.png", "overlay.jpg"):
        if name in command:
            assert synthetic.decode((tmp_path / name).read_bytes()).shape[:2] == (528, 622)
            return
    assert json.loads(done.stdout)


def test_there_are_commands_to_test():
    assert len(CURLS) == 4


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert Path(target).exists(), target
