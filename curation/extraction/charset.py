"""Bytes of a page to text: as browsers do it, and noticing a declaration that is wrong.

The order is that of the HTML standard (WHATWG, 13.2.3.2): byte order mark, HTTP header, `meta`,
detection. Unlike a browser, a declaration is checked against the bytes: what is nearly all valid
UTF-8, or has the zeros of UTF-16, is that whatever it declares.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Literal

from curation.extraction.tags import controls
from curation.language import FIRST, Languages, bundled

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF_16 = frozenset({"utf-16-le", "utf-16-be"})
_HIGH = bytes(range(0x80, 0x100))
_PRESCAN = 1024  # bytes, of the HTML standard
_HEAD = 1 << 16  # bytes in which a declaration counts that comes later, as in browsers
_DETECT = 1 << 14  # bytes of text without markup that a detection looks at
_DETECT_PARTS = 8  # each of which votes: a broken byte costs one vote
_LEAST_PART = 200  # bytes
# Bytes in valid sequences of UTF-8 for each broken place, from which on a text is UTF-8. Of 300
# sentences in each of 22 legacy charsets none has more than 2.1, of their parts of 20 characters 1
# in 6,500 (Thai); of parts of 8 characters 8.
_VALID_BYTES = 3
# A declared multi-byte charset may still be broken in places: undecodable bytes a byte not ASCII.
_BROKEN_SHARE = 0.05
# UTF-16 has the zeros of its ASCII characters, which are that many of all, in every other byte.
_ASCII_SHARE = 0.05
# Control and replacement characters a character, above which a page is no text.
_BINARY_SHARE = 0.05
_FEW = 2  # of which a short one may have

# Python's codec for each encoding of the web (WHATWG Encoding Standard). Some labels mean more
# than their standard: ISO-8859-1 is windows-1252, GB2312 is GB18030.
_SAME = [
    *("utf-8", "utf-16-le", "utf-16-be", "cp866", "koi8-r", "koi8-u", "mac-roman", "mac-cyrillic"),
    *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
    *(f"cp{page}" for page in (874, 932, 949, *range(1250, 1259))),
    *("gb18030", "big5hkscs", "euc_jp", "iso2022_jp"),
]
_CODECS = dict(zip(_SAME, _SAME, strict=True)) | {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "euc_kr": "cp949",
    "johab": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "utf-16": "utf-16-le",
}
# Labels of the web (WHATWG Encoding Standard, 4.2) that Python does not know, by its codec.
_LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
    "utf-16-be": "unicodefffe",
    **{f"iso8859-{part}": f"iso8859{part}" for part in range(1, 17)},
    "iso8859-6": "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i iso88596",
    "iso8859-7": "iso88597 sun_eu_greek",
    "iso8859-8": "csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i iso88598 logical visual",
    "iso8859-15": "csisolatin9 iso885915",
    **{f"cp{page}": f"x-cp{page}" for page in range(1250, 1259)},
    "koi8-r": "koi koi8",
    "koi8-u": "koi8-ru",
    "mac-roman": "csmacintosh mac x-mac-roman",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "cp874": "dos-874 windows-874",
    "gb18030": "csgb2312 gb_2312 gb_2312-80 x-gbk",
    "big5hkscs": "cn-big5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese x-euc-jp",
    "cp932": "windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 iso-ir-149 ks_c_5601-1989 ksc_5601 windows-949",
}
_ALIASES = {label: codec for codec, labels in _LABELS.items() for label in labels.split()}

# What a page without any declaration may be in, more common ones first.
_LEGACY = [
    *("cp1252", "cp1251", "gb18030", "cp932", "euc_jp", "cp949", "big5", "cp1250", "cp1254"),
    *("cp1256", "cp1253", "cp1255", "cp1257", "cp874", "koi8_r", "iso8859_2", "iso8859_5"),
]
# Those of Latin letters, with the languages that need them; all others are in the first.
_LATIN = {
    "cp1252": frozenset[str](),
    "cp1250": frozenset(
        ("bs", "cs", "dsb", "hr", "hsb", "hu", "pl", "ro", "sh", "sk", "sl", "sq", "sr")
    ),
    "cp1254": frozenset(("az", "ku", "tr")),
    "cp1257": frozenset(("et", "lt", "lv")),
}
_READ = 2_000  # bytes of text by which their language is told

_META = re.compile(
    rb"<meta\b[^>]{0,500}?\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE
)
_XML = re.compile(rb"\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z0-9_.:-]+)")
_JAPANESE = re.compile(rb"\x1b\$[@B]")  # ISO-2022-JP, which may be declared by nothing
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
_MARKUP = re.compile(rb"<(?:script|style)\b[^<]*|<[^<>]*>|[\x00-\x7f]{200,}")


class UndecodableError(Exception):
    """Bytes that are no text in any charset that was declared or found."""


def decode(payload: bytes, http_charset: str | None) -> tuple[str, str]:
    """Decode a page; its text and the name of the codec that was used.

    Bytes that do not fit the charset become U+FFFD. Raises UndecodableError if what comes out is
    mostly no text.
    """
    text, charset = _decode(payload, http_charset)
    if controls(markup_of(payload, text, charset)) > _BINARY_SHARE * len(text) + _FEW:
        raise UndecodableError(charset)
    return text, charset


def markup_of(payload: bytes, text: str, charset: str) -> bytes:
    """A decoded page in UTF-8: what it came as, if that is what it came in."""
    if charset == "utf-8" and "\ufffd" not in text and not payload.startswith(codecs.BOM_UTF8):
        return payload
    return text.encode()


def _decode(payload: bytes, http_charset: str | None) -> tuple[str, str]:
    for mark, charset in _BOMS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(charset, "replace"), charset
    if wide := _utf_16(payload):
        return payload.decode(wide, "replace"), wide
    # Escapes of seven bits look like ASCII.
    if b"\x1b" in payload:
        declared = _declared(payload, http_charset)
        if _JAPANESE.search(payload) and payload.isascii():
            declared = ["iso2022_jp"]
        if declared and declared[0].startswith("iso2022"):
            return payload.decode(declared[0], "replace"), declared[0]
    try:
        # Other text is not valid UTF-8 by chance, whatever is declared.
        return payload.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    ascii_bytes = len(payload.translate(None, _HIGH))
    text, cut = _replaced(payload, "utf-8")
    broken = text.count("\ufffd") - payload.count("\ufffd".encode())
    valid = len(text.encode()) - ascii_bytes - len("\ufffd".encode()) * broken
    if valid >= max(1, _VALID_BYTES * broken):
        return text + cut, "utf-8"
    declared = [codec for codec in _declared(payload, http_charset) if codec not in _UTF_16]
    for charset in declared:
        text, cut = _replaced(payload, charset)
        if text.count("\ufffd") <= _BROKEN_SHARE * (len(payload) - ascii_bytes) + 0.5:
            return text + cut, charset
    charset = _detect(payload) or (declared[0] if declared else "cp1252")
    return payload.decode(charset, "replace"), charset


def _replaced(payload: bytes, charset: str) -> tuple[str, str]:
    """The text with U+FFFD for what is broken, and U+FFFD for a character that the end cuts off."""
    decoder = codecs.getincrementaldecoder(charset)("replace")
    return decoder.decode(payload), decoder.decode(b"", True)


def _utf_16(payload: bytes) -> str | None:
    """Which UTF-16 a page without a mark is in, by where its zeros stand; None if it is in none."""
    head = payload[:_HEAD]
    if b"\0" not in head:
        return None
    big, little = head[::2].count(0), head[1::2].count(0)
    if max(big, little) < _ASCII_SHARE * len(head) / 2 or 4 * min(big, little) > max(big, little):
        return None
    return "utf-16-le" if little > big else "utf-16-be"


def flaw_of(
    payload: bytes, http_charset: str | None, text: str, charset: str
) -> Literal["wrong_charset", "broken_text"] | None:
    """What is wrong with the characters of a page that was decoded to `text` by `charset`.

    `wrong_charset`: it declares another one. `broken_text`: some of its bytes are none of it, and
    became U+FFFD.
    """
    if payload.isascii() and b"\x1b" not in payload:
        return None
    declared = codec_of(http_charset) or codec_of(meta_charset(payload))
    if declared and declared != charset and not {declared, charset} <= _UTF_16:
        return "wrong_charset"
    if "\ufffd" not in text:
        return None
    given = payload.count("\ufffd".encode(charset)) if charset in {"utf-8", *_UTF_16} else 0
    return "broken_text" if text.count("\ufffd") > given else None


def _declared(payload: bytes, http_charset: str | None) -> list[str]:
    """The codecs that the HTTP header and the page itself name, in this order."""
    labels = (http_charset, meta_charset(payload))
    return [codec for label in labels if (codec := codec_of(label))]


def codec_of(label: str | None) -> str | None:
    """Python's codec for a charset's label on the web; None if there is none."""
    name = (label or "").strip().strip("\"'").lower()
    try:
        return _CODECS.get(codecs.lookup(_ALIASES.get(name, name)).name)
    except (LookupError, ValueError):
        return None


def meta_charset(payload: bytes) -> str | None:
    """The label that the beginning of a page declares in a `meta` element or an XML declaration.

    Browsers read the first 1,024 bytes before the page, and heed a later one too.
    A declaration that can be read is not in UTF-16: it then means UTF-8.
    """
    for size in (_PRESCAN, _HEAD):
        start = _COMMENT.sub(b"", payload[:size])
        if found := _XML.match(start) or _META.search(start):
            break
    else:
        return None
    label = found[1].decode("ascii")
    return "utf-8" if codec_of(label) in _UTF_16 else label


def _detect(payload: bytes) -> str | None:
    """The charset that most parts of the text between the tags seem to be in."""
    from charset_normalizer import from_bytes  # few pages need it

    text = b" ".join(_MARKUP.sub(b" ", payload[: _DETECT * 16]).split())[:_DETECT]
    size = max(_LEAST_PART, -(-len(text) // _DETECT_PARTS))
    ends = [text.find(b" ", at) for at in range(size, len(text), size)]
    votes: Counter[str] = Counter()
    for start, end in pairwise([0, *(end for end in ends if end >= 0), len(text)]):
        best = (
            None
            if text[start:end].isascii()
            else from_bytes(text[start:end], cp_isolation=_LEGACY).best()
        )
        if best and best.encoding in _LEGACY:
            votes[best.encoding] += end - start
    if not votes:
        return None
    most = max(votes, key=lambda name: votes[name])
    return _by_language(text[:_READ]) if most in _LATIN else codec_of(most)


@cache
def _languages() -> Languages:
    return Languages(bundled(FIRST))


def _by_language(text: bytes) -> str:
    """The charset of Latin letters that the language of a text is written in.

    Other charsets give it a few wrong letters, with which it is still most like that language.
    """
    texts = [text.decode(codec, "replace") for codec in _LATIN]
    opinions = [best for (best,) in _languages().opinions(texts, 1)]
    language, _ = max(opinions, key=lambda opinion: opinion[1])
    return next((codec for codec, own in _LATIN.items() if language in own), "cp1252")
