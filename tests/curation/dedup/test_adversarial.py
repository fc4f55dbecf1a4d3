"""Pages made to break clustering: one hot cluster, and boilerplate on pages that differ."""

import random
import time

import numpy as np

from curation.dedup.candidates import buckets, stars
from curation.dedup.components import connected, contract
from curation.dedup.minhash import Signer, band_keys
from curation.dedup.nodes import nodes, preference
from schemas.recipe import Near

NEAR = Near()


def cluster(texts):
    """Documents, links contracted band by band, and by band: buckets, divided, edges, counts."""
    signatures, signed = Signer(NEAR).sign(texts)
    assert signed.all()
    ids = np.random.default_rng(0).integers(0, 256, (len(texts), 16), np.uint8)
    sizes = np.array([len(text.encode()) for text in texts])
    documents = nodes(preference("longest", sizes, np.full(len(texts), -1)), ids, 0)
    keys = band_keys(signatures, NEAR.bands, NEAR.rows)
    links, bands = [], []
    for band in range(NEAR.bands):
        following = keys[:, (band + 1) % NEAR.bands]
        found, divided = buckets(keys[:, band], following, NEAR.max_bucket)
        edges, counts = stars(found, documents, signatures, NEAR.verify, NEAR.rounds)
        links.append(contract(edges))
        bands.append((found, divided, edges, counts))
    return documents, np.concatenate(links), bands


def test_5000_copies_with_one_other_word(manual):
    page = manual[:926]
    vocabulary = sorted({word for word in manual if word.isalpha()})
    rng = random.Random(0)
    texts = []
    for _ in range(5000):
        words = list(page)
        words[rng.randrange(926)] = rng.choice(vocabulary)
        texts.append(" ".join(words))
    start = time.process_time()
    documents, links, bands = cluster(texts)
    labels = connected(links)
    assert time.process_time() - start < 30
    assert len(labels) == 5000
    smallest = documents[
        np.lexsort((documents["id_low"], documents["id_high"], documents["preference"]))
    ][0]
    assert (labels["a"] == smallest).all()
    # the longest text, as asked
    assert smallest["preference"] == 2**64 - 1 - max(len(text.encode()) for text in texts)
    for _, _, edges, counts in bands:
        assert len(edges) < 5000
        assert counts.compared < 5000 * NEAR.rounds


def test_20000_pages_that_share_boilerplate(manual):
    # 100 words of template and 62 of their own: a true similarity of .43 for every pair, and
    # buckets of hundreds of pages that agree in the template's hashes only.
    rng = random.Random(1)
    vocabulary = sorted({word for word in manual if word.isalpha()})
    boilerplate = " ".join(rng.choices(vocabulary, k=100))
    texts = [f"{boilerplate} {' '.join(rng.choices(vocabulary, k=62))}" for _ in range(20_000)]
    start = time.process_time()
    _, links, bands = cluster(texts)
    assert time.process_time() - start < 60
    hot = max(np.bincount(found[found >= 0]).max(initial=0) for found, *_ in bands)
    assert hot > 200
    assert len(links) == 0
    assert sum(counts.given_up for *_, counts in bands) > hot - 2 * NEAR.rounds
    for found, _, edges, counts in bands:
        assert len(edges) == 0
        assert counts.compared <= NEAR.rounds * np.count_nonzero(found >= 0)


def test_a_hot_bucket_is_divided_and_counted(manual):
    rng = random.Random(2)
    page = " ".join(manual[:400])
    texts = [f"{page} {rng.random()} {rng.random()} {rng.random()}" for _ in range(300)]
    signatures, _ = Signer(NEAR).sign(texts)
    keys = band_keys(signatures, NEAR.bands, NEAR.rows)
    whole, none = buckets(keys[:, 0], keys[:, 1], 300)
    parts, divided = buckets(keys[:, 0], keys[:, 1], 100)
    assert np.bincount(whole[whole >= 0]).max() > 100
    assert none == 0
    assert divided == sum(np.bincount(whole[whole >= 0]) > 100)
    for part in range(parts.max() + 1):
        assert len(set(whole[parts == part].tolist())) == 1
