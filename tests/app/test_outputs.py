"""Outputs of `POST /v1/segment` on a real server: chosen by parameter or `Accept`, read by independent readers."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import ExifTags, Image

from app import lesions, render
from app.clock import Clock
from app.frames import Frame
from app.lesions import Segmentation
from app.outputs import OUTPUTS
from app.render import FeatureCollection, Report
from app.render.report import Rle
from tests.app.test_problems import check
from tests.app.test_rings import filled, signed_area
from tests.synthetic import SIZE, blocks, colonoscopy, decode, encode, whole

URL = "/v1/segment"
PICTURED = [name for name, output in OUTPUTS.items() if not output.every]  # what any picture is answered with
FRAME = encode(colonoscopy(240, 320))


def post(client: httpx.Client, data: bytes = FRAME, headers: dict[str, str] | None = None, **params: Any) -> Any:
    return client.post(URL, params=params, files={"file": data}, headers=headers)


@pytest.mark.parametrize("name", PICTURED)
def test_every_output_names_model_provider_and_stages(client: httpx.Client, name: str) -> None:
    answer = post(client, output=name)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == OUTPUTS[name].media_type
    assert answer.headers["x-polyprune-model"] == "red-pruned/1"
    assert answer.headers["x-polyprune-provider"] == "CPUExecutionProvider"
    assert "network;dur=" in answer.headers["server-timing"]


def test_bits_are_the_mask(client: httpx.Client) -> None:
    bits = post(client, bits=1).content
    assert Image.open(io.BytesIO(bits)).mode == "1"
    np.testing.assert_array_equal(decode(bits), decode(post(client).content) == 255)


def test_probability_and_numpy_agree_with_each_other_and_with_the_mask(client: httpx.Client) -> None:
    probability = np.load(io.BytesIO(post(client, output="numpy").content), allow_pickle=False)
    assert (probability.dtype, probability.shape) == (np.float32, (240, 320))
    levels = decode(post(client, output="probability").content)
    np.testing.assert_array_equal(levels, np.rint(probability * 65535).clip(0, 65535))
    mask = decode(post(client, threshold=0.3).content)
    np.testing.assert_array_equal(mask == 255, probability >= np.float32(0.3))


def two_areas() -> np.ndarray:
    """Of the network's size, whose probability is red / 255: a square of .6, and one of .4 with a pixel of .9."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[4:12, 4:12, 0] = 153
    pixels[30:40, 30:40, 0] = 102
    pixels[35, 35, 0] = 230
    return pixels


@pytest.mark.parametrize(
    ("marking", "pixels"),
    [
        ({}, 65),  # the manifest's: .5, and no peak
        ({"peak": 0}, 65),
        ({"peak": 0.8}, 1),
        ({"peak": 0.95}, 0),
        ({"peak": 0.8, "threshold": 0.3}, 100),  # areas at .3: the second has a pixel of .9
        ({"peak": 0.5, "threshold": 0.3}, 164),
    ],
)
def test_areas_that_nowhere_reach_the_peak_are_left_out(
    client: httpx.Client, marking: dict[str, float], pixels: int
) -> None:
    answer = post(client, encode(two_areas()), model="red-dense", **marking)
    assert np.count_nonzero(decode(answer.content)) == pixels
    both = client.post("/v1/compare", params=marking, files={"file": encode(two_areas())}).json()
    assert both["agreement"]["dense_pixels"] == pixels


@pytest.mark.parametrize(
    ("marking", "most"),
    [
        ({}, 0.6),
        ({"threshold": 0.3}, 0.6),
        ({"peak": 0.8}, 0.4995),
        ({"peak": 0.8, "threshold": 0.3}, 0.2997),
        ({"peak": 0.8, "threshold": 0.7}, 0.6),
    ],
)
def test_the_probability_is_held_back_at_the_callers_peak(
    client: httpx.Client, marking: dict[str, float], most: float
) -> None:
    answer = post(client, encode(two_areas()), model="red-dense", output="numpy", **marking)
    assert np.load(io.BytesIO(answer.content))[:20].max() == pytest.approx(most)


def test_numpy_is_exact_where_the_frame_has_the_networks_size(client: httpx.Client) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    answer = post(client, encode(pixels), output="numpy", model="red-dense")
    np.testing.assert_allclose(np.load(io.BytesIO(answer.content)), pixels[..., 0] / 255, rtol=1e-6)


def test_overlay_options(client: httpx.Client) -> None:
    params = {"output": "overlay", "format": "png", "colour": "0000Ff", "opacity": 1, "contour": "false"}
    answer = post(client, **params)
    assert answer.headers["content-type"] == "image/png"
    marked = decode(post(client).content) == 255
    overlay = decode(answer.content)
    assert (overlay[marked] == (0, 0, 255)).all()
    np.testing.assert_array_equal(overlay[~marked], colonoscopy(240, 320)[~marked])


@pytest.mark.parametrize("orientation", [1, 6])
def test_overlay_has_the_mask_of_a_frame_that_the_network_sees_reduced(client: httpx.Client, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    frame = encode(blocks(600, 801, 3), "JPEG", exif=exif)
    params = {"output": "overlay", "format": "png", "colour": "0000ff", "opacity": 1, "contour": "false"}
    overlay = decode(post(client, frame, **params).content)
    marked = decode(post(client, frame).content) == 255
    np.testing.assert_array_equal((overlay == (0, 0, 255)).all(axis=-1), marked)


def test_geojson(client: httpx.Client) -> None:
    """A square with a hole, and a smaller lesion of two parts that touch at a corner."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[8:16, 16:24, 0] = 255
    pixels[10:12, 18:21, 0] = 0
    pixels[40:42, 50:52, 0] = pixels[42:44, 52:54, 0] = 204
    answer = post(client, encode(pixels), output="geojson", model="red-dense")
    assert answer.headers["content-type"] == "application/geo+json"
    collection = answer.json()
    assert (collection["type"], collection["frame"]) == ("FeatureCollection", {"width": SIZE, "height": SIZE})
    large, small = collection["features"]
    assert (large["type"], large["geometry"]["type"]) == ("Feature", "Polygon")
    outer, hole = ([tuple(point) for point in ring] for ring in large["geometry"]["coordinates"])
    assert set(outer) == {(16, 8), (24, 8), (24, 16), (16, 16)}
    assert set(hole) == {(18, 10), (21, 10), (21, 12), (18, 12)}
    assert (outer[0], hole[0]) == (outer[-1], hole[-1])
    assert (signed_area(outer), signed_area(hole)) == (64, -6)
    assert large["properties"] == {"area": 58, "fraction": 58 / SIZE**2, "probability": 1.0, "box": [16, 8, 8, 8]}
    assert small["geometry"]["type"] == "MultiPolygon"
    assert [len(rings) for rings in small["geometry"]["coordinates"]] == [1, 1]
    assert small["properties"]["area"] == 8


def test_geojson_fills_to_the_mask(client: httpx.Client) -> None:
    pixels = np.random.default_rng(1).integers(60, 256, (20, 24, 3), dtype=np.uint8)
    pixels = np.asarray(Image.fromarray(pixels).resize((96, 80)))
    features = post(client, encode(pixels), output="geojson").json()["features"]
    rings = []
    for feature in features:
        found = feature["geometry"]["coordinates"]
        parts = [found] if feature["geometry"]["type"] == "Polygon" else found
        rings += [[tuple(point) for point in ring] for part in parts for ring in part]
        assert sum(signed_area(ring) for part in parts for ring in part) == feature["properties"]["area"]
    mask = decode(post(client, encode(pixels)).content) == 255
    assert any(signed_area(ring) < 0 for ring in rings)
    np.testing.assert_array_equal(filled(rings, mask.shape), mask)


def test_geojson_of_an_empty_frame(client: httpx.Client) -> None:
    assert post(client, encode(np.zeros((9, 9, 3), np.uint8)), output="geojson").json()["features"] == []


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("application/json", "application/json"),
        ("application/geo+json, application/json;q=0.9", "application/geo+json"),
        ("application/x-npy", "application/x-npy"),
        ("text/html, image/*;q=0.1", "image/png"),
    ],
)
def test_accept_chooses(client: httpx.Client, accept: str, expected: str) -> None:
    assert post(client, headers={"accept": accept}).headers["content-type"] == expected


def test_without_accept_it_is_the_mask(client: httpx.Client) -> None:
    request = client.build_request("POST", URL, files={"file": FRAME})
    del request.headers["accept"]
    assert client.send(request).headers["content-type"] == "image/png"


def test_several_accept_headers_are_one(client: httpx.Client) -> None:
    headers = [("accept", "text/html"), ("accept", "application/json")]
    answer = client.post(URL, files={"file": FRAME}, headers=headers)
    assert answer.headers["content-type"] == "application/json"


def test_output_counts_more_than_accept(client: httpx.Client) -> None:
    answer = post(client, headers={"accept": "application/json"}, output="overlay")
    assert answer.headers["content-type"] == "image/jpeg"


def test_nothing_acceptable(client: httpx.Client) -> None:
    problem = check(post(client, headers={"accept": "text/html, image/webp"}), 406, "not-acceptable")
    assert {"output": "geojson", "media_type": "application/geo+json"} in problem["available"]
    assert [entry["output"] for entry in problem["available"]] == list(OUTPUTS)


@pytest.mark.parametrize(
    ("params", "detail"),
    [
        ({"output": "json", "bits": 1}, "bits: belongs to output=mask, not to output=json"),
        ({"output": "json", "bits": 0}, "bits: belongs to output=mask, not to output=json"),
        ({"output": "overlay", "bits": 1}, "bits: belongs to output=mask"),
        ({"opacity": 0.5}, "opacity: belongs to output=overlay, not to output=mask"),
        ({"output": "numpy", "format": "png"}, "format: belongs to output=overlay"),
        ({"output": "overlay", "colour": "green"}, "colour: "),
        ({"output": "overlay", "colour": "#00ff00"}, "colour: "),
        ({"output": "overlay", "colour": "00ff00\n"}, "colour: "),
        ({"output": "overlay", "opacity": 1.1}, "opacity: "),
        ({"output": "overlay", "opacity": "nan"}, "opacity: "),
        ({"output": "overlay", "format": "webp"}, "format: "),
        ({"output": "overlay", "contour": "perhaps"}, "contour: "),
    ],
)
def test_options_that_do_not_belong(client: httpx.Client, params: dict[str, Any], detail: str) -> None:
    assert check(post(client, **params), 422, "bad-parameter")["detail"].startswith(detail)


def test_option_does_not_belong_to_what_accept_chose(client: httpx.Client) -> None:
    answer = post(client, headers={"accept": "application/json"}, bits=1)
    check(answer, 422, "bad-parameter")


def nearly(value: Any) -> Any:
    """Whatever is nested, with floats compared to six digits."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-6)
    if isinstance(value, dict):
        return {key: nearly(item) for key, item in value.items()}
    return [nearly(item) for item in value] if isinstance(value, list) else value


def test_documentation_shows_every_output(client: httpx.Client) -> None:
    content = client.get("/openapi.json").json()["paths"]["/v1/segment"]["post"]["responses"]["200"]["content"]
    assert {name: media for media, entry in content.items() for name in entry["examples"]} == {
        name: output.media_type for name, output in OUTPUTS.items()
    }
    for entry in content.values():
        assert all(example["summary"] and example["value"] for example in entry["examples"].values())


def test_examples_in_the_documentation_are_right() -> None:
    """They show a square of 2 x 2 pixels on a frame of 4 x 3; of binary files, the first bytes."""
    mask = np.zeros((3, 4), np.uint8)
    mask[:2, 1:3] = 255
    probability = np.where(mask == 255, np.float32(0.93), np.float32(0))
    frame = Frame(np.zeros((3, 4, 3), np.uint8), 4, 3)
    segmentation = Segmentation.of(frame, whole(frame), probability, 0.5)
    feature = render.geojson(segmentation, Clock())
    expected = FeatureCollection.model_validate(OUTPUTS["geojson"].example)
    assert feature.model_dump() == nearly(expected.model_dump())
    report = Report.model_validate(OUTPUTS["json"].example)
    assert report.mask == Rle.of(mask)
    (lesion,) = lesions.find(segmentation)
    assert report.lesions[0].model_dump() == nearly(
        {name: getattr(lesion, name) for name in ("box", "polygon", "area", "fraction", "probability")}
    )


@pytest.mark.parametrize("name", ["mask", "overlay", "probability", "numpy"])
def test_examples_of_files_are_how_they_start(client: httpx.Client, name: str) -> None:
    assert post(client, output=name).content.startswith(OUTPUTS[name].example.encode("latin-1"))
