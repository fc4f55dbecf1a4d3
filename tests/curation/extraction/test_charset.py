import codecs
import gzip
import json
import random
import re
from collections import Counter

import pytest

from curation.extraction.charset import (
    UndecodableError,
    codec_of,
    decode,
    flaw_of,
    markup_of,
    meta_charset,
)
from curation.readers.warc import read_warc
from tests.timing import within

GERMAN = "Schöne Grüße aus Köln, sagte die Bäckerin."
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах."
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"

# All labels of the WHATWG Encoding Standard (4.2) by our codec, but those of `replacement` and
# `x-user-defined`.
LABELS = {
    "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8",
    "cp866": "866 cp866 csibm866 ibm866",
    "iso8859-2": "csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 "
    "iso_8859-2:1987 l2 latin2",
    "iso8859-3": "csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 "
    "iso_8859-3:1988 l3 latin3",
    "iso8859-4": "csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 "
    "iso_8859-4:1988 l4 latin4",
    "iso8859-5": "csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 "
    "iso_8859-5 iso_8859-5:1988",
    "iso8859-6": "arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 "
    "iso-8859-6 iso-8859-6-e iso-8859-6-i iso-ir-127 iso8859-6 iso88596 "
    "iso_8859-6 iso_8859-6:1987",
    "iso8859-7": "csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 "
    "iso8859-7 iso88597 iso_8859-7 iso_8859-7:1987 sun_eu_greek",
    "iso8859-8": "csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 "
    "iso8859-8 iso88598 iso_8859-8 iso_8859-8:1988 visual csiso88598i "
    "iso-8859-8-i logical",
    "iso8859-10": "csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6",
    "iso8859-13": "iso-8859-13 iso8859-13 iso885913",
    "iso8859-14": "iso-8859-14 iso8859-14 iso885914",
    "iso8859-15": "csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9",
    "iso8859-16": "iso-8859-16",
    "koi8-r": "cskoi8r koi koi8 koi8-r koi8_r",
    "koi8-u": "koi8-ru koi8-u",
    "mac-roman": "csmacintosh mac macintosh x-mac-roman",
    "cp874": "dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874",
    "cp1250": "cp1250 windows-1250 x-cp1250",
    "cp1251": "cp1251 windows-1251 x-cp1251",
    "cp1252": "ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 "
    "iso8859-1 iso88591 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii "
    "windows-1252 x-cp1252",
    "cp1253": "cp1253 windows-1253 x-cp1253",
    "cp1254": "cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 "
    "iso_8859-9:1989 l5 latin5 windows-1254 x-cp1254",
    "cp1255": "cp1255 windows-1255 x-cp1255",
    "cp1256": "cp1256 windows-1256 x-cp1256",
    "cp1257": "cp1257 windows-1257 x-cp1257",
    "cp1258": "cp1258 windows-1258 x-cp1258",
    "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
    "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 "
    "x-gbk gb18030",
    "big5hkscs": "big5 big5-hkscs cn-big5 csbig5 x-x-big5",
    "euc_jp": "cseucpkdfmtjapanese euc-jp x-euc-jp",
    "iso2022_jp": "csiso2022jp iso-2022-jp",
    "cp932": "csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis",
    "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 "
    "ks_c_5601-1989 ksc5601 ksc_5601 windows-949",
    "utf-16-be": "unicodefffe utf-16be",
    "utf-16-le": "csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le",
}


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
    assert found.pop("spa") == "cp1252"
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
    assert meta_charset(b"<p>" * 400 + b'<meta charset="gbk">') == "gbk"
    assert meta_charset(b"<p>" * 40_000 + b'<meta charset="gbk">') is None
    # what can be read is not in UTF-16
    for label in ("unicode", "utf-16", "UTF-16BE", "ucs-2", "iso-10646-ucs-2", "unicodefffe"):
        assert meta_charset(f'<meta charset="{label}">'.encode()) == "utf-8"
        assert meta_charset(f'<?xml version="1.0" encoding="{label}"?>'.encode()) == "utf-8"
    assert meta_charset(b'<meta name="charset" content="x">') is None


@pytest.mark.parametrize(
    "label", ["base64", "rot13", "hex", "unicode_escape", "x" * 5000, "\0", ""]
)
def test_labels_that_are_no_charset(label):
    assert codec_of(label) is None
    assert decode(b"<p>text", label) == ("<p>text", "utf-8")


def test_labels_of_the_web():
    for codec, labels in LABELS.items():
        assert {label: codec_of(label) for label in labels.split()} == dict.fromkeys(
            labels.split(), codec
        )
        assert codec_of(f" {labels.split()[0].upper()} ") == codec


def test_hostile_bytes_in_linear_time():
    with within(20):
        for data in (b"<" * 1_000_000, b"\xff" * 1_000_000, b"<!--" * 400_000, b"\x1b$B" * 300_000):
            for label in (None, "utf-8", "gb18030", "iso-2022-jp"):
                try:
                    decode(data, label)
                except UndecodableError:
                    continue


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


def udhr(sample):
    """The texts of the sample's pages in other languages, by language, without declarations."""
    texts = {}
    for path in sorted(sample.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in read_warc(stream, 0, 1 << 40, max_record_bytes=1 << 24):
                if record.kind == "response" and record.url.startswith("http://udhr.example/"):
                    text, _ = decode(record.payload, record.charset)
                    language = record.url.split("/")[-1][:3]
                    texts[language] = re.sub(r"charset=[\w-]*", "", text)
    return texts


TWELVE = [
    *[("fra", "utf-8"), ("fra", "cp1252"), ("pol", "iso8859-2"), ("pol", "utf-16-le")],
    *[("rus", "cp1251"), ("rus", "koi8-r"), ("rus", "utf-8"), ("ell", "cp1253"), ("arb", "cp1256")],
    *[("tha", "cp874"), ("cmn", "gb18030"), ("cmn", "utf-8"), ("jpn", "cp932"), ("jpn", "euc_jp")],
    *[("kor", "cp949"), ("spa", "utf-16-be")],
]


DOUBLE = ("gb18030", "cp932", "euc_jp", "cp949")


def words(text):
    """Each letter of Chinese, Japanese, Korean and Thai counts as a word."""
    return Counter(re.findall(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\ud7af]|\w+", text))


def test_damage_costs_the_words_it_is_in(sample):
    rng = random.Random(14)
    texts = udhr(sample)
    for language, codec in TWELVE * 3:
        data = texts[language].encode(codec, "replace")
        whole = words(data.decode(codec))
        label = rng.choice([codec, codec.upper(), f" {codec} "])
        if codec == "utf-8":
            label = rng.choice([label, None, "windows-1251", "iso-8859-1", "gbk", "shift_jis"])
        if codec.startswith("utf-16"):
            label = rng.choice([label, None, "utf-16", "utf-8", "windows-1252"])
        broken = bytearray(data)
        places = rng.randrange(1, 20)
        for _ in range(places):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        found, charset = decode(bytes(broken), label)
        assert charset == codec_of(codec)
        lost = (whole - words(found)).total()
        # what is left of a run of double bytes is read out of step
        assert lost <= (4 if codec not in DOUBLE else 12) * places, (language, codec, label)
        cut = data[: rng.randrange(200, len(data))]
        found, charset = decode(cut, label)
        assert charset == codec_of(codec)
        right = words(cut.decode(codec, "ignore"))
        assert (right - words(found)).total() <= 1


@pytest.mark.parametrize("label", [None, "utf-8", "windows-1251", "iso-8859-1", "gb2312", "x"])
@pytest.mark.parametrize(
    "payload",
    [
        "a dash – and then".encode() + b" a byte \xa0 of another time",
        "a dash – and “quotes”, cut in a character: é".encode()[:-1],
        "Le blé, la mère et l’été".encode() + b"\xe9",
        ("Мельница стоит у реки. " * 9).encode()[1:-3],
        "水磨坊位于河岸的北侧".encode()[:-2] + b"\xff" + "由当地居民".encode(),
    ],
)
def test_nearly_valid_utf_8_is_utf_8(payload, label):
    text, charset = decode(payload, label)
    assert charset == "utf-8"
    assert "\ufffd" in text
    assert text.replace("\ufffd", "") == payload.decode("utf-8", "ignore")
    wrong = codec_of(label) not in (None, "utf-8")
    assert flaw_of(payload, label, text, charset) == ("wrong_charset" if wrong else "broken_text")


def test_a_replacement_character_of_the_page_itself_is_no_flaw():
    payload = page(GERMAN + "\ufffd", "utf-8")
    assert flaw_of(payload, "utf-8", *decode(payload, "utf-8")) is None


def test_short_legacy_text_is_not_taken_for_utf_8():
    """Pairs of bytes that would be one character of UTF-8, beside others that would not."""
    for text, codec in [
        ("« МТС »: «ВГТРК»", "cp1251"),
        ("联通", "gbk"),
        ("ยกตัวอย่างเช่นการเดินทาง", "cp874"),
        ("ÂRÎK SÔN Ã»", "cp1252"),
        ("東京都の人口", "euc_jp"),
    ]:
        assert decode(page(text, codec), codec)[1] == codec_of(codec)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("label", [None, "utf-16", "utf-16le", "UTF-16BE", "utf-8", "iso-8859-1"])
def test_utf_16_without_a_mark(codec, label):
    for text in (GERMAN, JAPANESE * 3, RUSSIAN):
        payload = page(text, codec)
        assert decode(payload, label) == (payload.decode(codec), codec)
        assert decode(payload + b"\xd8", label)[0].startswith(payload.decode(codec))


@pytest.mark.parametrize("label", ["utf-16", "utf-16be", "unicode", "ucs-2"])
def test_what_has_no_zeros_is_not_utf_16(label):
    assert GERMAN in decode(page(GERMAN, "utf-8"), label)[0]
    assert GERMAN in decode(page(GERMAN, "cp1252", f'<meta charset="{label}">'), None)[0]
    assert GERMAN in decode(page(GERMAN, "cp1252"), label)[0]


def test_iso_2022_jp_that_nothing_declares():
    payload = page(JAPANESE, "iso2022_jp")
    assert decode(payload, None) == (payload.decode("iso2022_jp"), "iso2022_jp")


def test_a_broken_byte_does_not_hide_the_charset_of_a_page_that_declares_none(sample):
    rng = random.Random(3)
    for language, codec in [("cmn", "gb18030"), ("jpn", "cp932"), ("kor", "cp949")]:
        data = bytearray(udhr(sample)[language].encode(codec, "replace"))
        for _ in range(3):
            data[rng.randrange(len(data))] = 0xFF
        assert decode(bytes(data), None)[1] == codec


@pytest.mark.corpus
def test_latin_letters_without_a_declaration(corpus):
    """Sentences in 20 languages, ten a page: all that no declaration says is found."""
    codecs = {
        "cp1252": "da de fi fr it nl pt sv",
        "cp1250": "cs hr hu pl sk sl",
        "cp1254": "tr",
        "cp1257": "et lt lv",
        "cp1251": "ru",
        "cp1253": "el",
    }
    sentences = {}
    with gzip.open(corpus / "langid/sentences.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            sentences.setdefault(row["lang"], []).append(row["text"])
    pages = wrong = 0
    for codec, languages in codecs.items():
        for language in languages.split():
            for at in range(0, 300, 50):
                text = "".join(f"<p>{each}</p>" for each in sentences[language][at : at + 10])
                data = text.encode(codec, "ignore")
                pages += 1
                wrong += decode(data, None)[0] != data.decode(codec)
    assert pages == 120
    assert wrong <= 3  # Dutch with few letters that are not ASCII
