"""What a segmentation can be answered with: one row of `OUTPUTS` each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from app import negotiation, render
from app.clock import Clock
from app.errors import BadParameter, NotAcceptable
from app.lesions import Segmentation
from app.marking import Marking
from app.model import Model
from app.render import Format, Style

JSON = "application/json"
GEOJSON = "application/geo+json"
DICOM = "application/dicom"

ALWAYS = frozenset(("model", "threshold", "peak", "output", "frame"))  # parameters that belong to every output

Name = Literal["mask", "overlay", "probability", "numpy", "json", "geojson", "dicom-seg"]
Renderer = Callable[[Segmentation, Model, Clock, "SegmentQuery"], bytes]


class SegmentQuery(Marking):
    """Parameters of a segmentation; any other is refused, since it is likely misspelt."""

    model: Annotated[str | None, Field(description="`name` or `name/version`; see /v1/models")] = None
    output: Annotated[
        Name | None, Field(description="what to answer with; where unset, the `Accept` header decides")
    ] = None
    bits: Annotated[bool, Field(description="mask: one bit a pixel")] = False
    colour: Annotated[
        str, Field(pattern="^[0-9a-fA-F]{6}$", description="overlay: of fill and contour, red, green, blue in hex")
    ] = "00ff00"
    opacity: Annotated[float, Field(ge=0, le=1, description="overlay: of the fill")] = Style.opacity
    contour: Annotated[bool, Field(description="overlay: whether outlines are drawn")] = Style.contour
    format: Annotated[Format, Field(description="overlay: kind of file")] = "jpeg"
    frame: Annotated[
        int | None,
        Field(ge=1, description="number of a DICOM object's frame; unset: the first, or for dicom-seg all of them"),
    ] = None


@dataclass(frozen=True)
class Output:
    """One kind of answer.

    Attributes:
        media_type: by which `Accept` finds it; the first row of a type gets the request.
        render: gives the bytes.
        summary: for the documentation.
        example: for the documentation; of binary files, how they start.
        options: parameters that have a meaning here.
        whole: whether all pixels of the frame are needed.
        every: whether all frames of a DICOM object are needed, unless one is asked for.
    """

    media_type: str
    render: Renderer
    summary: str
    example: Any
    options: frozenset[str] = frozenset()
    whole: bool = False
    every: bool = False

    def media_type_for(self, query: SegmentQuery) -> str:
        """The media type, which `format` may change."""
        return render.MEDIA_TYPES[query.format] if "format" in self.options else self.media_type


def choose(query: SegmentQuery, accept: Sequence[str]) -> Name:
    """The output that is asked for, or else the best one for these `Accept` headers.

    Raises:
        NotAcceptable: none of the media types will do.
        BadParameter: an option of another output was given.
    """
    name = query.output or _negotiate(", ".join(accept))
    for option in sorted(query.model_fields_set - OUTPUTS[name].options - ALWAYS):
        owners = " and ".join(owner for owner, output in OUTPUTS.items() if option in output.options)
        raise BadParameter(f"{option}: belongs to output={owners}, not to output={name}: leave it out.")
    return name


def _negotiate(accept: str) -> Name:
    offers: dict[str, Name] = {}
    for name, output in OUTPUTS.items():
        offers.setdefault(output.media_type, name)
    found = negotiation.best(accept, tuple(offers))
    if found is None:
        raise NotAcceptable(
            f"None of {', '.join(offers)} is accepted by {accept!r}: change Accept, or name an output with output=.",
            available=[{"output": name, "media_type": output.media_type} for name, output in OUTPUTS.items()],
        )
    return offers[found]


def _mask(segmentation: Segmentation, _model: Model, _clock: Clock, query: SegmentQuery) -> bytes:
    return render.mask_png(segmentation, bits=query.bits)


def _overlay(segmentation: Segmentation, _model: Model, _clock: Clock, query: SegmentQuery) -> bytes:
    red, green, blue = bytes.fromhex(query.colour)
    style = Style(colour=(red, green, blue), opacity=query.opacity, contour=query.contour)
    return render.overlay(segmentation, style, query.format)


def _probability(segmentation: Segmentation, _model: Model, _clock: Clock, _query: SegmentQuery) -> bytes:
    return render.probability_png(segmentation)


def _numpy(segmentation: Segmentation, _model: Model, _clock: Clock, _query: SegmentQuery) -> bytes:
    return render.probability_npy(segmentation)


def _report(segmentation: Segmentation, model: Model, clock: Clock, _query: SegmentQuery) -> bytes:
    return render.report(segmentation, model, clock).model_dump_json().encode()


def _geojson(segmentation: Segmentation, _model: Model, clock: Clock, _query: SegmentQuery) -> bytes:
    return render.geojson(segmentation, clock).model_dump_json().encode()


def _dicom_seg(segmentation: Segmentation, model: Model, _clock: Clock, _query: SegmentQuery) -> bytes:
    from app.dicom import seg  # noqa: PLC0415  (as in app/segment.py)

    return seg.write(segmentation, model)


PNG_START, JPEG_START, NPY_START = "\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "\x93NUMPY\x01\x00"
DICOM_START = "\0" * 128 + "DICM"
# A new output is its name in `Name` and its row here.
OUTPUTS: dict[Name, Output] = {
    "mask": Output(
        media_type="image/png",
        render=_mask,
        summary="the mask, 0 or 255, grey of 8 bits; with bits=1, of one bit",
        example=PNG_START,
        options=frozenset(("bits",)),
    ),
    "overlay": Output(
        media_type="image/jpeg",
        render=_overlay,
        summary="the frame with the mask filled and outlined; with format=png, a PNG",
        example=JPEG_START,
        options=frozenset(("colour", "opacity", "contour", "format")),
        whole=True,
    ),
    "probability": Output(
        media_type="image/png",
        render=_probability,
        summary="round(p x 65535), grey of 16 bits; threshold= matters with peak= only",
        example=PNG_START,
    ),
    "numpy": Output(
        media_type="application/x-npy",
        render=_numpy,
        summary="the probability as numpy.load reads it, float32 [height, width]; threshold= matters with peak= only",
        example=NPY_START,
    ),
    "json": Output(
        media_type=JSON,
        render=_report,
        summary="lesions, mask as RLE and timings",
        example={
            "model": "polyp-lite0-pruned",
            "version": "1",
            "provider": "CPUExecutionProvider",
            "frame": {"width": 4, "height": 3},
            "threshold": 0.5,
            "lesions": [
                {
                    "box": [1, 0, 2, 2],
                    "polygon": [[1, 0], [1, 1], [2, 1], [2, 0]],
                    "area": 4,
                    "fraction": 0.3333333333333333,
                    "probability": 0.93,
                }
            ],
            "mask": {"size": [3, 4], "counts": "32103"},
            "timings": {"queue": 0.1, "decode": 0.9, "fit": 0.1, "network": 29.3, "mask": 0.2, "lesions": 0.8},
        },
    ),
    "geojson": Output(
        media_type=GEOJSON,
        render=_geojson,
        summary="lesions as polygons with holes, in pixels",
        example={
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": [[[3, 0], [3, 2], [1, 2], [1, 0], [3, 0]]]},
                    "properties": {
                        "area": 4,
                        "fraction": 0.3333333333333333,
                        "probability": 0.93,
                        "box": [1, 0, 2, 2],
                    },
                }
            ],
            "frame": {"width": 4, "height": 3},
        },
    ),
    "dicom-seg": Output(
        media_type=DICOM,
        render=_dicom_seg,
        summary="a DICOM Segmentation of the DICOM object that was sent",
        example=DICOM_START,
        every=True,
    ),
}
