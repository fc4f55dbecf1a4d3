import hashlib
import random

import numpy as np
import pytest

from curation.keys import Part, document_id, key64, key64_many


def test_known_values() -> None:
    # Keys decide what is in every run on disk: they may never change.
    length = bytes(7)  # then the last byte of eight
    encoded = b"".join(
        [
            *(b"i", length, b"\1", b"\1"),
            *(b"s", length, b"\3", b"mix"),
            *(b"s", length, b"\3", b"web"),
            *(b"b", length, b"\4", b"\0ab\0"),
        ]
    )
    expected = int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big")
    assert key64(1, "mix", "web", b"\0ab\0") == expected
    assert key64(1, "mix", "web", bytes(16)) == 0xA329F2728B45F4DA
    name = document_id("web", "a/b.warc.gz", 12, "bytes")
    assert name.hex() == "db80ac3914b4ef34a0f51bd2562787ba"


def test_many_agrees_with_one() -> None:
    rng = random.Random(1)
    ids = [rng.randbytes(16) for _ in range(300)] + [bytes(16), b"a" + bytes(15)]
    keys = key64_many(7, "mix", ids, "web", 3)
    assert keys.dtype == np.uint64
    assert keys.tolist() == [key64(7, "mix", "web", 3, item) for item in ids]
    assert key64_many(7, "mix", np.asarray(ids, "V16"), "web", 3).tolist() == keys.tolist()
    assert key64_many(7, "row", range(300)).tolist() == [key64(7, "row", n) for n in range(300)]
    assert key64_many(7, "mix", []).shape == (0,)


def test_encoding_is_unambiguous() -> None:
    lists: list[tuple[str, list[Part]]] = [
        ("pa", ["bc"]), ("p", ["a", "bc"]), ("p", ["ab", "c"]), ("p", ["abc"]), ("p", ["abc", ""]),
        ("p", [b"abc"]), ("p", [1]), ("p", ["1"]), ("p", [b"\1"]), ("p", [-1]), ("p", [255]),
        ("p", [256]), ("p", [1 << 64]), ("p", [0]), ("p", [""]), ("p", [b""]), ("p", []),
    ]  # fmt: skip
    keys = {key64(seed, purpose, *parts) for seed in (0, 1, 1 << 70) for purpose, parts in lists}
    assert len(keys) == 3 * len(lists)


def test_keys_are_spread_evenly() -> None:
    keys = key64_many(1, "mix", range(40_000))
    for bit in range(64):
        ones = int((keys >> np.uint64(bit) & np.uint64(1)).sum())
        assert abs(ones - 20_000) < 5 * 100  # five standard deviations


def test_document_id() -> None:
    ids = {
        document_id(source, path, offset, kind)
        for source in ("web", "books")
        for path in ("a.warc", "b/a.warc", "b/ä.warc")
        for offset in (0, 1, 1 << 40)
        for kind in ("bytes", "rows")
    }
    assert len(ids) == 36
    assert {len(one) for one in ids} == {16}
    with pytest.raises(ValueError, match="relative"):
        document_id("web", "/data/a.warc", 0, "bytes")
    with pytest.raises(ValueError, match="relative"):
        document_id("web", "s3://bucket/a.warc", 0, "bytes")
    with pytest.raises(ValueError, match="negative"):
        document_id("web", "a.warc", -1, "bytes")
