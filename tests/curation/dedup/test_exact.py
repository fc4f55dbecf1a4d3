import numpy as np

from curation.dedup.exact import digest, groups, normalised_digest


def test_digests_are_of_the_text_within_the_scope():
    assert len(digest("text")) == 16
    assert digest("text") == digest("text")
    assert len({digest("text"), digest("Text"), digest("text", "a"), digest("text", "b")}) == 4
    # blake2b-128 of "abc", so that no version may change it unseen
    assert digest("abc").hex() == "cf4ab791c62b8d2b2109c90275287816"
    assert len(digest("\ud800")) == 16


def test_normalised_digests():
    assert normalised_digest("Café, 12!") == normalised_digest("cafe 99") != digest("Café, 12!")
    assert normalised_digest("Café") != normalised_digest("Café", "source")
    # Nothing is left of either: they are compared as they are.
    assert normalised_digest("🙂") != normalised_digest("🙁")


def test_groups_are_stars_around_the_smallest(make_nodes, shuffled):
    documents = make_nodes(1000)
    texts = [f"text {i % 300}" if i < 900 else f"single {i}" for i in range(1000)]
    raw = b"".join(map(digest, texts))
    hubs, leaves = groups(raw, documents)
    rows = [(int(d["preference"]), int(d["id_high"]), i) for i, d in enumerate(documents)]
    expected = set()
    for text in set(texts):
        hub, *others = sorted(row for row in rows if texts[row[2]] == text)
        expected |= {(documents[hub[2]].tobytes(), documents[o[2]].tobytes()) for o in others}
    got = [
        (documents[a].tobytes(), documents[b].tobytes()) for a, b in zip(hubs, leaves, strict=True)
    ]
    assert len(got) == 600
    assert set(got) == expected
    order = shuffled(1000)
    again = groups(np.frombuffer(raw, np.uint8).reshape(-1, 16)[order], documents[order])
    for one, other in zip((hubs, leaves), again, strict=True):
        assert (documents[one] == documents[order][other]).all()


def test_a_document_is_no_duplicate_of_itself(make_nodes):
    documents = make_nodes(2)[[0, 0, 1, 1]]
    assert len(groups(digest("x") * 4, documents)[1]) == 1
    assert len(groups(b"", documents[:0])[1]) == 0
