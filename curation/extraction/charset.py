"""Bytes of a page to text: as browsers do it, and noticing a declaration that is wrong.

The order is that of the HTML standard (WHATWG, 13.2.3.2): byte order mark, HTTP header, `meta` in
the first 1,024 bytes, detection. Unlike a browser, a declaration is checked against the bytes.
"""

from __future__ import annotations

import codecs
import re

from curation.extraction.tags import controls

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_HIGH = bytes(range(0x80, 0x100))
_PRESCAN = 1024  # bytes, of the HTML standard
_DETECT = 1 << 14  # bytes of text without markup that a detection looks at
# A declared multi-byte charset may still be broken in places: undecodable bytes a byte not ASCII.
_BROKEN_SHARE = 0.05
# Control and replacement characters a character, above which a page is no text.
_BINARY_SHARE = 0.05

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

_META = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\b[^>]{0,200}?\bencoding\s*=\s*[\"']([A-Za-z0-9_.:-]+)")
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
    if controls(markup_of(payload, text, charset)) > _BINARY_SHARE * len(text):
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
    # Escapes of seven bits look like ASCII.
    if b"\x1b" in payload:
        declared = _declared(payload, http_charset)
        if declared and declared[0].startswith("iso2022"):
            return payload.decode(declared[0], "replace"), declared[0]
    try:
        # Other text is not valid UTF-8 by chance, whatever is declared.
        return payload.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    declared = _declared(payload, http_charset)
    high = len(payload) - len(payload.translate(None, _HIGH))
    for charset in (*declared, "utf-8"):
        text = payload.decode(charset, "replace")
        if text.count("\ufffd") <= _BROKEN_SHARE * high:
            return text, charset
    charset = _detect(payload) or (declared[0] if declared else "cp1252")
    return payload.decode(charset, "replace"), charset


def is_wrong(payload: bytes, http_charset: str | None, charset: str) -> bool:
    """Whether a page that was decoded by `charset` declares another one."""
    if payload.isascii():
        return False
    declared = _declared(payload, http_charset)
    return bool(declared) and declared[0] != charset


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

    Such a declaration can be read, so UTF-16 is not what it is in: it then means UTF-8.
    """
    start = payload[:_PRESCAN]
    found = _XML.match(start) or _META.search(_COMMENT.sub(b"", start))
    if not found:
        return None
    label = found[1].decode("ascii")
    return "utf-8" if label.lower().startswith("utf-16") else label


def _detect(payload: bytes) -> str | None:
    """The charset that the text between the tags seems to be in."""
    from charset_normalizer import from_bytes  # few pages need it

    words = _MARKUP.sub(b" ", payload[: _DETECT * 16]).split()
    text = b" ".join(words)[:_DETECT].rpartition(b" ")[0]
    best = from_bytes(text, cp_isolation=_LEGACY).best()
    return codec_of(best.encoding) if best and best.encoding in _LEGACY else None
