import pytest
from selectolax.lexbor import LexborHTMLParser

from curation import linked_data
from curation.readers.http import parse_response
from curation.rights import Declared, decide, licence_of, read
from schemas.extract import Rights
from tests.timing import within

TEXT = "<p>The mill turns slowly, and the grain becomes flour.</p>"
CC_BY = "https://creativecommons.org/licenses/by/4.0/"


def page(body="", head=""):
    html = f"<!DOCTYPE html><html><head>{head}</head><body>{TEXT}{body}</body></html>"
    return LexborHTMLParser(html)


def declared(headers=None, body="", head=""):
    return read(headers or {}, page(body, head))


def json_ld(text):
    return f'<script type="application/ld+json">{text}</script>'


def test_headers_of_a_response():
    block = (
        b"HTTP/1.1 200 OK\r\nX-Robots-Tag: noindex\r\nx-robots-tag:  otherbot:\r\n NoAI\r\n"
        b"TDM-Reservation: 1\r\nTDM-Policy: https://mill.example/tdm.json\r\nSet-Cookie: a=b\r\n"
        b'Link: </a>; rel="next"\r\nLink: <' + CC_BY.encode() + b'>; rel="license"\r\n'
        b"Content-Language: de\r\nLast-Modified: Mon, 05 Jan 2026 10:00:00 GMT\r\n\r\n<p>x"
    )
    headers = parse_response(block, 1000).headers
    assert headers == {
        "x-robots-tag": "noindex, otherbot: NoAI",
        "tdm-reservation": "1",
        "tdm-policy": "https://mill.example/tdm.json",
        "link": f'</a>; rel="next", <{CC_BY}>; rel="license"',
        "content-language": "de",
        "last-modified": "Mon, 05 Jan 2026 10:00:00 GMT",
    }
    assert read(headers, page()) == Declared(
        opt_outs=("noai", "tdm"),
        licences=("cc-by-4.0",),
        tdm_policy="https://mill.example/tdm.json",
        sources=(("noai", "x-robots-tag"), ("tdm", "tdm-reservation"), ("cc-by-4.0", "link")),
    )
    assert parse_response(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", 1000).headers == {}


def test_headers_are_bounded():
    block = b"HTTP/1.1 200 OK\r\n" + b"X-Robots-Tag: noai, \r\n" * 40_000 + b"\r\n"
    headers = parse_response(block, 1000).headers
    assert len(headers["x-robots-tag"]) == 4096
    headers = parse_response(
        b"HTTP/1.1 200 OK\r\nLink: " + b"<a>;" * 99_999 + b"\r\n\r\n", 9
    ).headers
    assert len(headers["link"]) == 4096
    assert read(headers, page()).licences == ()


@pytest.mark.parametrize(
    ("value", "opt_outs"),
    [
        ("noai", ("noai",)),
        ("NOAI, NoImageAI", ("noai", "noimageai")),
        ("noindex,noai", ("noai",)),
        ("none", ()),
        ("nofollow noarchive nocache", ()),
        ("index, follow, max-snippet:-1, max-image-preview:large", ()),
        ("otherbot: noindex, nofollow", ()),
        ("googlebot: nofollow, otherbot: noindex, noai", ("noai",)),
        ("GPTBot:noai", ("noai",)),
        ("unavailable_after: 25 Jun 2030 15:00:00 PST, noindex", ()),
        ("notrain; DisallowAITraining", ("notrain",)),
        ("no-ai-training", ("notrain",)),
        ("noml", ("notrain",)),
        ("noaid, ai, noais, mynoai", ()),
        ("", ()),
    ],
)
def test_directives(value, opt_outs):
    found = declared({"x-robots-tag": value})
    assert found.opt_outs == opt_outs
    found = declared(head=f'<meta content="{value}" NAME="Robots">')
    assert found.opt_outs == opt_outs
    # for one robot: an opt-out still
    found = declared(head=f'<meta name="googlebot" content="{value}">')
    assert found.opt_outs == opt_outs
    # where markup has put it out of the head
    found = declared(head=f'<img src=a><meta http-equiv="X-Robots-Tag" content="{value}">')
    assert found.opt_outs == opt_outs


@pytest.mark.parametrize(
    ("name", "opt_outs"),
    [
        *((name, ("noai",)) for name in ("GPTBot", "CCBot", "robots, googlebot", "bytespider")),
        *((name, ("noai",)) for name in ("anthropic-ai", "ChatGPT-User", "Google-Extended")),
        ("meta-externalagent", ("noai",)),
        *((name, ()) for name in ("description", "keywords", "news_keywords", "author")),
    ],
)
def test_what_one_robot_is_told(name, opt_outs):
    assert declared(head=f'<meta name="{name}" content="noindex, noai">').opt_outs == opt_outs
    assert not declared(head=f'<meta name="{name}" content="noindex, none">').opt_outs


@pytest.mark.parametrize(
    ("headers", "head", "opt_outs", "policy"),
    [
        ({"tdm-reservation": "1"}, "", ("tdm",), None),
        ({"tdm-reservation": "0"}, "", (), None),
        ({"tdm-reservation": "true"}, "", (), None),
        ({"tdm-reservation": "0, 1"}, "", ("tdm",), None),
        ({}, '<meta name="tdm-reservation" content="1">', ("tdm",), None),
        ({}, '<meta name="TDM-Reservation" content=" 1 ">', ("tdm",), None),
        ({}, '<meta name="tdm-reservation" content="0">', (), None),
        (
            {"tdm-reservation": "0"},
            '<meta name="tdm-reservation" content="1">'
            '<meta name="tdm-policy" content="https://mill.example/p">',
            ("tdm",),
            "https://mill.example/p",
        ),
        ({"tdm-policy": "https://mill.example/p"}, "", (), "https://mill.example/p"),
        ({"tdm-policy": "javascript:alert(1)"}, "", (), None),
        ({"content-usage": "train-ai=n, search=y"}, "", ("notrain",), None),
        ({"content-usage": "train-ai=y"}, "", (), None),
        ({"content-signal": "search=yes, ai-train=no"}, "", ("notrain",), None),
        ({"content-signal": "ai-train=yes, ai-input=no"}, "", (), None),
        ({}, '<meta name="description" content="noai">', (), None),
    ],
)
def test_reservations(headers, head, opt_outs, policy):
    found = declared(headers, head=head)
    assert (found.opt_outs, found.tdm_policy) == (opt_outs, policy)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (CC_BY, "cc-by-4.0"),
        ("//creativecommons.org/licenses/by-nc-sa/3.0/de/", "cc-by-nc-sa-3.0"),
        ("http://www.creativecommons.org/licences/by-nc-nd/2.5", "cc-by-nc-nd-2.5"),
        ("https://creativecommons.org/licenses/by-nd/", "cc-by-nd"),
        ("https://creativecommons.org/publicdomain/zero/1.0/deed.en", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "pdm-1.0"),
        (
            "https://web.archive.org/web/20160820id_/http://creativecommons.org/licenses/by-sa/3.0/",
            "cc-by-sa-3.0",
        ),
        (
            "https://en.wikipedia.org/wiki/Wikipedia:Text_of_the_Creative_Commons_"
            "Attribution-ShareAlike_4.0_International_License",
            "cc-by-sa-4.0",
        ),
        ("https://www.gnu.org/licenses/fdl-1.3.html", "gfdl-1.3"),
        ("https://www.gnu.org/copyleft/fdl.html", "gfdl"),
        ("http://www.gnu.org/licenses/old-licenses/gpl-2.0.html", "gpl-2.0"),
        ("https://opensource.org/licenses/MIT", "mit"),
        ("https://opensource.org/license/bsd-3-clause/", "bsd-3-clause"),
        ("https://www.opensource.org/licenses/mit-license.php", "mit"),
        ("https://www.apache.org/licenses/LICENSE-2.0", "apache-2.0"),
        ("https://spdx.org/licenses/CC0-1.0.html", "cc0-1.0"),
        (
            "http://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/",
            "ogl-uk-3.0",
        ),
        ("https://opendatacommons.org/licenses/odbl/1-0/", "odc-odbl-1.0"),
        ("https://www.govdata.de/dl-de/by-2-0", "dl-de-by-2.0"),
        ("https://mill.example/terms?a=b", "https://mill.example/terms?a=b"),
        ("/terms", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_licence_of_an_address(address, name):
    assert licence_of(address) == name


LINK = f'<a href="{CC_BY}">licence</a>'
REL = f'<a rel="noopener License" href="{CC_BY}">licence</a>'
BADGE = f'<a href="{CC_BY}"><img src="https://i.creativecommons.org/l/by/4.0/88x31.png"></a>'


@pytest.mark.parametrize(
    ("body", "licences", "source"),
    [
        (REL, ("cc-by-4.0",), "rel"),
        (f'<link rel="license" href="{CC_BY}">', ("cc-by-4.0",), "rel"),
        (f'<a rel="cc:license" href="{CC_BY}">x</a>', ("cc-by-4.0",), "rel"),
        (f'<span rel="xhv:license" resource="{CC_BY}"></span>', ("cc-by-4.0",), "rel"),
        (f"<figure><figcaption>{REL}</figcaption></figure>", (), None),
        (
            '<a rel="license" href="https://mill.example/t">x</a>',
            ("https://mill.example/t",),
            "rel",
        ),
        ('<a rel="license" href="/terms">x</a>', (), None),
        ('<a rel="licensed" href="https://mill.example/t">x</a>', (), None),
        # a text about licences
        (f"<article><p>Of {LINK} we say more.</p></article>", (), None),
        (BADGE, ("cc-by-4.0",), "badge"),
        (f"<footer><p>{LINK}</p></footer>", ("cc-by-4.0",), "footer"),
        (f'<div id="page-Footer"><p>{LINK}</p></div>', ("cc-by-4.0",), "footer"),
        (f"<figure>{BADGE}</figure>", (), None),
        ('<footer><a href="https://creativecommons.org/about/">CC</a></footer>', (), None),
        (
            f'<div itemscope itemtype="https://schema.org/Article"><a itemprop="license" '
            f'href="{CC_BY}">x</a></div>',
            ("cc-by-4.0",),
            "microdata",
        ),
        (
            f'<div itemscope itemtype="https://schema.org/ImageObject"><a itemprop="license" '
            f'href="{CC_BY}">x</a></div>',
            (),
            None,
        ),
        (json_ld(f'{{"@type": "NewsArticle", "license": "{CC_BY}"}}'), ("cc-by-4.0",), "json-ld"),
        (
            json_ld(f'{{"@graph": [{{"@type": ["WebPage"], "license": {{"url": "{CC_BY}"}}}}]}}'),
            ("cc-by-4.0",),
            "json-ld",
        ),
        (
            json_ld('{"@type": "Article", "license": "CC BY-SA 3.0 DE"}'),
            ("cc-by-sa-3.0",),
            "json-ld",
        ),
        (json_ld('{"@type": "Article", "license": "All rights reserved"}'), (), None),
        (json_ld(f'{{"@type": "ImageObject", "license": "{CC_BY}"}}'), (), None),
        (json_ld(f'{{"@type": "Article", "license": "{CC_BY}"'), (), None),
        (f'<meta name="DC.rights" content="Free, see {CC_BY}">', ("cc-by-4.0",), "rights meta"),
        ('<meta name="dcterms.license" content="CC0 1.0">', ("cc0-1.0",), "rights meta"),
        ('<meta name="dcterms.license" content="(c) 2026 Accounts by MIT">', (), None),
        ('<meta name="rightsholder" content="CC BY 4.0 Ltd">', (), None),
        (f"{REL}{BADGE}{REL}", ("cc-by-4.0",), "rel"),
        ("", (), None),
    ],
)
def test_licences(body, licences, source):
    found = declared(body=body)
    assert found.licences == licences
    assert found.sources == tuple((name, source) for name in licences)


def test_decide():
    found = declared(
        {"tdm-reservation": "1", "tdm-policy": "https://mill.example/p"},
        head='<meta name="robots" content="noai, noimageai">',
        body=REL,
    )
    assert found.opt_outs == ("noai", "noimageai", "tdm")
    for options, answer in (
        ({}, ("opt_out_noai", "robots meta")),
        ({"opt_outs": ("tdm", "noimageai")}, ("opt_out_noimageai", "robots meta")),
        ({"opt_outs": ("tdm",)}, ("opt_out_tdm", "https://mill.example/p")),
        ({"opt_outs": ("notrain",)}, None),
        ({"opt_outs": (), "licences": ("cc-by",)}, None),
        ({"opt_outs": (), "licences": ("cc0", "CC-BY-4.0")}, None),
        ({"opt_outs": (), "licences": ("cc-by-3.0", "cc-by-sa", "cc")}, ("licence", "cc-by-4.0")),
    ):
        assert decide(found, Rights(**options)) == answer
    assert decide(Declared(), Rights()) is None
    assert decide(Declared(), Rights(licences=("cc-by",))) == ("licence", "")
    assert decide(Declared(licences=("cc-by-sa-4.0",)), Rights(licences=("cc-by",))) == (
        "licence",
        "cc-by-sa-4.0",
    )


def test_hostile_pages_in_time():
    with within(10):
        for body in (
            REL * 20_000,
            BADGE * 20_000,
            "<div>" * 5000 + LINK * 1000,
            '<meta name="robots" content="' + "noai:" * 100_000 + '">',
            json_ld('{"license": ' + "[" * 100_000),
            json_ld("[" * 900 + '"license"' + "]" * 900),
            json_ld('{"license":1,' + " " * 200_000 + "x"),
            json_ld("[" + '{"@type":"Article","license":"x"},' * 7000 + "{}]"),
            '<a rel="license" href="' + "//creativecommons.org/" * 50_000 + '">',
            '<meta name="dc.rights" content="' + "cc by-" * 50_000 + '">',
        ):
            found = declared({"link": "<a>;" * 1000, "x-robots-tag": "a:" * 2000}, body=body)
            assert len(found.licences) <= 8


def test_linked_data():
    texts = [
        '<!-- {"@type": "http://schema.org/A"} -->',
        '/*<![CDATA[*/\n[{"@type": ["A", 1], "@graph": [{"name": "x\ny"}]}, 3];/*]]>*/',
        "{broken",
        '{"n": ' + "9" * 5000 + "}",
    ]
    nodes = linked_data.nodes(texts)
    assert [linked_data.types(node) for node in nodes] == [("A",), ("A",), ()]
    assert nodes[2] == {"name": "x\ny"}
    assert linked_data.texts([" a ", {"name": ["b"]}, {"name": {"@value": "c"}}, 4, {}]) == [
        "a",
        "b",
        "c",
    ]
