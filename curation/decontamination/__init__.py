"""Test sets out of training data: an index of their items, and what of these stands in texts."""

from curation.decontamination.detection import Detector, Hit
from curation.decontamination.index import Index, Item, build
from curation.decontamination.sets import LAYOUTS, Layout, layout_of, read_set
from curation.decontamination.storage import benchmarks, load, save

VERSION = 1  # raise it when other items are found, or with other scores

__all__ = [
    "LAYOUTS",
    "VERSION",
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
