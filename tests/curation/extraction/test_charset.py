import codecs
import gzip
import json
import re
import time

import pytest

from curation.extraction.charset import UndecodableError, codec_of, decode, markup_of, meta_charset
from curation.readers.warc import read_warc

GERMAN = "Schöne Grüße aus Köln, sagte die Bäckerin."
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах."
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"


def page(text, charset, meta=""):
    return f"<html><head>{meta}</head><body><p>{text}</p></body></html>".encode(charset)


@pytest.mark.parametrize(
    ("text", "codec", "label", "name"),
    [
        (GERMAN, "utf-8", "UTF-8", "utf-8"),
        (GERMAN, "cp1252", "ISO-8859-1", "cp1252"),
        ("„Quoted“ – “text”", "cp1252", "latin1", "cp1252"),
        (RUSSIAN, "koi8-r", "KOI8-R", "koi8-r"),
        (JAPANESE, "cp932", "Shift_JIS", "cp932"),
        (JAPANESE, "euc-jp", "x-euc-jp", "euc_jp"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp", "iso2022_jp"),
        ("軟體與數據", "big5", "Big5", "big5hkscs"),
        ("中华人民共和国", "gb2312", "gb2312", "gb18030"),
    ],
)
def test_declared_in_header_or_meta(text, codec, label, name):
    assert decode(page(text, codec), label) == (page(text, codec).decode(codec), name)
    meta = f'<meta http-equiv="Content-Type" content="text/html; charset={label}">'
    assert decode(page(text, codec, meta), None)[0] == page(text, codec, meta).decode(codec)
    # the header goes before the meta element
    other = '<meta charset="windows-1251">'
    assert text in decode(page(text, codec, other), label)[0]


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_goes_before_all(codec):
    text, _ = decode(page(RUSSIAN, codec), "koi8-r")
    assert RUSSIAN in text
    assert "\ufeff" not in text


def test_wrong_declarations_are_noticed():
    # UTF-8 that is declared to be something else
    assert decode(page(GERMAN, "utf-8"), "iso-8859-1") == (page(GERMAN, "utf-8").decode(), "utf-8")
    # something else that is declared to be UTF-8: the other declaration, or detection
    meta = '<meta charset="windows-1251">'
    assert RUSSIAN in decode(page(RUSSIAN, "cp1251", meta), "utf-8")[0]
    assert RUSSIAN in decode(page(RUSSIAN, "cp1251"), "utf-8")[0]
    assert GERMAN in decode(page(GERMAN, "cp1252"), "no-such-charset")[0]


def test_nothing_declared(sample):
    """The sample's pages in other charsets, without the declarations."""
    found = {}
    for path in sorted(sample.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in read_warc(stream, 0, 1 << 40, max_record_bytes=1 << 24):
                if record.kind == "response" and record.url.startswith("http://udhr.example/"):
                    data = re.sub(rb"charset=\S*", b"", record.payload)
                    found[record.url.split("/")[-1][:3]] = decode(data, None)[1]
    # Spanish has too few letters that tell windows-1252 from windows-1250
    assert found.pop("spa").startswith("cp125")
    assert found == {
        "arb": "cp1256",
        "cmn": "gb18030",
        "ell": "cp1253",
        "fra": "cp1252",
        "hin": "utf-8",
        "jpn": "cp932",
        "kor": "cp949",
        "pol": "iso8859-2",
        "rus": "cp1251",
        "tha": "cp874",
    }


def test_some_broken_bytes_do_not_change_the_charset():
    data = page(RUSSIAN * 3, "utf-8").replace("своем".encode(), b"\xd1\xd2", 1)
    text, charset = decode(data, None)
    assert charset == "utf-8"
    assert "\ufffd" in text
    assert RUSSIAN in text


def test_what_is_no_text():
    for data in (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, b"\0" * 1000):
        with pytest.raises(UndecodableError):
            decode(data, None)


def test_meta_prescan():
    assert meta_charset(b'<META CHARSET="Big5">') == "Big5"
    assert meta_charset(b"<!-- <meta charset=big5> --><meta charset=gbk>") == "gbk"
    assert meta_charset(b'<?xml version="1.0" encoding="ISO-8859-2"?><html>') == "ISO-8859-2"
    assert meta_charset(b'<meta charset="utf-16le">') == "utf-8"
    assert meta_charset(b"<p>" * 400 + b'<meta charset="gbk">') is None
    assert meta_charset(b'<meta name="charset" content="x">') is None


@pytest.mark.parametrize(
    "label", ["base64", "rot13", "hex", "unicode_escape", "x" * 5000, "\0", ""]
)
def test_labels_that_are_no_charset(label):
    assert codec_of(label) is None
    assert decode(b"<p>text", label) == ("<p>text", "utf-8")


def test_hostile_bytes_in_linear_time():
    began = time.process_time()
    for data in (b"<" * 1_000_000, b"\xff" * 1_000_000, b"<!--" * 400_000, b"\x1b$B" * 300_000):
        for label in (None, "utf-8", "gb18030", "iso-2022-jp"):
            try:
                decode(data, label)
            except UndecodableError:
                continue
    assert time.process_time() - began < 20


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["articles", "charsets", "trafilatura-eval", "wcxb"])
def test_all_web_pages_decode_right(corpus, name):
    with gzip.open(corpus / f"web/{name}.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        gold = list(map(json.loads, lines))
    pages = 0
    for path in sorted((corpus / "web").glob(f"{name}-*.warc.gz")):
        with path.open("rb") as stream:
            for record in read_warc(stream, 0, 1 << 40, max_record_bytes=1 << 24):
                if record.kind == "response":
                    text, _ = decode(record.payload, record.charset)
                    row = gold[pages]
                    assert row["url"] == record.url
                    right = record.payload.decode(row["encoding"], "replace")
                    assert text.lstrip("\ufeff") == right.lstrip("\ufeff"), record.url
                    pages += 1
    assert pages == len(gold)


@pytest.mark.parametrize(
    "payload",
    [
        b"flour",
        "Mühle".encode(),
        "Mühle".encode("cp1252"),
        codecs.BOM_UTF8 + "Mühle".encode(),
        "Mühle".encode("utf-16"),
        ("Mühle " * 99 + "\ufffd").encode(),
        "Mühle ".encode() * 99 + b"\xff",
        ("Mühle " * 99 + "\0").encode(),
    ],
)
def test_markup_is_the_text_in_utf_8(payload):
    text, charset = decode(payload, None)
    assert markup_of(payload, text, charset) == text.encode()
