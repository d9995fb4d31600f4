"""Lesions as GeoJSON (RFC 7946), in pixels and not in degrees, as QuPath and other pathology tools read it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app import lesions
from app.clock import Clock
from app.lesions import Lesion, Segmentation
from app.render.report import Box, FrameSize, Share
from app.render.rings import polygons

Position = tuple[int, int]
Ring = Annotated[list[Position], Field(description="x and y of pixel corners; closed: the last is the first")]
Rings = Annotated[list[Ring], Field(description="the outer one, counterclockwise by the numbers, then the holes")]


class Polygon(BaseModel):
    """One area, with its holes."""

    type: Literal["Polygon"] = "Polygon"
    coordinates: Rings


class MultiPolygon(BaseModel):
    """An area whose parts touch only at corners."""

    type: Literal["MultiPolygon"] = "MultiPolygon"
    coordinates: list[Rings]


class Properties(BaseModel):
    """What is known about the lesion."""

    area: Annotated[int, Field(description="pixels, holes not counted; equals the geometry's area")]
    fraction: Annotated[Share, Field(description="area over the frame's area")]
    probability: Annotated[Share, Field(description="mean over the lesion's pixels")]
    box: Box


class Feature(BaseModel):
    """One lesion."""

    type: Literal["Feature"] = "Feature"
    geometry: Polygon | MultiPolygon
    properties: Properties


class FeatureCollection(BaseModel):
    """Answer of `output=geojson`. Coordinates are pixels: (0, 0) is the frame's upper left corner, y points down."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    features: Annotated[list[Feature], Field(description="the largest first; empty where nothing is marked")]
    frame: Annotated[FrameSize, Field(description="what the coordinates refer to (a foreign member, section 6.1)")]


def geojson(segmentation: Segmentation, clock: Clock) -> FeatureCollection:
    """All lesions as features, each along the edges of its pixels."""
    with clock.stage("lesions"):
        features = [_feature(lesion) for lesion in lesions.find(segmentation)]
    return FeatureCollection(features=features, frame=FrameSize.of(segmentation))


def _feature(lesion: Lesion) -> Feature:
    parts = polygons(lesion.inside, lesion.box[:2])
    return Feature(
        geometry=Polygon(coordinates=parts[0]) if len(parts) == 1 else MultiPolygon(coordinates=parts),
        properties=Properties(
            area=lesion.area, fraction=lesion.fraction, probability=lesion.probability, box=lesion.box
        ),
    )
