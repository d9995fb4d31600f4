"""A segmentation as bytes: one module for each family of outputs."""

from app.render.geojson import FeatureCollection, geojson
from app.render.mask import mask_png
from app.render.overlay import MEDIA_TYPES, Format, Style, overlay
from app.render.pair import PairReport, pair_picture, pair_report
from app.render.probability import probability_npy, probability_png
from app.render.report import Report, report

__all__ = [
    "MEDIA_TYPES",
    "FeatureCollection",
    "Format",
    "PairReport",
    "Report",
    "Style",
    "geojson",
    "mask_png",
    "overlay",
    "pair_picture",
    "pair_report",
    "probability_npy",
    "probability_png",
    "report",
]
