import gzip
import random
import socket
from pathlib import Path

import pytest

import curation
from curation.urls import (
    Blocked,
    addresses_below,
    normalise,
    public_suffixes,
    read_list,
    registered_domain,
    sortable,
)
from schemas.problems import Problem
from tests.timing import within

LISTS = Path(curation.__file__).parent / "lists"


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.mill.example.co.uk/a?b#c", "example.co.uk"),
        ("http://MILL.COM:8080/", "mill.com"),
        ("http://user:word@sub.mill.com./", "mill.com"),
        ("https://sub.mill.example/", "mill.example"),
        ("https://www.münchen.de/", "xn--mnchen-3ya.de"),
        ("https://www.xn--mnchen-3ya.de/", "xn--mnchen-3ya.de"),
        ("https://blog.github.io/", "github.io"),
        ("http://192.0.2.7/x", "192.0.2.7"),
        ("http://[2001:DB8::1]:80/x", "2001:db8::1"),
        ("https://1000mills.org/", "1000mills.org"),
        ("//mill.com/x", "mill.com"),
        ("http://co.uk/", ""),
        ("http://localhost/", ""),
        ("mill.com", ""),
        ("", ""),
        ("http://", ""),
        ("http://[::1", ""),
        ("http://a..b/", ""),
        ("http://" + "a" * 100 + ".com/", ""),
        ("http://\ud800.com/", ""),
        ("javascript:alert(1)", ""),
        ("urn:uuid:0", ""),
        ("dns:mill.com", ""),
        ("\0\n", ""),
    ],
)
def test_registered_domain(url, domain):
    assert registered_domain(url) == domain


def test_no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    public_suffixes.cache_clear()
    assert registered_domain("https://a.b.mill.com.br/") == "mill.com.br"


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://mill.com/a/b.html", "https://mill.com/a/b.html"),
        ("HTTP://Mill.COM", "http://mill.com/"),
        ("http://mill.com:80/", "http://mill.com/"),
        ("https://mill.com:443?a", "https://mill.com/?a"),
        ("https://mill.com:80/", "https://mill.com:80/"),
        ("http://mill.com:/", "http://mill.com/"),
        ("http://mill.com:008080/", "http://mill.com:8080/"),
        ("http://user:w@rd@mill.com./", "http://mill.com/"),
        ("https://www.münchen.de/straße", "https://www.xn--mnchen-3ya.de/stra%C3%9Fe"),
        ("http://m%69ll.com/", "http://mill.com/"),
        ("http://[2001:DB8::0001]:80/x", "http://[2001:db8::1]/x"),
        ("http://192.0.2.7/x", "http://192.0.2.7/x"),
        ("http://localhost/x", "http://localhost/x"),
        ("http://mill.com/a/./b/../c", "http://mill.com/a/c"),
        ("http://mill.com/../../a/..", "http://mill.com/"),
        ("http://mill.com/a/%2e%2E/b", "http://mill.com/b"),
        ("http://mill.com/a//b/", "http://mill.com/a//b/"),
        ("http://mill.com/.well-known/x", "http://mill.com/.well-known/x"),
        (r"http:\\mill.com\a", "http://mill.com/a"),
        ("http://mill.com/%7euser/%c3%a9/%2f", "http://mill.com/~user/%C3%A9/%2F"),
        ("http://mill.com/100%/é b", "http://mill.com/100%25/%C3%A9%20b"),
        ("  http://mill.com/a\n\tb ", "http://mill.com/ab"),
        ("http://mill.com/a#b", "http://mill.com/a"),
        ("http://mill.com/#!/a", "http://mill.com/"),
        ("http://mill.com/a?", "http://mill.com/a"),
        ("http://mill.com/a?&&b=1&", "http://mill.com/a?b=1"),
        ("http://mill.com/a?b=2&a=1", "http://mill.com/a?b=2&a=1"),
        ("http://mill.com/?q=%e4+x%2Bé", "http://mill.com/?q=%E4+x%2B%C3%A9"),
        ("http://mill.com/?utm_source=x&id=7&fbclid=y", "http://mill.com/?id=7"),
        ("http://mill.com/?UTM_Source=x", "http://mill.com/"),
        ("http://mill.com/?a=utm_source&gclids=1", "http://mill.com/?a=utm_source&gclids=1"),
        ("http://mill.com/?PHPSESSID=12&a", "http://mill.com/?a"),
        ("http://mill.com/?%66bclid=1&a", "http://mill.com/?a"),
        ("http://mill.com/a.jsp;jsessionid=1A.node2;v=1/b?c", "http://mill.com/a.jsp;v=1/b?c"),
        ("http://mill.com/;JSESSIONID=12", "http://mill.com/"),
        ("mill.com/a", ""),
        ("//mill.com/a", ""),
        ("http:///a", ""),
        ("http://", ""),
        ("http://a..b/", ""),
        ("http://mi ll.com/", ""),
        ("http://mill.com:port/", ""),
        ("http://[::1", ""),
        ("http://" + "a." * 130 + "com/", ""),
        ("http://\ud800.com/", ""),
        ("http://mill.com/\ud800", "http://mill.com/%3F"),
        ("ftp://mill.com/", ""),
        ("dns:mill.com", ""),
        ("urn:uuid:0", ""),
        ("\0\n", ""),
        ("", ""),
    ],
)
def test_normalise(url, normal):
    assert normalise(url) == normal
    assert normalise(normal) == normal


def test_normalise_hostile_text_in_time():
    rng = random.Random(1)
    alphabet = "ab/.?&=#%:@[]\\ é0utm_" + "\ud800\x00"
    for _ in range(3000):
        url = "http://" + "".join(rng.choices(alphabet, k=rng.randrange(40)))
        normal = normalise(url)
        assert normalise(normal) == normal
        assert normal.isascii()
    with within(10):
        for piece in ("a.", "/..", "/a", "%41", "%", "&", "utm_", "?&utm_a=", "@", "é", ":", "\\"):
            normalise("http://mill.com/" + piece * 300_000)
            normalise("http://" + piece * 300_000)


def test_blocked():
    blocked = Blocked(
        domains=["bad.example", "sub.mill.com", "xn--mnchen-3ya.de", "zip", "192.0.2.7"],
        urls=["http://mill.com/bad", "https://mill.com/also?x=1"],
        words=["casino", "плохо"],
        soft_words=["hot", "babe", "free"],
        soft_words_allowed=1,
        substrings=["badphrase", "bad2phrase", "worse"],
    )
    for url, reason in (
        ("http://bad.example/", ("blocked_domain", "bad.example")),
        ("https://WWW.a.Bad.example.:8080/x", ("blocked_domain", "bad.example")),
        ("http://notbad.example/", None),
        ("http://bad.example.com/", None),
        ("http://mill.com/", None),
        ("http://sub.mill.com/", ("blocked_domain", "sub.mill.com")),
        ("http://www.münchen.de/", ("blocked_domain", "xn--mnchen-3ya.de")),
        ("http://a.zip/", ("blocked_domain", "zip")),
        ("http://192.0.2.7:80/", ("blocked_domain", "192.0.2.7")),
        ("http://[::1]/", None),
        ("https://www.mill.com/bad/?utm_source=x#y", ("blocked_url", "mill.com/bad")),
        ("https://mill.com/also?x=1", ("blocked_url", "mill.com/also?x=1")),
        ("https://mill.com/also", None),
        ("https://mill.com/bad/page", None),
        ("http://mill.com/the-Casino_royal", ("blocked_word", "casino")),
        ("http://casino.com/", ("blocked_word", "casino")),
        ("http://casinos.com/", None),
        ("http://mill.com/%D0%BF%D0%BB%D0%BE%D1%85%D0%BE", ("blocked_word", "плохо")),
        ("http://mill.com/hot-hot", None),
        ("http://mill.com/hot/flour/Free", ("blocked_soft_words", "hot, free")),
        ("http://mill.com/a-bad-phrase", ("blocked_substring", "badphrase")),
        ("http://mill.com/xbad.2phrasey", ("blocked_substring", "bad2phrase")),
        ("http://mill.com/bad-2", None),
        ("casino", ("blocked_word", "casino")),
        ("", None),
    ):
        assert blocked.reason(url) == reason, url
    assert Blocked().reason("http://bad.example/") is None
    assert Blocked(soft_words=["hot"], soft_words_allowed=0).reason("http://a.b/hot")


def test_many_domains():
    domains = [f"d{number}.example{number % 7}.com" for number in range(50_000)]
    blocked = Blocked(domains=domains)
    for domain in domains[::501]:
        assert blocked.reason(f"https://a.{domain}/") == ("blocked_domain", domain)
        assert blocked.reason(f"https://a{domain}/") is None
        assert blocked.reason(f"https://{domain}.org/") is None


def test_read_list(tmp_path):
    path = tmp_path / "list"
    path.write_text("\ufeff# hosts\nBad.Example # why\n\n*.mill.com\n.münchen.de\r\n", "utf-8")
    domains = ["bad.example", "mill.com", "xn--mnchen-3ya.de"]
    assert read_list(path, "domains") == domains
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_list(packed, "domains") == domains
    # as the UT1 blacklists have them
    path.write_text("mill.com/Bad/~x\nhttp://mill.com:80/#a\n", "utf-8")
    assert read_list(path, "urls") == ["http://mill.com/Bad/~x", "http://mill.com/"]
    path.write_text("Bad-Word\nплохо\n", "utf-8")
    assert read_list(path, "words") == ["badword", "плохо"]


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("domains", b"a.example\nb example\n", "line 2: 'b example' is no entry of a list of dom"),
        ("domains", b"a.example/x\n", "line 1"),
        ("urls", b"# x\nhttp://\n", "line 2"),
        ("words", b"a\n---\n", "line 2"),
        ("substrings", b"a\n" + b"b" * 1000, "line 2"),
        ("substrings", b"a\n\xff\n", "line 2: not UTF-8"),
        ("domains", gzip.compress(b"a.example\n" * 9999)[:-20], "cannot be read after line"),
    ],
)
def test_read_list_names_file_and_line(tmp_path, kind, data, message):
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    with pytest.raises(Problem, match=message) as error:
        read_list(path, kind)
    assert str(path) in str(error.value)
    with pytest.raises(Problem, match="missing"):
        read_list(tmp_path / "missing", kind)


def test_bundled_lists():
    words = read_list(LISTS / "url_words.txt", "words")
    soft_words = read_list(LISTS / "url_soft_words.txt", "words")
    substrings = read_list(LISTS / "url_substrings.txt", "substrings")
    assert (len(words), len(soft_words), len(substrings)) == (203, 88, 134)
    blocked = Blocked(words=words, soft_words=soft_words, substrings=substrings)
    assert blocked.reason("http://mill.com/tag/Milf") == ("blocked_word", "milf")
    assert blocked.reason("http://mill.com/baby-batter-recipe") == (
        "blocked_substring",
        "babybatter",
    )
    assert blocked.reason("http://mill.com/cake-batter-recipe") is None


@pytest.mark.corpus
def test_bundled_lists_block_no_page_of_the_benchmarks(corpus):
    blocked = Blocked(
        words=read_list(LISTS / "url_words.txt", "words"),
        soft_words=read_list(LISTS / "url_soft_words.txt", "words"),
        substrings=read_list(LISTS / "url_substrings.txt", "substrings"),
    )
    with gzip.open(corpus / "web/wcxb.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        urls = [line.split('"', 4)[3] for line in lines]
    assert len(urls) == 1067
    assert [blocked.reason(url) for url in urls] == [None] * len(urls)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://WWW.Example.com/a/./b?utm_source=x&c=1", "com,example,www)/a/b?c=1"),
        ("http://example.com", "com,example)/"),
        ("http://example.com:8080/x", "com,example:8080)/x"),
        ("http://192.0.2.7/x", "192.0.2.7)/x"),
        ("http://[2001:db8::1]:81/x", "[2001:db8::1]:81)/x"),
        ("https://bücher.example/", "example,xn--bcher-kva)/"),
        ("no address", "no address"),
    ],
)
def test_sortable_addresses(url: str, found: str) -> None:
    assert sortable(url) == found


def test_addresses_below_a_host() -> None:
    def is_below(url: str, domain: str) -> bool:
        return any(low <= sortable(url) < high for low, high in addresses_below(domain))

    for url in (
        "http://a.example",
        "https://b.a.example/x",
        "http://a.example:81/",
        "http://c.b.a.example",
    ):
        assert is_below(url, "A.example")
    for url in (
        "http://aa.example",
        "http://a-b.example/",
        "http://example/",
        "http://a.example.org",
    ):
        assert not is_below(url, "a.example")
    assert is_below("http://192.0.2.7:80/x", "192.0.2.7")
    for wrong in ("http://a.example", "a.example/x", "", "a b"):
        with pytest.raises(Problem, match="is no domain"):
            addresses_below(wrong)
