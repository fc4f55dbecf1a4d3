import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from curation.dedup.minhash import Signer, band_keys, jaccard, similarity, sketch
from curation.dedup.words import BATCH, normalise
from schemas.deduplicate import NEAR, Near

datasketch = pytest.importorskip("datasketch")


def documents(manual, size, count):
    return [" ".join(manual[start : start + size]) for start in range(0, size * count, size)]


@pytest.fixture(scope="module")
def signer():
    return Signer(Near())


def true_jaccard(a, b):
    a, b = set(a.tolist()), set(b.tolist())
    return len(a & b) / len(a | b)


def empty(signer):
    size, seed = signer.permutations, signer.near.seed
    return datasketch.MinHash(size, seed=seed, scheme="affine64", hashfunc=int)


def test_signatures_are_those_of_datasketch(manual, signer):
    texts = [*documents(manual, 300, 20), "one two three four five", "字" * 40, " ".join(manual)]
    assert len(texts[-1]) > 3 * BATCH
    signatures = signer.sign(texts)
    assert signatures.shape == (len(texts), 112)
    assert signatures.dtype == np.uint64
    for text, signature in zip(texts, signatures, strict=True):
        own = empty(signer)
        own.update_batch(signer.shingles(text).tolist())
        assert (own.hashvalues == signature).all()
        (lean,) = signer.to_datasketch(signature[None])
        assert lean == datasketch.LeanMinHash(own)
        assert (signer.from_datasketch([own, lean]) == signature).all()


def test_signatures_do_not_change_with_versions(signer):
    signatures = signer.sign(["The quick brown fox jumps over the lazy dog."])
    expected = [3509715125546849727, 5089613653576260333, 818062285913874936]
    assert signatures[0, :3].tolist() == expected
    keys = band_keys(signatures, 14, 8, "web")
    assert keys[0, :2].tolist() == [7684316954488737826, 16060047454144423336]


def test_a_signature_depends_on_its_text_alone(manual, signer):
    texts = ["", "short", *documents(manual, 700, 60), " ".join(manual[:50_000]), "five " * 5]
    together = signer.sign(texts)
    for text, row in zip(texts, together, strict=True):
        assert (signer.sign([text])[0] == row).all()
    assert signer.sign([]).shape == (0, 112)


def test_a_text_shorter_than_a_shingle_is_one_shingle(signer):
    texts = ["a b c d", "A, B: c… D!", "a b c", "a b c d e", "你好吗", "", "🙂", "🙁", "🙂"]
    signatures = signer.sign(texts)
    equal = [[bool((a == b).any()) for b in signatures] for a in signatures]
    alike = {0: 0, 1: 0, 8: 6}
    for i, row in enumerate(equal):
        for j, same in enumerate(row):
            assert same == (alike.get(i, i) == alike.get(j, j)), (texts[i], texts[j])
    own = empty(signer)
    own.update_batch(signer.shingles("a b c").tolist())
    assert (own.hashvalues == signatures[2]).all()


def test_shingles_of_characters(manual):
    signer = Signer(NEAR["nemo"])
    text = "On 12 May, the café “Zürich” opened its doors."
    plain = "on 00 may the cafe zurich opened its doors"
    shingles = signer.shingles(text)
    assert len(shingles) == len(plain) - 24 + 1
    assert (shingles == signer.shingles(plain)).all()
    # a shingle in the middle is the text of its characters
    assert shingles[7] == signer.shingles(plain[7 : 7 + 24])[0]
    texts = [text, "", "too short", *documents(manual, 300, 12), " ".join(manual[:60_000])]
    assert len(texts[-1]) > 2 * BATCH
    signatures = signer.sign(texts)
    for row, other in zip(signatures, texts, strict=True):
        own = empty(signer)
        own.update_batch(signer.shingles(other).tolist())
        assert (own.hashvalues == row).all()
    long = signer.shingles(texts[-1])
    assert len(long) == len(normalise(texts[-1])) - 24 + 1


def test_a_sketch_estimates_as_its_signature(manual, signer):
    texts = [" ".join(manual[start : start + 400]) for start in range(0, 2000, 20)]
    signatures = signer.sign(texts)
    sketches = sketch(signatures)
    assert sketches.dtype == np.uint16
    for row in range(1, len(texts)):
        assert similarity(sketches[0], sketches[row]) == similarity(signatures[0], signatures[row])
    wide = Signer(NEAR["refinedweb"])
    assert sketch(wide.sign(texts[:2])).shape == (2, 1024)


def test_a_sketch_of_shingles_is_that_of_the_text(manual, signer):
    texts = [" ".join(manual[at : at + 80]) for at in range(0, 800, 70)] + ["two words", ""]
    shingles = [np.unique(signer.shingles(text)) for text in texts]
    assert (signer.sketch_of(shingles) == sketch(signer.sign(texts))).all()
    assert signer.sketch_of([]).shape == (0, signer.permutations)


def test_true_jaccard(manual, signer):
    texts = [" ".join(manual[start : start + 300]) for start in range(0, 600, 60)]
    sets = [np.unique(signer.shingles(text)) for text in texts]
    a, b = np.array([0, 0, 3]), np.array([1, 0, 9])
    expected = [
        len(set(x) & set(y)) / len(set(x) | set(y))
        for x, y in ((sets[i].tolist(), sets[j].tolist()) for i, j in zip(a, b, strict=True))
    ]
    assert jaccard(sets, a, b).tolist() == expected
    assert expected[1] == 1


def test_normalised_texts_have_equal_signatures(signer):
    texts = [
        "On 12 May the café “Zürich” opened its doors: a success!",
        "on 34 may, the CAFÉ 'Zurich' opened its doors - a success",
        "on 34 may the cafe\u0301 zu\u0308rich opened\n\nits doors a\u200b success…",
    ]
    signatures = signer.sign(texts)
    assert (signatures == signatures[0]).all()


def test_estimates_are_those_of_jaccard(manual):
    # Overlapping pieces of real text, and nested ones, where a biased family shows.
    signer = Signer(Near(bands=500, rows=8, seed=3))
    texts = [" ".join(manual[start : start + 400]) for start in range(0, 40_000, 100)]
    texts += [" ".join(manual[: 200 + step]) for step in range(0, 4000, 100)]
    signatures = signer.sign(texts)
    shingles = [signer.shingles(text) for text in texts]
    errors = []
    for distance in (1, 2, 3):
        for i in range(len(texts) - distance):
            true = true_jaccard(shingles[i], shingles[i + distance])
            found = float(similarity(signatures[i], signatures[i + distance]))
            errors.append(found - true)
            # five standard errors of 4,000 permutations
            assert abs(found - true) <= 5 * (true * (1 - true) / 4000) ** 0.5
    assert abs(np.mean(errors)) < 0.001


def test_similarity_is_that_of_datasketch(manual, signer):
    texts = [" ".join(manual[start : start + 200]) for start in range(0, 400, 40)]
    signatures = signer.sign(texts)
    sketches = signer.to_datasketch(signatures)
    expected = [sketches[0].jaccard(sketch) for sketch in sketches]
    assert similarity(signatures[0], signatures).tolist() == expected
    assert expected[0] == 1
    assert 0 < expected[1] < 1


def test_near_duplicates_in_chinese_are_found(signer):
    text = (
        "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。"
        "人人有资格享有本宣言所载的一切权利和自由,不分种族、肤色、性别、语言、宗教、政治或其他见解。"
        "任何人不得使为奴隶或奴役;一切形式的奴隶制度和奴隶买卖,均应予以禁止。"
    )
    signatures = signer.sign([text, text.replace("奴隶买卖", "人口买卖"), text[::-1]])
    assert similarity(signatures[0], signatures[1]) > 0.7
    assert similarity(signatures[0], signatures[2]) < 0.1


def test_other_parameters(manual):
    texts = documents(manual, 200, 5)
    for near in (Near(bands=9, rows=13, shingle_words=13), Near(bands=1, rows=1, shingle_words=1)):
        signer = Signer(near)
        signatures = signer.sign(texts)
        assert signatures.shape == (5, near.bands * near.rows)
        own = empty(signer)
        own.update_batch(signer.shingles(texts[2]).tolist())
        assert (own.hashvalues == signatures[2]).all()
    assert (Signer(Near(seed=2)).sign(texts) != Signer(Near(seed=1)).sign(texts)).all()


def test_a_seed_that_is_too_large_is_refused():
    with pytest.raises(ValidationError, match="less than 4294967296"):
        Near(seed=1 << 32)
    assert len(Signer(Near(seed=(1 << 32) - 1)).sign(["one two three four five six"])) == 1


def test_band_keys_agree_where_bands_do():
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 1 << 63, (2, 12)).astype(np.uint64)
    signatures[1, 4:8] = signatures[0, 4:8]
    keys = band_keys(signatures, 3, 4)
    assert keys.shape == (2, 3)
    assert (keys[0] == keys[1]).tolist() == [False, True, False]
    # Equal rows in another order, or another band, are not equal bands.
    swapped = signatures[:1].copy()
    swapped[0, [4, 5]] = swapped[0, [5, 4]]
    assert band_keys(swapped, 3, 4)[0, 1] != keys[0, 1]
    same = np.full((1, 12), 7, np.uint64)
    assert len(set(band_keys(same, 3, 4)[0].tolist())) == 3


def test_band_keys_differ_between_scopes():
    signatures = np.arange(24, dtype=np.uint64).reshape(1, 24).repeat(3, axis=0)
    one = band_keys(signatures, 3, 8, "one")
    each = band_keys(signatures, 3, 8, ["one", "other", "one"])
    assert (each[0] == one[0]).all()
    assert (each[2] == one[0]).all()
    assert (each[1] != one[1]).all()
    assert (band_keys(signatures, 3, 8) != one).all()


@pytest.mark.slow
def test_a_text_of_50_mb_takes_bounded_memory(manual, signer):
    text = " ".join(manual)
    text = (text * (50_000_000 // len(text) + 1))[:50_000_000]
    tracemalloc.start()
    signatures = signer.sign([text, "a b c d e"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 8 bytes a word, twice while they are put together, and the buffers
    assert peak < 16 * len(text.split()) + 60_000_000
    once = signer.sign([" ".join([*manual, *manual])])
    assert similarity(signatures[0], once[0]) > 0.99


def test_sketches_of_another_kind_are_refused(signer):
    kinds = [
        {"num_perm": 112, "seed": 2, "scheme": "affine64"},
        {"num_perm": 112, "seed": 1, "scheme": "affine32"},
        {"num_perm": 64, "seed": 1, "scheme": "affine64"},
    ]
    for kind in kinds:
        with pytest.raises(ValueError, match="scheme, seed and permutations"):
            signer.from_datasketch([datasketch.MinHash(**kind)])
    assert signer.from_datasketch([]).shape == (0, 112)


def test_the_index_of_the_readme(manual):
    readme = (Path(__file__).parents[3] / "curation/dedup/README.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    texts = documents(manual, 200, 30)
    names = {"texts": {str(number): text for number, text in enumerate(texts)}}
    names["query"] = texts[7] + " and a few words more"
    exec(script, names)
    assert "7" in names["found"]
    assert len(names["found"]) < 30
