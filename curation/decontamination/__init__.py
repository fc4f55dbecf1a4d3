"""Test sets out of training data: an index of their items, and what of these stands in texts."""

from curation.decontamination.detection import Detector, Hit
from curation.decontamination.index import Index, Item, build
from curation.decontamination.sets import LAYOUTS, Layout, layout_of, read_set
from curation.decontamination.storage import benchmarks, load, save

__all__ = [
    "LAYOUTS",
    "Detector",
    "Hit",
    "Index",
    "Item",
    "Layout",
    "benchmarks",
    "build",
    "layout_of",
    "load",
    "read_set",
    "save",
]
