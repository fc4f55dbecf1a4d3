"""What is found among real duplicates, against the formula and the exact similarity."""

import gzip
import json
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.dedup.candidates import buckets, by_signatures, stars
from curation.dedup.components import connected, contract
from curation.dedup.minhash import Signer, band_keys, jaccard, similarity, sketch
from curation.dedup.nodes import nodes
from schemas.deduplicate import NEAR as PRESETS
from schemas.deduplicate import Near

pytestmark = pytest.mark.corpus

NEAR = Near()
# Seeds, and draws of the permutations from each, that the recall is the mean of.
SEEDS = range(101, 109)
DRAWS = 70


def read(path):
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def texts(corpus):
    return {row["id"]: row["text"] for row in read(corpus / "dedup" / "documents.jsonl.gz")}


@pytest.fixture(scope="module")
def pairs(corpus, texts):
    """Rows of every pair with its Jaccard similarity as published, and by our shingles."""
    row = {name: index for index, name in enumerate(texts)}
    published = read(corpus / "dedup" / "pairs.jsonl.gz")
    signer = Signer(NEAR)
    shingles = {}
    for name in {pair[end] for pair in published for end in "ab"}:
        shingles[name] = np.unique(signer.shingles(texts[name]))
    result = []
    for pair in published:
        a, b = shingles[pair["a"]], shingles[pair["b"]]
        common = len(np.intersect1d(a, b, assume_unique=True))
        own = common / (len(a) + len(b) - common)
        result.append((row[pair["a"]], row[pair["b"]], pair["jaccard"], own))
    return result


def test_our_shingles_are_much_like_the_published_ones(pairs):
    # Those keep underscores in words, digits and diacritics.
    differences = np.array([abs(published - own) for _, _, published, own in pairs])
    assert differences.mean() < 0.01
    assert differences.max() < 0.2


def test_candidate_recall_is_that_of_the_formula(texts, pairs):
    # Above .9 all are found, which `test_verified_clusters` sees.
    some = [pair for pair in pairs if pair[3] < 0.9]
    involved = sorted({row for a, b, *_ in some for row in (a, b)})
    position = {row: index for index, row in enumerate(involved)}
    names = list(texts)
    a = np.array([position[a] for a, *_ in some])
    b = np.array([position[b] for _, b, *_ in some])
    true = np.array([own for *_, own in some])
    agree = []
    for seed in SEEDS:
        # A signature that holds the bands of many draws at once.
        signer = Signer(Near(bands=NEAR.bands * DRAWS, rows=NEAR.rows, seed=seed))
        signatures = signer.sign([texts[names[row]] for row in involved])
        keys = band_keys(signatures, NEAR.bands * DRAWS, NEAR.rows)
        agree.append((keys[a] == keys[b]).reshape(len(some), DRAWS, NEAR.bands))
    found = np.concatenate(agree, axis=1).any(axis=2)
    expected = 1 - (1 - true**NEAR.rows) ** NEAR.bands
    for low, high in ((0.3, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.8), (0.8, 0.9), (0.3, 0.9)):
        within = (true >= low) & (true < high)
        assert within.sum() >= 50
        by_draw = found[within].mean(axis=0)
        error = by_draw.std() / len(by_draw) ** 0.5
        # Pairs of one cluster are found or missed together, so draws differ by much.
        assert error < 0.0035
        assert abs(by_draw.mean() - expected[within].mean()) < min(3 * error, 0.01)


def test_verified_clusters(texts, pairs):
    signatures = Signer(NEAR).sign(list(texts.values()))
    ids = np.random.default_rng(0).integers(0, 256, (len(texts), 16), np.uint8)
    documents = nodes(np.zeros(len(texts), np.uint64), ids, 0)
    keys = band_keys(signatures, NEAR.bands, NEAR.rows)
    row = {document.tobytes(): index for index, document in enumerate(documents)}
    true = {(min(a, b), max(a, b)): own for a, b, _, own in pairs}
    links = []
    for band in range(NEAR.bands):
        following = keys[:, (band + 1) % NEAR.bands]
        rows, found, divided = buckets(
            keys[:, band], following, documents["id_high"], NEAR.max_bucket
        )
        compare = by_signatures(signatures[rows])
        edges, counts = stars(found, documents[rows], compare, NEAR.verify, NEAR.rounds)
        assert divided == 0
        assert counts.given_up <= 5
        for edge in edges:
            a, b = row[edge["a"].tobytes()], row[edge["b"].tobytes()]
            assert keys[a, band] == keys[b, band]
            assert edge["similarity"] >= np.float32(NEAR.verify)
            assert edge["similarity"] == np.float32(similarity(signatures[a], signatures[b]))
            # Four standard errors below the floor is beyond chance.
            assert true[min(a, b), max(a, b)] > NEAR.verify - 4 * (0.21 / 112) ** 0.5
        links.append(contract(edges))
    root = {
        row[link["b"].tobytes()]: row[link["a"].tobytes()]
        for link in connected(np.concatenate(links))
    }
    joined = 0
    for a, b in true:
        candidate = (keys[a] == keys[b]).any()
        if candidate and similarity(signatures[a], signatures[b]) >= NEAR.verify:
            joined += 1
            assert root[a] == root[b]
    assert joined > 1000


@pytest.mark.parametrize("by", ["signatures", "shingles"])
@pytest.mark.parametrize(
    "near",
    [NEAR, PRESETS["nemo"], Near(bands=20, rows=2, verify=0.8)],
    ids=["fineweb", "nemo", "b"],
)
def test_clusters_are_those_of_all_pairs_that_share_a_bucket(texts, near, by):
    """As if every candidate pair were compared: nothing lost, nothing joined by another edge."""
    own = list(dict.fromkeys(texts.values()))
    shingles = [np.unique(Signer(near).shingles(text)) for text in own] if by == "shingles" else []
    for seed in (1, 2):
        signatures = Signer(near.model_copy(update={"seed": seed})).sign(own)
        sketches, keys = sketch(signatures), band_keys(signatures, near.bands, near.rows)
        ids = np.random.default_rng(seed).integers(0, 256, (len(own), 16), np.uint8)
        documents = nodes(np.zeros(len(own), np.uint64), ids, 0)
        links, candidates = [], set()
        for band in range(near.bands):
            following = keys[:, (band + 1) % near.bands]
            rows, found, _ = buckets(
                keys[:, band], following, documents["id_high"], near.max_bucket
            )
            compare = by_signatures(sketches[rows])
            if by == "shingles":
                compare = partial(jaccard, [shingles[row] for row in rows.tolist()])
            edges, _ = stars(
                found,
                documents[rows],
                compare,
                near.verify,
                near.rounds,
                sketches[rows].__getitem__,
            )
            links.append(contract(edges))
            for bucket in np.split(rows, np.flatnonzero(np.diff(found)) + 1):
                candidates.update(combinations(sorted(bucket.tolist()), 2))
        a, b = np.array(sorted(candidates)).T
        if by == "shingles":
            alike = jaccard(shingles, a, b) >= near.verify
        else:
            alike = similarity(sketches[a], sketches[b]) >= near.verify
        assert 1000 < alike.sum() < len(alike)
        every = coo_array((np.ones(alike.sum()), (a[alike], b[alike])), shape=(len(own), len(own)))
        _, expected = connected_components(every, directed=False)
        row = {document.tobytes(): index for index, document in enumerate(documents)}
        root = np.arange(len(own))
        for link in connected(np.concatenate(links)):
            root[row[link["b"].tobytes()]] = row[link["a"].tobytes()]
        assert len(set(zip(expected, root, strict=True))) == len(set(expected)) == len(set(root))
