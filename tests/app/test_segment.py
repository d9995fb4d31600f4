"""`POST /v1/segment` on a real server: what comes back for good frames."""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from tests.app.test_frames import STORED_AS, stored
from tests.app.test_outputs import PICTURED
from tests.conftest import Serve
from tests.synthetic import SIZE, blocks, colonoscopy, decode, encode, write_model

URL = "/v1/segment"
PNG = {"content-type": "image/png"}
FRAMES = Path(os.environ.get("PRUNING_ROOT", ".")) / "data/kvasir-seg/images"


def doubled(coarse: np.ndarray) -> np.ndarray:
    """Bilinear to twice the size with half-pixel centres, written out: weights 3/4 and 1/4, edges repeated."""
    padded = np.pad(coarse, 1, mode="edge")
    for _ in range(2):
        rows = np.empty((2 * (padded.shape[0] - 2), padded.shape[1]))
        rows[0::2] = 0.75 * padded[1:-1] + 0.25 * padded[:-2]
        rows[1::2] = 0.75 * padded[1:-1] + 0.25 * padded[2:]
        padded = rows.T
    return padded


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("way", ["multipart", "raw", "octets", "untyped"])
def test_every_format_and_every_way_to_send_it(client: httpx.Client, kind: str, way: str) -> None:
    pixels = colonoscopy(90, 121)
    data = encode(pixels, kind)
    if way == "multipart":
        response = client.post(URL, files={"file": ("frame", data)})
    else:
        types = {"raw": f"image/{kind.lower()}", "octets": "application/octet-stream"}
        headers = {"content-type": types[way]} if way in types else {}
        response = client.post(URL, content=data, headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    mask = decode(response.content)
    assert mask.shape == (90, 121)
    assert set(np.unique(mask)) == {0, 255}
    truth = pixels[..., 0] > 128
    assert np.mean((mask == 255) != truth) < 0.02


def test_mask_is_exact_where_the_frame_has_the_networks_size(client: httpx.Client) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    response = client.post(URL, params={"model": "red-dense"}, files={"file": encode(pixels)})
    np.testing.assert_array_equal(decode(response.content) == 255, pixels[..., 0] >= 128)


def test_mask_is_exact_at_twice_the_networks_size(client: httpx.Client) -> None:
    pixels = blocks(2 * SIZE, 2 * SIZE, 2)
    response = client.post(URL, params={"model": "red-dense"}, files={"file": encode(pixels)})
    expected = doubled(pixels[::2, ::2, 0] / 255) >= 0.5
    np.testing.assert_array_equal(decode(response.content) == 255, expected)


def test_areas_that_are_nowhere_sure_are_shown_by_a_lower_threshold_only(serve: Serve, tmp_path: Path) -> None:
    """Two squares of probability .6 and .9 in a model with a peak of .8, in mask, lesions and probability alike."""
    client = serve(models_dir=write_model(tmp_path, "red-dense", peak=0.8).parents[1])
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[8:16, 8:16, 0], pixels[40:48, 40:48, 0] = 153, 230
    file = {"file": encode(pixels)}
    assert np.argwhere(decode(client.post(URL, files=file).content)).min() == 40
    assert len(client.post(URL, params={"output": "json"}, files=file).json()["lesions"]) == 1
    probability = np.load(io.BytesIO(client.post(URL, params={"output": "numpy"}, files=file).content))
    assert probability[8:16, 8:16].max() < 0.5
    lower = client.post(URL, params={"threshold": 0.4}, files=file)
    assert np.argwhere(decode(lower.content)).min() == 8


@pytest.mark.parametrize(("threshold", "level"), [(0, 0), (0.2, 51), (0.8, 204), (1, 255)])
def test_threshold(client: httpx.Client, threshold: float, level: int) -> None:
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[..., 0] = np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 256
    params = {"model": "red-dense", "threshold": threshold}
    response = client.post(URL, params=params, files={"file": encode(pixels)})
    np.testing.assert_array_equal(decode(response.content) == 255, pixels[..., 0] >= level)


def test_model_is_chosen_by_name_or_version_or_default(client: httpx.Client) -> None:
    """0.9 x 130/255 is below one half, 130/255 is not."""
    data = encode(np.full((SIZE, SIZE, 3), 130, np.uint8))
    answers = {
        model: client.post(URL, params={"model": model} if model else {}, files={"file": data})
        for model in ("red-dense", "red-dense/1", "red-pruned", None)
    }
    used = {model: answer.headers["x-polyprune-model"] for model, answer in answers.items()}
    assert list(used.values()) == ["red-dense/1", "red-dense/1", "red-pruned/1", "red-pruned/1"]
    marked = [int(decode(answer.content).max()) for answer in answers.values()]
    assert marked == [255, 255, 0, 0]


def test_headers_name_model_provider_and_stages(client: httpx.Client) -> None:
    headers = client.post(URL, files={"file": encode(colonoscopy())}).headers
    assert headers["x-polyprune-provider"] == "CPUExecutionProvider"
    stages = [entry.split(";dur=") for entry in headers["server-timing"].split(", ")]
    assert [name for name, _ in stages] == ["queue", "decode", "fit", "network", "mask", "render"]
    assert all(float(duration) >= 0 for _, duration in stages)


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("PNG", {})])
def test_mask_is_that_of_the_upright_frame(client: httpx.Client, kind: str, options: dict, orientation: int) -> None:
    pixels = colonoscopy(240, 320)
    response = client.post(URL, content=stored(pixels, orientation, kind, **options), headers=PNG)
    mask = decode(response.content)
    assert mask.shape == (240, 320)
    assert np.mean((mask == 255) != (pixels[..., 0] > 128)) < 0.02


@pytest.mark.parametrize("orientation", [1, 6])
def test_overlay_is_a_jpeg_of_the_whole_upright_frame(client: httpx.Client, orientation: int) -> None:
    pixels = colonoscopy(240, 320)
    data = stored(pixels, orientation, "JPEG", quality=95)
    response = client.post(URL, params={"output": "overlay"}, content=data, headers=PNG)
    assert response.headers["content-type"] == "image/jpeg"
    overlay = decode(response.content)
    assert overlay.shape == (240, 320, 3)
    unmarked = np.s_[120:, 200:]
    assert np.abs(overlay[unmarked].astype(int) - pixels[unmarked]).mean() < 4
    assert overlay[84, 96, 1] > pixels[84, 96, 1] + 30  # the polyp, tinted green


def test_json_report(client: httpx.Client) -> None:
    """Two red squares, 8 x 8 and 4 x 2, on a frame of the network's size."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[8:16, 16:24, 0] = 255
    pixels[40:42, 50:54, 0] = 204
    params = {"output": "json", "model": "red-dense"}
    report = client.post(URL, params=params, files={"file": encode(pixels)}).json()
    large, small = report["lesions"]
    assert large == {
        "box": [16, 8, 8, 8],
        "polygon": [[16, 8], [16, 15], [23, 15], [23, 8]],
        "area": 64,
        "fraction": 64 / SIZE**2,
        "probability": 1.0,
    }
    assert (small["box"], small["area"]) == ([50, 40, 4, 2], 8)
    assert small["probability"] == pytest.approx(0.8)
    truth = np.asfortranarray((pixels[..., 0] > 0).astype(np.uint8))
    assert report["mask"] == {"size": [SIZE, SIZE], "counts": coco.encode(truth)["counts"].decode()}
    assert report["frame"] == {"width": SIZE, "height": SIZE}
    assert {key: report[key] for key in ("model", "version", "provider", "threshold")} == {
        "model": "red-dense",
        "version": "1",
        "provider": "CPUExecutionProvider",
        "threshold": 0.5,
    }
    assert list(report["timings"]) == ["queue", "decode", "fit", "network", "mask", "lesions"]


def test_json_report_of_an_empty_frame(client: httpx.Client) -> None:
    data = encode(np.zeros((50, 40, 3), np.uint8))
    report = client.post(URL, params={"output": "json"}, files={"file": data}).json()
    assert report["lesions"] == []
    assert report["mask"]["size"] == [50, 40]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 2), (1080, 1920)])
@pytest.mark.parametrize("output", PICTURED)
def test_frames_of_odd_shapes(client: httpx.Client, size: tuple[int, int], output: str) -> None:
    data = encode(np.full((*size, 3), 200, np.uint8))
    response = client.post(URL, params={"output": output}, files={"file": data})
    assert response.status_code == 200
    if output == "json":
        assert response.json()["lesions"][0]["fraction"] == 1
    elif output == "geojson":
        assert response.json()["features"][0]["properties"]["fraction"] == 1
    elif output == "numpy":
        assert np.load(io.BytesIO(response.content)).shape == size
    else:
        assert decode(response.content).shape[:2] == size


def test_bad_frames_do_not_disturb_the_good_ones_beside_them(client: httpx.Client) -> None:
    good = encode(colonoscopy(), "JPEG")
    alone = client.post(URL, files={"file": good}).content
    bad = [good[: len(good) // 2], b"no image", b"", good[:2] + b"\0" * 500, encode(colonoscopy())[:-200]]
    frames = [good, bad[0], good, bad[1], good, bad[2], good, bad[3], good, bad[4]] * 6
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda data: client.post(URL, files={"file": ("f", data)}), frames))
    for data, answer in zip(frames, answers, strict=True):
        assert answer.status_code == (200 if data is good else answer.status_code)
        if data is good:
            assert answer.content == alone
        else:
            assert answer.status_code in (415, 422)
            assert answer.headers["content-type"] == "application/problem+json"


def test_chunked_body(client: httpx.Client) -> None:
    data = encode(colonoscopy())
    response = client.post(URL, content=iter([data[:100], data[100:]]), headers=PNG)
    assert response.status_code == 200


def test_services_do_not_share_anything(serve: Serve) -> None:
    first, second = serve(), serve()
    first.post(URL, files={"file": encode(colonoscopy())})
    assert 'polyprune_frames_total{model="red-pruned/1",output="mask"} 1.0' in first.get("/metrics").text
    assert "polyprune_frames_total{" not in second.get("/metrics").text


@pytest.mark.skipif(not FRAMES.is_dir(), reason="needs Kvasir-SEG: set PRUNING_ROOT to the folder with data/")
def test_real_frames(client: httpx.Client) -> None:
    for path in sorted(FRAMES.iterdir())[:5]:
        with Image.open(path) as image:
            width, height = image.size
        response = client.post(URL, params={"output": "json"}, files={"file": path.read_bytes()})
        assert response.status_code == 200
        assert json.loads(response.content)["frame"] == {"width": width, "height": height}
