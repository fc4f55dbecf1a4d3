import tracemalloc

import numpy as np
import pytest
from pydantic import ValidationError

from curation.dedup.minhash import Signer, band_keys, similarity
from curation.dedup.words import BATCH
from schemas.recipe import Near

datasketch = pytest.importorskip("datasketch")


def documents(manual, size, count):
    return [" ".join(manual[start : start + size]) for start in range(0, size * count, size)]


@pytest.fixture(scope="module")
def signer():
    return Signer(Near())


def jaccard(a, b):
    a, b = set(a.tolist()), set(b.tolist())
    return len(a & b) / len(a | b)


def test_signatures_are_those_of_datasketch(manual, signer):
    texts = [*documents(manual, 300, 20), "one two three four five", "字" * 40, " ".join(manual)]
    assert len(texts[-1]) > 3 * BATCH
    signatures, signed = signer.sign(texts)
    assert signatures.shape == (len(texts), 112)
    assert signatures.dtype == np.uint64
    assert signed.all()
    for text, signature in zip(texts, signatures, strict=True):
        own = datasketch.MinHash(112, seed=1, scheme="affine64", hashfunc=int)
        own.update_batch(signer.shingles(text).tolist())
        assert (own.hashvalues == signature).all()
        assert own == signer.datasketch(signature)


def test_signatures_do_not_change_with_versions(signer):
    signatures, _ = signer.sign(["The quick brown fox jumps over the lazy dog."])
    expected = [3509715125546849727, 5089613653576260333, 818062285913874936]
    assert signatures[0, :3].tolist() == expected
    keys = band_keys(signatures, 14, 8, "web")
    assert keys[0, :2].tolist() == [7684316954488737826, 16060047454144423336]


def test_a_signature_depends_on_its_text_alone(manual, signer):
    texts = ["", "short", *documents(manual, 700, 60), " ".join(manual[:50_000]), "five " * 5]
    together, signed = signer.sign(texts)
    for text, row, is_signed in zip(texts, together, signed, strict=True):
        alone, alone_signed = signer.sign([text])
        assert (alone[0] == row).all()
        assert alone_signed[0] == is_signed
    assert signed.tolist() == [False, False] + [True] * (len(texts) - 2)
    assert signer.sign([])[0].shape == (0, 112)


def test_texts_with_fewer_words_than_a_shingle_are_not_signed(signer):
    signatures, signed = signer.sign(
        ["a b c d", "a b c d e", "你好吗", "你好吗朋友", "", "🙂" * 50]
    )
    assert signed.tolist() == [False, True, False, True, False, False]
    empty = signer.datasketch().hashvalues
    assert (signatures[~signed] == empty).all()
    # Shingles do not cross from one text to the next.
    assert (signatures[1] == signer.sign(["a b c d e"])[0]).all()


def test_normalised_texts_have_equal_signatures(signer):
    texts = [
        "On 12 May the café “Zürich” opened its doors: a success!",
        "on 34 may, the CAFÉ 'Zurich' opened its doors - a success",
        "on 34 may the cafe\u0301 zu\u0308rich opened\n\nits doors a\u200b success…",
    ]
    signatures, _ = signer.sign(texts)
    assert (signatures == signatures[0]).all()


def test_estimates_are_those_of_jaccard(manual):
    # Overlapping pieces of real text, and nested ones, where a biased family shows.
    signer = Signer(Near(bands=500, rows=8, seed=3))
    texts = [" ".join(manual[start : start + 400]) for start in range(0, 40_000, 100)]
    texts += [" ".join(manual[: 200 + step]) for step in range(0, 4000, 100)]
    signatures, _ = signer.sign(texts)
    shingles = [signer.shingles(text) for text in texts]
    errors = []
    for distance in (1, 2, 3):
        for i in range(len(texts) - distance):
            true = jaccard(shingles[i], shingles[i + distance])
            found = float(similarity(signatures[i], signatures[i + distance]))
            errors.append(found - true)
            # five standard errors of 4,000 permutations
            assert abs(found - true) <= 5 * (true * (1 - true) / 4000) ** 0.5
    assert abs(np.mean(errors)) < 0.001


def test_similarity_is_that_of_datasketch(manual, signer):
    texts = [" ".join(manual[start : start + 200]) for start in range(0, 400, 40)]
    signatures, _ = signer.sign(texts)
    sketches = [signer.datasketch(signature) for signature in signatures]
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
    signatures, signed = signer.sign([text, text.replace("奴隶买卖", "人口买卖"), text[::-1]])
    assert signed.all()
    assert similarity(signatures[0], signatures[1]) > 0.7
    assert similarity(signatures[0], signatures[2]) < 0.1


def test_other_parameters(manual):
    texts = documents(manual, 200, 5)
    for near in (Near(bands=9, rows=13, shingle_words=13), Near(bands=1, rows=1, shingle_words=1)):
        signer = Signer(near)
        signatures, _ = signer.sign(texts)
        assert signatures.shape == (5, near.bands * near.rows)
        own = signer.datasketch()
        own.update_batch(signer.shingles(texts[2]).tolist())
        assert (own.hashvalues == signatures[2]).all()
    assert (Signer(Near(seed=2)).sign(texts)[0] != Signer(Near(seed=1)).sign(texts)[0]).all()


def test_a_seed_that_is_too_large_is_refused():
    with pytest.raises(ValidationError, match="less than 4294967296"):
        Near(seed=1 << 32)
    assert Signer(Near(seed=(1 << 32) - 1)).sign(["one two three four five six"])[1].all()


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
    signatures, signed = signer.sign([text, "a b c d e"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert signed.all()
    # 8 bytes a word, twice while they are put together, and the buffers
    assert peak < 16 * len(text.split()) + 60_000_000
    once, _ = signer.sign([" ".join([*manual, *manual])])
    assert similarity(signatures[0], once[0]) > 0.99
