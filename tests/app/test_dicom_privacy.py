"""Nothing that a DICOM object says about a person gets into a log, a metric or an error.

The service runs as a process of its own, logging all that it can, so that what is looked at is what an operator
would see: its whole stderr, with the warnings and records of the libraries.
"""

from __future__ import annotations

import os
import re
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from tests.dicom import NAME, compressed, encapsulated, file, image
from tests.synthetic import colonoscopy, write_pair

ROOT = Path(__file__).parents[2]
HEADERS = {"content-type": "application/dicom"}
MARKS = ("zorglub", "marked", "mrn-4711", "19581112", "a4711", "bystander")


@dataclass
class Service:
    """A process, its client and where its stderr goes."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    log: Path


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`python -m app` at log level debug."""
    folder = tmp_path_factory.mktemp("privacy")
    log = folder / "stderr.log"
    environment = {
        **os.environ,
        "POLYPRUNE_MODELS_DIR": str(write_pair(folder / "models")),
        "POLYPRUNE_PORT": "0",
        "POLYPRUNE_LOG_LEVEL": "debug",
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("wb") as stderr:
        process = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stderr=stderr)
        try:
            with httpx.Client(base_url=address(process, log), timeout=60) as client:
                yield Service(process, client, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=20)


def address(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def broken() -> dict[str, bytes]:
    """Objects with a person's name where something else belongs, or with damage beside it."""
    pixels = colonoscopy()
    whole = file(image(pixels))
    named = {
        keyword: file(with_text(keyword))
        for keyword in (
            "Rows", "BitsStored", "NumberOfFrames", "PhotometricInterpretation", "PixelRepresentation", "PixelSpacing",
            "PatientSex", "PatientBirthDate", "StudyDate", "StudyTime", "SpecificCharacterSet", "StudyInstanceUID",
            "SOPClassUID", "LossyImageCompressionRatio",
        )
    }  # fmt: skip
    named["transfer syntax"] = whole.replace(b"1.2.840.10008.1.2.1\0", b"Zorglub^Marked^Name\0")
    named["window"] = file(with_text("WindowCenter", grey=True, WindowWidth=100))
    named["cut in the name"] = whole[: whole.index(b"Zorglub") + 4]
    named["cut in the pixels"] = whole[:-5000]
    named["no length"] = whole.replace(struct.pack("<HH2sH", 0x10, 0x10, b"PN", 22), b"\x10\0\x10\0PN\xff\xff")
    named["no such representation"] = whole.replace(b"\x10\0\x10\0PN", b"\x10\0\x10\0ZZ")
    for syntax in (JPEG2000Lossless, JPEGLSLossless, RLELossless):
        data = file(compressed(pixels, syntax))
        named[f"cut {syntax.name}"] = data[: len(data) * 3 // 4]
        named[f"noise {syntax.name}"] = data[:-600] + np.random.default_rng(1).bytes(400) + data[-200:]
    named["text for a JPEG"] = file(encapsulated(pixels, JPEGBaseline8Bit, [NAME.encode() * 20]))
    return named


def with_text(keyword: str, grey: bool = False, **changes: Any) -> Any:
    pixels = colonoscopy()[..., 0].copy() if grey else colonoscopy()
    dataset = image(pixels, **changes)
    if keyword in dataset:
        del dataset[keyword]
    dataset.add_new(keyword, "LO", NAME)
    return dataset


BROKEN = broken()


@pytest.mark.parametrize("output", ["mask", "json", "dicom-seg"])
@pytest.mark.parametrize("kind", ["whole", "compressed", *BROKEN])
def test_no_mark_gets_out(service: Service, kind: str, output: str) -> None:
    good = {
        "whole": lambda: file(image(colonoscopy(), TransferSyntaxUID=ExplicitVRLittleEndian)),
        "compressed": lambda: file(compressed(colonoscopy(), RLELossless)),
    }
    data = good[kind]() if kind in good else BROKEN[kind]
    answers = [
        service.client.post("/v1/segment", params={"output": output}, content=data, headers=HEADERS),
        service.client.post("/v1/segment", params={"output": output}, files={"file": (f"{NAME}.dcm", data)}),
    ]
    for answer in answers:
        assert answer.status_code in ((200,) if kind in good else (200, 413, 415, 422)), answer.text
        if answer.headers["content-type"] != "application/dicom":  # the one answer that is about a person
            assert marks_in(answer.content) == []
        assert marks_in(repr(answer.headers).encode()) == []
    assert marks_in(service.client.get("/metrics").content) == []
    logged = service.log.read_bytes()
    assert b"/v1/segment" in logged
    assert marks_in(logged) == []
    assert b"Traceback" not in logged


def marks_in(content: bytes) -> list[str]:
    return [mark for mark in MARKS if mark.encode() in content.lower()]


def test_the_marks_themselves() -> None:
    """Each is in what is sent, so that the tests above can fail."""
    assert marks_in(file(image(colonoscopy()))) == list(MARKS)
