"""Real text that comes with Python, and documents with random ids."""

import pydoc_data.topics
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from curation.dedup.nodes import nodes


@pytest.fixture(scope="session")
def manual() -> list[str]:
    """The words of Python's language reference, some 80,000, as they stand in the text."""
    topics = pydoc_data.topics.topics
    return [word for name in sorted(topics) for word in topics[name].split(" ")]


@pytest.fixture(scope="session")
def make_nodes() -> Callable[..., Any]:
    def make(count: int, seed: int = 0, distinct_preferences: int = 3) -> Any:
        rng = np.random.default_rng(seed)
        return nodes(
            rng.integers(0, distinct_preferences, count).astype(np.uint64),
            rng.integers(0, 256, (count, 16), np.uint8),
            rng.integers(0, 100, count),
        )

    return make


@pytest.fixture
def shuffled() -> Callable[[int], list[int]]:
    def order(count: int) -> list[int]:
        return random.Random(5).sample(range(count), count)

    return order
