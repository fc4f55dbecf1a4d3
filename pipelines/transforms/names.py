"""Ids of documents in pipelines of others: any string stands for 16 bytes."""

from __future__ import annotations

import re
from hashlib import blake2b

_HEX = re.compile(r"[0-9a-f]{32}")


def packed(name: str) -> bytes:
    """The 16 bytes of an id of 32 hexadecimal digits, or a blake2b-128 of any other id."""
    if _HEX.fullmatch(name):
        return bytes.fromhex(name)
    return blake2b(name.encode(), digest_size=16).digest()
