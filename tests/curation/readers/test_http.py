import gzip
import hashlib
import zlib

import brotli
import pytest
import zstandard

from curation.readers.http import (
    TooLargeError,
    is_response,
    parse_content_type,
    parse_fields,
    parse_response,
)
from tests.timing import within

TEXT = b"<html><body><p>" + b"Grain in, flour out. " * 100 + b"</p></body></html>"
LIMIT = 1 << 20


def response(body, *headers, status=b"HTTP/1.1 200 OK"):
    return b"\r\n".join([status, b"Content-Type: text/html", *headers]) + b"\r\n\r\n" + body


def chunks(body, size=100):
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        (b"gzip", gzip.compress),
        (b"x-gzip", gzip.compress),
        (b"GZIP", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", raw_deflate),
        (b"br", brotli.compress),
        (b"zstd", zstandard.ZstdCompressor().compress),
        (b"gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        (b"deflate, br", lambda body: brotli.compress(zlib.compress(body))),
    ],
)
def test_codings(coding, encode):
    body = encode(TEXT)
    header = b"Content-Encoding: " + coding
    assert parse_response(response(body, header), LIMIT).body == TEXT
    assert parse_response(response(body, header), LIMIT).sound
    coded = response(chunks(body), header, b"Transfer-Encoding: chunked")
    assert parse_response(coded, LIMIT).body == TEXT
    assert parse_response(coded, LIMIT).sound
    # the header lies: the body is plain
    lying = parse_response(response(TEXT, header), LIMIT)
    assert lying.body == TEXT
    assert not lying.sound
    bomb = response(encode(b" " * (2 * LIMIT)), header)
    with pytest.raises(TooLargeError):
        parse_response(bomb, LIMIT)


def test_bodies_that_are_cut_give_what_there_is():
    half = gzip.compress(TEXT, 0)[:1000]
    body = parse_response(response(half, b"Content-Encoding: gzip"), LIMIT).body
    assert TEXT.startswith(body)
    assert len(body) > 900
    cut = chunks(TEXT)[:1000]
    body = parse_response(response(cut, b"Transfer-Encoding: chunked"), LIMIT).body
    assert TEXT.startswith(body)
    assert len(body) > 900


def test_chunked_is_tolerant():
    chunked = b"Transfer-Encoding: chunked"
    assert parse_response(response(TEXT, chunked), LIMIT).body == TEXT
    assert parse_response(response(b"0\r\n\r\n", chunked), LIMIT).body == b""
    assert parse_response(response(b"3;a=b\nabc\n2\nde\n0\n\n", chunked), LIMIT).body == b"abcde"
    assert parse_response(response(b"", chunked), LIMIT).body == b""


def test_unknown_coding_is_kept():
    assert parse_response(response(TEXT, b"Content-Encoding: rot13"), LIMIT).body == TEXT


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 200 OK", 200),
        (b"HTTP/1.0 404", 404),
        (b"HTTP/2 301 Moved", 301),
        (b"HTTP/1.1 2000 OK", None),
        # browsers take what has no number for 200
        (b"HTTP/1.1 OK", 200),
        (b"HTTP/1.1 ", 200),
        (b"HTTP 404 Not Found", 404),
        (b"http/1.1 404 Not Found", 404),
        (b"ICY 404 Not Found", 404),
        (b"\r\nHTTP/1.1 404 Not Found", 404),
    ],
)
def test_status(line, status):
    found = parse_response(response(TEXT, status=line), LIMIT)
    assert (found.status, found.content_type, found.body) == (status, "text/html", TEXT)


@pytest.mark.parametrize(
    ("block", "media_type"),
    [
        (TEXT, ""),  # HTTP/0.9 has no head
        (b"Content-Type: text/html\r\n\r\n" + TEXT, "text/html"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + response(TEXT), "text/html"),
    ],
)
def test_heads_that_are_missing_or_many(block, media_type):
    assert is_response(block, "application/http")
    found = parse_response(block, LIMIT)
    assert (found.status, found.content_type, found.body) == (200, media_type, TEXT)


def test_what_is_no_response():
    assert not is_response(b"20240101000000\nexample.com. 300 IN A 192.0.2.1", "text/dns")
    assert not is_response(b"Note: a file by FTP", "text/plain")
    assert not is_response(TEXT, "")
    assert is_response(response(TEXT), "")


def test_content_type():
    assert parse_content_type("Text/HTML ; Charset='utf-8'; x=y") == ("text/html", "utf-8")
    assert parse_content_type('text/html;charset = "windows-1252"') == ("text/html", "windows-1252")
    assert parse_content_type("text/html") == ("text/html", None)
    assert parse_content_type("") == ("", None)
    assert parse_content_type("text/html, text/html;charset=utf-8") == ("text/html", "utf-8")
    assert parse_content_type("application/octet-stream, text/html, */*") == ("text/html", None)
    for nothing in ('"text/html"', "text", "*/*", "unknown/unknown"):
        assert parse_content_type(nothing) == ("", None)


def test_repeated_fields_all_count():
    twice = [b"Content-Encoding: gzip", b"Content-Type: a/b", b"Content-Encoding: deflate"]
    found = parse_response(response(zlib.compress(gzip.compress(TEXT)), *twice), LIMIT)
    assert (found.body, found.sound, found.content_type) == (TEXT, True, "a/b")
    coded = response(chunks(gzip.compress(TEXT)), b"Transfer-Encoding: gzip, chunked")
    assert parse_response(coded, LIMIT).body == TEXT
    assert parse_response(coded, LIMIT).sound


def test_fields():
    head = b"HTTP/1.1 200 OK\r\nA: 1\r\n  more\r\na: 2\r\nno field\r\nB:\xe9\r\nC: \xc3\xa9\r\n"
    assert parse_fields(head) == {"a": "1 more", "b": "é", "c": "é"}


def test_response_without_end_of_head():
    found = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/html", LIMIT)
    assert (found.status, found.content_type, found.body) == (200, "text/html", b"")


def test_long_heads_are_read_in_time():
    with within(10):
        for filler in (b"a: b\r\n" * 200_000, b"x" * 2_000_000, b"a: b" + b"\n " * 700_000):
            parse_response(b"HTTP/1.1 200 OK\r\n" + filler, LIMIT)
        parse_response(b"HTTP/1.1 100 Continue\r\n\r\n" * 300_000, LIMIT)
        parse_response(response(b"1\r\na\r\n" * 300_000, b"Transfer-Encoding: chunked"), LIMIT)


NOISE = b"<html>" + b"".join(hashlib.sha256(b"%d" % n).hexdigest().encode() for n in range(5000))


@pytest.mark.parametrize(
    ("coding", "encode"),
    [
        (b"gzip", gzip.compress),
        (b"deflate", zlib.compress),
        (b"deflate", raw_deflate),
        (b"br", brotli.compress),
        (b"zstd", zstandard.compress),
    ],
)
def test_a_body_that_is_cut_is_decoded_as_far_as_it_goes(coding, encode):
    body = encode(NOISE)
    cut = parse_response(
        response(body[: len(body) * 3 // 4], b"Content-Encoding: " + coding), LIMIT
    )
    assert not cut.sound
    assert NOISE.startswith(cut.body)
    assert len(cut.body) > len(NOISE) // 3
    chunked = parse_response(response(chunks(NOISE)[:5000], b"Transfer-Encoding: chunked"), LIMIT)
    assert not chunked.sound
    assert NOISE.startswith(chunked.body)
    assert len(chunked.body) > 4000


def test_gzip_that_no_header_names():
    found = parse_response(response(gzip.compress(TEXT)), LIMIT)
    assert (found.body, found.sound) == (TEXT, False)
    image = response(gzip.compress(TEXT)).replace(b"text/html", b"application/gzip")
    assert parse_response(image, LIMIT).body == gzip.compress(TEXT)
    assert parse_response(image, LIMIT).sound


def test_members_and_codings_that_are_none():
    two = gzip.compress(TEXT) + gzip.compress(TEXT)
    found = parse_response(response(two, b"Content-Encoding: gzip"), LIMIT)
    assert (found.body, found.sound) == (TEXT + TEXT, True)
    for coding, sound in ((b"identity", True), (b"", True), (b"x-snappy", False)):
        found = parse_response(response(TEXT, b"Content-Encoding: " + coding), LIMIT)
        assert (found.body, found.sound) == (TEXT, sound)
    with pytest.raises(TooLargeError):
        parse_response(response(gzip.compress(b" " * (2 * LIMIT))), LIMIT)
