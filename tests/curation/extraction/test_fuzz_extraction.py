from collections import Counter

from tests.benchmarks.fuzz_extraction import Fuzz


def test_damaged_pages_do_no_harm():
    """Some of what `tests/benchmarks/fuzz_extraction.py` does at length."""
    fuzz = Fuzz(seed=3)
    answers = Counter(fuzz.run(1500))
    assert answers.total() == 1500
    for engine in ("blocks", "resiliparse", "trafilatura"):
        assert answers[f"{engine}: page"] > 100
    reasons = {answer.partition(": ")[2] for answer in answers}
    assert {"page", "no_main_text", "other_language", "undecodable", "too_many_nodes"} <= reasons
