"""Keys that open something: of services with a known form, private keys, and wallets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

from curation.pii.scan import Scan
from curation.pii.spans import Span

# What a service's keys begin with, and what follows: letters, digits and their number.
_KEYS = {
    "AKIA": r"[A-Z0-9]{16}",  # Amazon Web Services
    "ASIA": r"[A-Z0-9]{16}",
    "AIza": r"[\w-]{35}",  # Google
    "GOCSPX-": r"[\w-]{28}",
    "ya29.": r"[\w-]{40,}",
    "ghp_": r"[A-Za-z0-9]{36,}",  # GitHub
    "gho_": r"[A-Za-z0-9]{36,}",
    "ghu_": r"[A-Za-z0-9]{36,}",
    "ghs_": r"[A-Za-z0-9]{36,}",
    "ghr_": r"[A-Za-z0-9]{36,}",
    "github_pat_": r"\w{60,}",
    "glpat-": r"[\w-]{20,}",  # GitLab
    "xoxb-": r"[\w-]{20,}",  # Slack
    "xoxp-": r"[\w-]{20,}",
    "xapp-": r"[\w-]{40,}",
    "sk_live_": r"[A-Za-z0-9]{20,}",  # Stripe
    "rk_live_": r"[A-Za-z0-9]{20,}",
    "sk-": r"(?:(?:proj|svcacct|ant|or)-[\w-]{30,}|[A-Za-z0-9]{40,})",  # OpenAI, Anthropic and such
    "hf_": r"[A-Za-z]{34,}",  # Hugging Face
    "npm_": r"[A-Za-z0-9]{36}",
    "pypi-": r"AgE[\w-]{50,}",
    "SG.": r"[\w-]{22}\.[\w-]{43}",  # SendGrid
    "dop_v1_": r"[0-9a-f]{64}",  # DigitalOcean
    "shpat_": r"[0-9a-f]{32}",  # Shopify
    "sq0atp-": r"[\w-]{22,}",  # Square
    "sq0csp-": r"[\w-]{22,}",
    "lin_api_": r"[A-Za-z0-9]{40}",
    "PMAK-": r"[0-9a-f]{24}-[0-9a-f]{34}",  # Postman
    "eyJ": r"[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}",  # JSON web tokens, RFC 7519
}
_FORMS = {
    prefix: re.compile(f"{re.escape(prefix)}{rest}(?![A-Za-z0-9_])", re.ASCII)
    for prefix, rest in _KEYS.items()
}
_PREFIX = re.compile(f"(?<![A-Za-z0-9_])(?:{'|'.join(map(re.escape, _KEYS))})")
_LONGEST_PREFIX = 5  # of those that a word of a key does not begin with: `ya29.`
_LEAST_DIFFERENT = 8  # characters in a key: `ghp_xxxx...` is an example
_PRIVATE = re.compile(
    r"-----BEGIN ((?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?)-----"
    r"(?:[^-]|-(?!----)){40,}+-----END \1-----"
)
_WALLET = re.compile(
    r"(?<![A-Za-z0-9])(?:0x[0-9a-fA-F]{40}|[13][1-9A-HJ-NP-Za-km-z]{25,34}"
    r"|(?:bc|BC)1[a-zA-Z0-9]{25,59})(?![A-Za-z0-9])"
)
_BASE_58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH_32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def keys(scan: Scan) -> Iterator[Span]:
    """API_KEY: of services whose keys have a form of their own."""
    for start, end in scan.keys:
        for prefix in _PREFIX.finditer(scan.text, max(0, start - _LONGEST_PREFIX), end):
            match = _FORMS[prefix[0]].match(scan.text, prefix.start())
            if match and len(set(match[0])) >= _LEAST_DIFFERENT and "EXAMPLE" not in match[0]:
                yield Span(*match.span(), "API_KEY", 1.0)


def private_keys(scan: Scan) -> Iterator[Span]:
    """PRIVATE_KEY: blocks of RFC 7468 and of OpenPGP, from their first line to their last."""
    if "PRIVATE KEY" in scan.text:
        for match in _PRIVATE.finditer(scan.text):
            yield Span(*match.span(), "PRIVATE_KEY", 1.0)


def wallets(scan: Scan) -> Iterator[Span]:
    """CRYPTO: Bitcoin addresses with their checksum, and Ethereum's form."""
    for start, end in scan.keys:
        for match in _WALLET.finditer(scan.text, start, end):
            address = match[0]
            if address[:2] == "0x":
                if len(set(address)) >= _LEAST_DIFFERENT:
                    yield Span(*match.span(), "CRYPTO", 0.6)
            elif _checks_58(address) if address[0] in "13" else _checks_32(address):
                yield Span(*match.span(), "CRYPTO", 1.0)


def _checks_58(address: str) -> bool:
    """Base58Check: the last four bytes begin the digest of the others."""
    number = 0
    for char in address:
        number = number * 58 + _BASE_58.index(char)
    try:
        data = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return sha256(sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def _checks_32(address: str) -> bool:
    """The checksum of BIP 173 (1) and of BIP 350 (0x2bc830a3)."""
    lower = address.lower()
    if address not in (lower, address.upper()) or not set(lower[3:]) <= set(_BECH_32):
        return False
    check = 1
    for value in (3, 3, 0, 2, 3, *map(_BECH_32.index, lower[3:])):  # of `bc`, expanded
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(
            (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
        ):
            check ^= generator if top >> bit & 1 else 0
    return check in (1, 0x2BC830A3)
