from tests.benchmarks.fuzz_readers import examine, fuzz, seeds


def test_seeds_are_sound():
    import random

    for format_, _, data in seeds():
        counts = examine(format_, data, random.Random(1))
        assert counts["record"] > 0
        assert counts["damage"] == counts["refused"] == 0


def test_two_thousand_damaged_files():
    total = fuzz(2000, seed=1)
    assert total["record"] > 2000
    assert total["damage"] > 2000
    assert fuzz(100, seed=2) == fuzz(100, seed=2)
