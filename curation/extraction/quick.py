"""What the raw bytes of a page tell before it is decoded and parsed: only what is certain.

Most of a crawl is not what a recipe wants. A look at samples of a page costs a fraction of its
extraction; where it is in doubt it says nothing, and the whole cascade decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from itertools import accumulate

from curation.extraction.charset import codec_of, meta_charset
from curation.language import Languages, canonical

# Text between two tags; scripts, styles and JSON have other marks in between.
_RUN = re.compile(rb">\s*+([^<>{}=\\\s][^<>{}=\\]{30,}+)<")
_WINDOW = 4096  # bytes that are looked at, at
_WINDOWS = 12  # places all over a page

# Languages. Chosen on 2,234 real pages, of which 3 in 1,968 that are wanted are lost, and on pages
# made of sentences in 75 languages: tests/curation/extraction/test_quick.py.
# Scripts and addresses; what is in English on pages in any language.
_NOISE = re.compile(rb"\w\(['\"]|/\*|://|avaScript|&&|\|\||\":\"|\bwindow\.")
_MOST_PARTS = 4  # texts that the model names each for itself
_RUNS = 12  # the longest ones, which are sentences rather than menus
_PART = 120  # characters
_SURE = 0.4  # score of a part that counts, of which there must be
_SURE_PARTS = 3
_DOUBT = 0.2  # score of a wanted language in any part with which nothing is said
# Score that the three likeliest of a part do not give a wanted language, in as many parts as there
# may be: of what the model has never seen it is sure of nothing, but also not of that.
_HINT = 0.15
_BROKEN = 2  # bytes that are not UTF-8 in a text that is: where it was cut
# Languages that the model takes for each other, in texts as short as these.
_CLOSE = [
    frozenset(map(canonical, codes.split()))
    for codes in (
        *("bs hr sh sr sl", "cs sk", "da nb nn no sv", "id jv ms min su", "be bg mk ru uk rue"),
        *("an ast ca es ext gl oc pt mwl", "co it lmo nap pms scn vec", "fr wa oc", "lv ltg lt"),
        *(
            "af fy li nds nl vls",
            "als bar de lb nds pfl",
            "ja wuu yue zh",
            "ar arz",
            "fa mzn ps ur",
        ),
        *("bh gom hi mai mr ne sa", "as bn bpy", "az ba kk ky tk tr tt ug uz", "et fi", "en sco"),
        *("ga gd gv", "fo is", "ckb ku", "ceb ilo pam tl war"),
    )
]

# Junk.
_FEW_RUNS = 400  # bytes in runs of text, with more of which a page is not junk
_LONGEST_RUN = 1 << 14  # bytes between two tags; more of them are data
_FEW = 1000  # bytes of visible text that a page of junk may have
_HEAD = 1 << 16  # bytes in which a page says what it is
_FILES = re.compile(
    rb"%PDF-|\x89PNG|GIF8[79]a|\xff\xd8\xff|PK\x03\x04|\x1f\x8b\x08|Rar!\x1a|7z\xbc\xaf|wOF[F2]"
    rb"|OggS|ID3[\x02-\x04]|RIFF....(?:WEBP|WAVE|AVI )|....ftyp",
    re.DOTALL,
)
# In one pass: what ends nowhere reaches to the end of the page.
_UNSEEN = re.compile(
    rb"<!--.*?(?:-->|\Z)|<(?:script|style|title|template|svg)\b[^<>]*+(?<=/)>"
    rb"|<(script|style|title|template(?![^<>]*shadowroot)|svg)\b.*?(?:</\1|\Z)|<[^>]*+>?"
    rb"|&(?:nbsp|#160|#xa0);?|\s+",
    re.IGNORECASE | re.DOTALL,
)
_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]")
_REDIRECT = re.compile(
    rb"<meta\b[^>]{0,200}?\bhttp-equiv\s*=\s*[\"']?refresh\b[^>]{0,500}?\burl\s*=", re.I
)
# A text may be there as data: see `blocks/declared.py` and `blocks/state.py`.
_CARRIED = (
    *(b"articlebody", b"application/json", b"__next_f", b"__nuxt"),
    *(b"_state__", b"_data__", b"_props__", b"_store__"),
)
_FRAMES = re.compile(rb"<frameset\b", re.IGNORECASE)
_NEEDS_SCRIPT = re.compile(
    rb"(?:enable|activate|turn on|requires?|without|support)\s+(?:\w+\s+){0,2}java\s?script"
    rb"|java\s?script\s+(?:\w+\s+){0,2}(?:disabled|required|enabled|turned off)",
    re.IGNORECASE,
)
# Titles of what servers and their guards say by themselves.
_TITLE = re.compile(
    rb"<title[^>]{0,200}+>\s*+((?:error )?(?:40[0-9]|50[0-9])\b[^<]{0,40}"
    rb"|(?:access|permission) denied"
    rb"|(?:404 - )?(?:page |file )?not found|forbidden|just a moment\.*"
    rb"|attention required! \| cloudflare|ddos-guard|robot or human\??|are you a (?:robot|human)\??"
    rb"|welcome to nginx!?"
    rb"|apache2? [^<]{0,20}default page[^<]{0,20}|iis windows[^<]{0,20}|iis\d*"
    rb"|(?:domain )?default page"
    rb"|test page for[^<]{0,60}|index of /[^<]{0,100}|account suspended|site suspended"
    rb"|bad gateway|service (?:temporarily )?unavailable|internal server error"
    rb"|(?:site|website) (?:is )?under construction)\s*+</title",
    re.IGNORECASE,
)


def _texts(payload: bytes) -> Iterator[bytes]:
    """Longer runs of text in windows all over a page, in its order."""
    size = len(payload)
    if size <= _WINDOW * _WINDOWS:
        starts, window = range(1), size
    else:
        starts, window = range(0, size - _WINDOW + 1, (size - _WINDOW) // (_WINDOWS - 1)), _WINDOW
    for at in starts:
        for run in _RUN.finditer(payload, at, at + window):
            yield run[1]


def junk(payload: bytes) -> tuple[str, str] | None:
    """Why a page surely has no main text, and what shows it; None if it may have some.

    `junk_binary`: another kind of file. `junk_no_text`: nothing to read but its title. With at
    most a few sentences: `junk_redirect`, `junk_frames`, `junk_needs_script`, `junk_error_page`.
    """
    if found := _FILES.match(payload):
        return "junk_binary", found[0][:4].decode("ascii", "backslashreplace")
    if any(size > _FEW_RUNS for size in accumulate(map(len, _texts(payload)))):
        return None
    lower = payload.lower()
    if any(mark in lower for mark in _CARRIED):
        return None
    seen = 0
    for match in _RUN.finditer(payload):
        if len(match[1]) < _LONGEST_RUN:
            seen += len(match[1])
        if seen > _FEW:
            return None
    text = _UNSEEN.sub(b" ", payload)
    if not _WORD.search(text):
        # UTF-16 has its letters between zeros
        return None if b"\0" in payload else ("junk_no_text", str(len(payload)))
    if len(text) - text.count(b" ") > _FEW:
        return None
    if _REDIRECT.search(payload, 0, _HEAD):
        return "junk_redirect", "meta refresh"
    if _FRAMES.search(payload):
        return "junk_frames", "frameset"
    if found := _NEEDS_SCRIPT.search(b" ".join(text.split())):
        return "junk_needs_script", found[0].decode("ascii", "replace")
    if found := _TITLE.search(payload, 0, _HEAD):
        return "junk_error_page", found[1].decode("ascii", "replace")
    return None


def surely_other(
    payload: bytes,
    wanted: frozenset[str],
    languages: Languages,
    charset: str | None = None,
) -> tuple[str, float] | None:
    """The language of a page that surely is in none of the wanted ones, and the model's score.

    wanted: codes as the model has them. charset: the label that the HTTP header gives.
    None if the page may be in a wanted language, if there is too little text to tell, or if its
    charset is not certain.
    """
    parts = _parts(payload, charset)
    if len(parts) < _SURE_PARTS:
        return None
    wanted = frozenset(map(canonical, wanted))
    near = wanted.union(*(group for group in _CLOSE if not wanted.isdisjoint(group)))
    best = ("", 0.0)
    sure = unlike = 0
    for text in parts:
        (opinions,) = languages.opinions([text])
        language, score = opinions[0]
        if score >= _DOUBT and canonical(language) in near:
            return None
        sure += score >= _SURE
        unlike += not any(may >= _HINT and canonical(code) in near for code, may in opinions)
        if score > best[1]:
            best = language, score
    return best if sure >= _SURE_PARTS or unlike == _MOST_PARTS else None


def _parts(payload: bytes, charset: str | None) -> list[str]:
    """The longest runs of a page in the order of the page, as a few texts; none in doubt."""
    runs = list(_texts(payload))
    if len(runs) > _RUNS:
        least = sorted(map(len, runs))[-_RUNS]
        runs = [run for run in runs if len(run) >= least][:_RUNS]
    runs = [run for run in runs if not _NOISE.search(run, 0, 2 * _PART)]
    size = -(-len(runs) // _MOST_PARTS) or 1
    parts = []
    for at in range(0, len(runs), size):
        raw = b" ".join(run[: 2 * _PART] for run in runs[at : at + size])[: 3 * _PART]
        text = _text(raw, payload, charset)
        if text is None:
            return []
        parts.append(" ".join(unescape(text).split())[:_PART])
    return parts


def _text(raw: bytes, payload: bytes, charset: str | None) -> str | None:
    """A part of a page decoded; None if the charset is in doubt."""
    if b"\x1b$" in raw or b"\0" in raw:  # ISO-2022, UTF-16
        return None
    text = raw.decode("utf-8", "replace")
    if text.count("\ufffd") <= _BROKEN:
        return text
    codec = codec_of(charset) or codec_of(meta_charset(payload))
    if codec is None or codec == "utf-8":
        return None
    text = raw.decode(codec, "replace")
    return text if text.count("\ufffd") <= _BROKEN else None
