from curation.decontamination.words import Index, Words
from curation.dedup.nodes import Array

def seeds(words: Words) -> Array:
    """The hash of the five words at each word, uint64 [words]; 0 where a part ends among them."""

def grams(words: Words) -> Array:
    """The hash of the three words at each word, likewise."""

class Matcher:
    """Compares texts with an index; holds scratch memory, so one for each thread."""

    def __init__(
        self,
        words: Words,
        weights: Array,
        starts: Index,
        keys: Words,
        seed_units: Words,
        directory: Words,
    ) -> None: ...
    def match(self, words: Words, counts: Index, least: int) -> Index:
        """Matches of texts whose words are concatenated, `counts` of each: int64 [matches, 6] of
        text, unit, weight of the unit's words that are there, how many of these it begins with,
        first word in the text and the one after the last; none of less weight than `least`."""
