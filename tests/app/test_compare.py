"""`POST /v1/compare` on a real server: the red models, of which the pruned one is nine tenths as sure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pycocotools import mask as coco

from app.render import pair
from app.routes import compare
from tests.app.test_problems import check
from tests.conftest import Serve
from tests.synthetic import SIZE, colonoscopy, decode, encode, red_graph, write_model, write_pair

# pycocotools 2.0.11 with NumPy 2: its own, in `decode`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
URL = "/v1/compare"


def gradient() -> np.ndarray:
    """Red rises from 0 to 255 from left to right: the dense mask ends at 128, the pruned one at 142."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, SIZE)
    return pixels


def post(client: httpx.Client, pixels: np.ndarray, **params: Any) -> httpx.Response:
    return client.post(URL, params=params, files={"file": encode(pixels)})


def unpack(rle: dict[str, Any]) -> np.ndarray:
    return np.asarray(coco.decode({"size": rle["size"], "counts": rle["counts"].encode()}), bool)


def test_masks_difference_and_dice(client: httpx.Client) -> None:
    pixels = gradient()
    answer = post(client, pixels)
    report = answer.json()
    dense, pruned = pixels[..., 0] >= 128, pixels[..., 0] * 0.9 >= 127.5
    np.testing.assert_array_equal(unpack(report["dense"]["mask"]), dense)
    np.testing.assert_array_equal(unpack(report["pruned"]["mask"]), pruned)
    np.testing.assert_array_equal(unpack(report["difference"]), dense != pruned)
    assert report["difference_pixels"] == np.count_nonzero(dense != pruned) > 0
    assert report["agreement"] == {
        "dice": pytest.approx(2 * np.sum(dense & pruned) / (dense.sum() + pruned.sum())),
        "dense_pixels": dense.sum(),
        "pruned_pixels": pruned.sum(),
    }


def test_each_side_is_the_report_of_its_model(client: httpx.Client) -> None:
    frame = encode(colonoscopy(90, 121), "JPEG")
    report = client.post(URL, files={"file": frame}).json()
    for side in ("dense", "pruned"):
        params = {"output": "json", "model": f"red-{side}"}
        single = client.post("/v1/segment", params=params, files={"file": frame}).json()
        assert report["network_ms"][side] == report[side]["timings"]["network"] >= 0
        assert list(report[side].pop("timings")) == ["fit", "network", "mask", "lesions"]
        single.pop("timings")
        assert report[side] == single
    assert report["frame"] == {"width": 121, "height": 90}


def test_times_and_headers(client: httpx.Client) -> None:
    answer = post(client, gradient())
    assert answer.headers["x-polyprune-dense"] == "red-dense/1"
    assert answer.headers["x-polyprune-pruned"] == "red-pruned/1"
    stages = [entry.split(";")[0] for entry in answer.headers["server-timing"].split(", ")]
    assert stages == ["queue", "decode", "dense", "pruned", "render"]
    assert list(answer.json()["timings"]) == ["queue", "decode", "dense", "pruned"]


def test_two_empty_masks_agree(client: httpx.Client) -> None:
    report = post(client, np.zeros((20, 30, 3), np.uint8)).json()
    assert (report["agreement"]["dice"], report["difference_pixels"]) == (1, 0)


def test_threshold_is_that_of_both(client: httpx.Client) -> None:
    report = post(client, gradient(), threshold=0.25).json()
    assert (report["dense"]["threshold"], report["pruned"]["threshold"]) == (0.25, 0.25)
    np.testing.assert_array_equal(unpack(report["dense"]["mask"]), gradient()[..., 0] >= 64)


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(axis=-1) <= 1


def test_picture(client: httpx.Client) -> None:
    pixels = np.kron(gradient(), np.ones((8, 8, 1), np.uint8))
    answer = post(client, pixels, output="picture", format="png")
    assert answer.headers["content-type"] == "image/png"
    picture = decode(answer.content)
    report = post(client, pixels).json()
    dense, pruned = unpack(report["dense"]["mask"]), unpack(report["pruned"]["mask"])
    line = near(picture, pair.DENSE) | near(picture, pair.PRUNED)
    outside = ~dense & ~pruned & ~line
    np.testing.assert_array_equal(picture[outside], pixels[outside])
    both = dense & pruned & ~line
    np.testing.assert_array_equal(picture[both], pixels[both])
    middle = SIZE * 4
    across = picture[middle]  # outline of dense, filled difference, outline of pruned, from left to right
    start, end = np.argmax(dense[middle]), np.argmax(pruned[middle])
    assert near(across[start], pair.DENSE)
    assert near(across[end], pair.PRUNED)
    between = across[(start + end) // 2 - 2]
    blended = 0.5 * pixels[middle, (start + end) // 2 - 2] + 0.5 * np.array(pair.DIFFERENCE)
    assert np.abs(between - blended).max() <= 1


def test_picture_is_a_jpeg_by_default(client: httpx.Client) -> None:
    answer = post(client, colonoscopy(90, 121), output="picture")
    assert answer.headers["content-type"] == "image/jpeg"
    assert decode(answer.content).shape == (90, 121, 3)


def test_legend_is_documented(client: httpx.Client) -> None:
    operation = client.get("/openapi.json").json()["paths"][URL]["post"]
    (output,) = [parameter for parameter in operation["parameters"] if parameter["name"] == "output"]
    assert pair.LEGEND in output["description"]
    assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/jpeg", "image/png"}


def test_defaults_follow_the_manifest(serve: Serve, tmp_path: Path) -> None:
    """A model pruned from a dense one, and the version of that which it was made from and not the newest."""
    write_pair(tmp_path)
    write_model(tmp_path, "red-dense", "2", gain=0.5)
    write_model(tmp_path, "blue-pruned", gain=0.8, variant="pruned")
    write_model(tmp_path, "green-pruned", gain=0.8, variant="pruned", pruned_from="red-pruned/1")
    client = serve(models_dir=tmp_path)
    check(post(client, gradient(), pruned="blue-pruned"), 422, "bad-parameter")  # names no dense one
    assert post(client, gradient(), pruned="green-pruned").json()["dense"]["model"] == "red-pruned"
    report = post(client, gradient()).json()
    assert (report["dense"]["version"], report["pruned"]["model"]) == ("1", "red-pruned")
    report = post(client, gradient(), dense="red-dense").json()
    assert (report["dense"]["version"], report["pruned"]["model"]) == ("2", "red-pruned")


def test_networks_of_two_sizes_see_what_each_sees_alone(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path, "small")
    size = {"height": 256, "width": 256, "fit": "stretch"}
    folder = write_model(
        tmp_path, "large", graph=red_graph(256, 256), input=size, variant="pruned", pruned_from="small/1"
    )
    frame = colonoscopy(256, 256)
    np.savez(folder / "golden.npz", frame=frame, probability=frame[..., 0].astype(np.float32) / 255)
    client = serve(models_dir=tmp_path)
    sent = {"files": {"file": encode(colonoscopy(960, 1280), "JPEG")}}
    both = client.post(URL, **sent).json()
    for side, model in (("dense", "small"), ("pruned", "large")):
        single = client.post("/v1/segment", params={"output": "json", "model": model}, **sent).json()
        assert both[side]["mask"] == single["mask"]


def test_no_pruned_model(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path, "red-dense")
    client = serve(models_dir=tmp_path)
    check(post(client, gradient()), 404, "unknown-model")
    assert post(client, gradient(), dense="red-dense", pruned="red-dense").json()["agreement"]["dice"] == 1


def test_dense_model_that_is_gone(serve: Serve, tmp_path: Path) -> None:
    write_model(tmp_path, "red-pruned", variant="pruned", pruned_from="red-dense/1")
    assert "red-dense/1" in check(post(serve(models_dir=tmp_path), gradient()), 404, "unknown-model")["detail"]


def test_no_model_at_all(serve: Serve, tmp_path: Path) -> None:
    check(post(serve(models_dir=tmp_path), gradient()), 503, "no-model-ready")


@pytest.mark.parametrize(
    ("params", "status", "slug"),
    [
        ({"format": "png"}, 422, "bad-parameter"),
        ({"output": "mask"}, 422, "bad-parameter"),
        ({"model": "red-dense"}, 422, "bad-parameter"),
        ({"threshold": 2}, 422, "bad-parameter"),
        ({"peak": [0, 1]}, 422, "bad-parameter"),
        ({"dense": "absent"}, 404, "unknown-model"),
        ({"pruned": "../x"}, 404, "unknown-model"),
    ],
)
def test_bad_parameters(client: httpx.Client, params: dict[str, Any], status: int, slug: str) -> None:
    check(post(client, gradient(), **params), status, slug)


def test_bad_frame(client: httpx.Client) -> None:
    check(client.post(URL, files={"file": encode(colonoscopy())[:-200]}), 422, "corrupt-frame")


def test_both_models_are_counted(serve: Serve) -> None:
    client = serve()
    post(client, gradient())
    for model in ("red-dense/1", "red-pruned/1"):
        assert f'polyprune_frames_total{{model="{model}",output="compare"}} 1.0' in client.get("/metrics").text


def test_example_in_the_documentation_is_a_report() -> None:
    example = pair.PairReport.model_validate(compare.EXAMPLE)
    assert not unpack(example.difference.model_dump()).any()
    assert example.network_ms.dense == example.dense.timings["network"]
