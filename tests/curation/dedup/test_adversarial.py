"""Pages made to break clustering: one hot cluster, and boilerplate on pages that differ."""

import random

import numpy as np
import pytest

from curation.dedup.candidates import buckets, by_signatures, stars
from curation.dedup.components import connected, contract
from curation.dedup.minhash import Signer, band_keys, similarity, sketch
from curation.dedup.nodes import nodes
from schemas.deduplicate import Near

NEAR = Near()


def cluster(texts):
    """Documents, links contracted band by band, by band: buckets, divided, edges, counts;
    signatures, keys."""
    signatures = Signer(NEAR).sign(texts)
    ids = np.random.default_rng(0).integers(0, 256, (len(texts), 16), np.uint8)
    sizes = np.array([len(text.encode()) for text in texts])
    documents = nodes(np.uint64(1 << 40) - sizes.astype(np.uint64), ids, 0)
    keys = band_keys(signatures, NEAR.bands, NEAR.rows)
    links, bands = [], []
    for band in range(NEAR.bands):
        following = keys[:, (band + 1) % NEAR.bands]
        rows, found, divided = buckets(
            keys[:, band], following, documents["id_high"], NEAR.max_bucket
        )
        sketches = sketch(signatures[rows])
        compare, minima = by_signatures(sketches), sketches.__getitem__
        edges, counts = stars(found, documents[rows], compare, NEAR.verify, NEAR.rounds, minima)
        links.append(contract(edges))
        bands.append((found, divided, edges, counts))
    return documents, np.concatenate(links), bands, signatures, keys


@pytest.mark.slow
def test_100_000_copies_with_one_other_word(manual):
    page = manual[:150]
    vocabulary = sorted({word for word in manual if word.isalpha()})
    rng = random.Random(0)
    texts = []
    for _ in range(100_000):
        words = list(page)
        words[rng.randrange(150)] = rng.choice(vocabulary)
        texts.append(" ".join(words))
    documents, links, bands, *_ = cluster(texts)
    labels = connected(links)
    assert len(labels) > 99_990
    smallest = documents[
        np.lexsort((documents["id_low"], documents["id_high"], documents["preference"]))
    ][0]
    assert (labels["a"] == smallest).all()
    # the longest text, as asked
    assert smallest["preference"] == 2**40 - max(len(text.encode()) for text in texts)
    assert sum(divided for _, divided, *_ in bands) >= NEAR.bands
    for found, _, edges, counts in bands:
        assert np.bincount(found).max() <= NEAR.max_bucket
        assert len(edges) < 100_000
        assert counts.compared <= NEAR.rounds * len(found)


@pytest.mark.slow
def test_pairs_among_pages_that_share_boilerplate_are_found(manual):
    # a pair may share no band but those in which its bucket holds hundreds of other pages
    rng = random.Random(3)
    vocabulary = sorted({word for word in manual if word.isalpha()})
    boilerplate = rng.choices(vocabulary, k=100)
    texts = [[*boilerplate, *rng.choices(vocabulary, k=62)] for _ in range(20_000)]
    count = 3000
    for page in texts[:count]:
        other = list(page)
        for place in rng.sample(range(100, 162), 4):
            other[place] = rng.choice(vocabulary)
        texts.append(other)
    documents, links, bands, signatures, keys = cluster(list(map(" ".join, texts)))
    a, b = np.arange(count), np.arange(20_000, len(texts))
    candidate = (keys[a] == keys[b]).any(axis=1)
    alike = similarity(sketch(signatures[a]), sketch(signatures[b])) >= NEAR.verify
    assert count > (candidate & alike).sum() > 0.9 * count
    row = {document.tobytes(): at for at, document in enumerate(documents)}
    root = {row[link["b"].tobytes()]: row[link["a"].tobytes()] for link in connected(links)}
    lost = [
        pair
        for pair in zip(a[candidate & alike].tolist(), b[candidate & alike].tolist(), strict=True)
        if root.get(pair[0], pair[0]) != root.get(pair[1], pair[1])
    ]
    assert not lost
    # some were in no bucket by themselves
    assert sum(counts.given_up for *_, counts in bands) > 1000
    assert sum(counts.compared for *_, counts in bands) < 20 * sum(len(each[0]) for each in bands)


@pytest.mark.slow
def test_50_000_pages_that_share_boilerplate(manual):
    # 100 words of template and 62 of their own: a true similarity of .43 for every pair, and
    # buckets of hundreds of pages that agree in the template's hashes only.
    rng = random.Random(1)
    vocabulary = sorted({word for word in manual if word.isalpha()})
    boilerplate = " ".join(rng.choices(vocabulary, k=100))
    texts = [f"{boilerplate} {' '.join(rng.choices(vocabulary, k=62))}" for _ in range(50_000)]
    _, links, bands, *_ = cluster(texts)
    hot = max(np.bincount(found).max(initial=0) for found, *_ in bands)
    assert hot > 500
    assert len(links) == 0
    assert sum(counts.given_up for *_, counts in bands) > hot - 2 * NEAR.rounds
    for found, _, edges, counts in bands:
        assert len(edges) == 0
        # and two in each of 28 narrower bands
        assert counts.compared <= (NEAR.rounds + 2 * 28) * len(found)


def test_a_hot_bucket_is_divided_and_counted(manual):
    rng = random.Random(2)
    page = " ".join(manual[:400])
    texts = [f"{page} {rng.random()} {rng.random()} {rng.random()}" for _ in range(300)]
    signatures = Signer(NEAR).sign(texts)
    keys = band_keys(signatures, NEAR.bands, NEAR.rows)
    whole, bucket, none = buckets(keys[:, 0], keys[:, 1], keys[:, 2], 300)
    rows, parts, divided = buckets(keys[:, 0], keys[:, 1], np.arange(300, dtype=np.uint64), 100)
    sizes = np.bincount(bucket)
    assert sizes.max() > 100
    assert none == 0
    assert divided == sum(sizes > 100)
    assert np.bincount(parts).max() <= 100
    of = dict(zip(whole.tolist(), bucket.tolist(), strict=True))
    for part in range(parts.max() + 1):
        assert len({of[row] for row in rows[parts == part].tolist()}) == 1
    assert set(rows.tolist()) == set(whole.tolist())
