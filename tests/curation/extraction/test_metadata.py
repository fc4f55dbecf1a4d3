import gzip
import json
import re
from datetime import UTC, datetime

import pytest
from selectolax.lexbor import LexborHTMLParser
from trafilatura import extract_metadata

from curation.extraction.charset import UndecodableError, decode
from curation.extraction.metadata import Metadata, read
from curation.readers.warc import read_warc
from tests.timing import within

URL = "https://www.mill.example/news/flour"
CRAWLED = datetime(2026, 2, 1, 12, tzinfo=UTC)


def metadata(head="", body="", url=URL, crawled=CRAWLED, lang=""):
    html = f"<!DOCTYPE html><html {lang}><head>{head}</head><body>{body}<p>Flour.</p></body></html>"
    return read(LexborHTMLParser(html), url, crawled)


def meta(name, content):
    return f'<meta name="{name}" content="{content}">'


def json_ld(text):
    return f'<script type="application/ld+json">{text}</script>'


def test_a_page_that_declares_all():
    head = """
    <title>Flour &amp; grain | The Old Mill</title>
    <link rel="canonical" href="//www.mill.example:443/news/flour?utm_source=x">
    <meta property="og:title" content="Flour &amp;amp; grain - The Old Mill">
    <meta property="og:site_name" content="The Old Mill">
    <meta name="author" content="By Ada Miller and Bo Baker">
    <meta property="article:published_time" content="2026-01-05T23:30:00-05:00">
    """
    assert metadata(head, lang='lang="en-us"') == Metadata(
        title="Flour & grain",
        author="Ada Miller; Bo Baker",
        published="2026-01-05",
        canonical="https://www.mill.example/news/flour",
        language="en-US",
        site="The Old Mill",
    )
    assert metadata() == Metadata()
    assert metadata(head, url=None, crawled=None).title == "Flour & grain"


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title>Flour</title>", "", "Flour"),
        ("<title>Flour - Mill</title>", "", "Flour"),  # by the domain
        ("<title>MILL.example: Flour</title>", "", "Flour"),
        ("<title>Flour - and more</title>", "", "Flour - and more"),
        ("<title>Flour - and more</title>", "<h1>Flour – and more</h1>", "Flour – and more"),
        ("<title>Flour | Baking | Grain</title>", "<h1>Flour</h1>", "Flour"),
        # headings that are another's
        ("<title>Flour of spelt | Old Mill</title>", "<h1>Old Mill</h1>", "Flour of spelt"),
        ("<title>Flour of spelt</title>", "<h1>Menu</h1><h1>All posts</h1>", "Flour of spelt"),
        (
            "<title>Flour of spelt, and how it is made</title>",
            "<h1>Newsletter</h1><h1>Flour of spelt, how it is made ¶</h1>",
            "Flour of spelt, how it is made",
        ),
        ("<title>Learn C#</title>", "<h1>Learn C# #</h1>", "Learn C#"),
        ("", "<h1>Flour</h1>", "Flour"),
        ("", "<svg><title>Menu</title></svg><h1></h1>", None),
        ("<title></title>", json_ld('{"@type": "Article", "headline": "Flour"}'), "Flour"),
        ("<img src=a><title>Flour</title>", "", "Flour"),
        (meta("citation_title", "Of flour"), "", "Of flour"),
        ("<title>Mill</title>", "", "Mill"),
    ],
)
def test_title(head, body, title):
    assert metadata(head, body).title == title


@pytest.mark.parametrize(
    ("head", "body", "author"),
    [
        (meta("author", "Ada Miller"), "", "Ada Miller"),
        (meta("author", "von Ada Miller, Ph.D."), "", "Ada Miller"),
        (meta("author", "Abby Colson"), "", "Abby Colson"),
        (meta("author", "Di Maria"), "", "Di Maria"),
        (meta("author", "mill"), "", None),  # the site
        (meta("author", "admin"), "", None),
        (meta("article:author", "https://social.example/ada"), "", None),
        (meta("citation_author", "Ada") + meta("citation_author", "Bo"), "", "Ada; Bo"),
        ("", json_ld('{"@type": "NewsArticle", "author": {"name": "Ada Miller"}}'), "Ada Miller"),
        ("", json_ld('{"@type": "Article", "author": [{"name": "Ada"}, "Bo"]}'), "Ada; Bo"),
        (
            "",
            json_ld(
                '{"@graph": [{"@type": "Article", "author": {"@id": "#1"}},'
                '{"@type": "Person", "@id": "#1", "name": "Ada Miller"}]}'
            ),
            "Ada Miller",
        ),
        ("", json_ld('{"@type": "Product", "author": "Ada Miller"}'), None),
        ("", '<a rel="author" href="/ada">Ada Miller</a>', "Ada Miller"),
        ("", '<p itemprop="author"><b itemprop="name">Ada Miller</b>, 30</p>', "Ada Miller"),
        ("", '<a rel="author">Ada</a><a rel="author">Bo</a>', None),
        ("", '<a rel="author">Ada</a><a rel="author">Ada</a>', "Ada"),
        ("", '<a rel="author">See all of the posts by Ada</a>', None),
        # in sight
        ("", "<h1>Flour</h1><p>By Ada Miller | 5 min read</p>", "Ada Miller"),
        ("", "<h1>Flour</h1><p>by <a>Ada Miller</a> and Bo</p>", "Ada Miller"),
        ("", "<h1>Flour</h1><div>Written by</div><div>Ada Miller</div>", "Ada Miller"),
        ("", "<p>VON <a>ADA MILLER</a> am 3. Mai</p><h1>Flour</h1>", "ADA MILLER"),
        ("", "<h1>Flour</h1><p>Par Ada Miller, le 3 mai</p>", "Ada Miller"),
        ("", "<h1>Flour</h1><p>Автор: Ада Мельник</p>", "Ада Мельник"),
        ("", '<h1>Flour</h1><b>Thread starter</b> <a class="x">paulb203</a>', None),
        ("", '<h1>Flour</h1><b>Thread starter</b> <a class="x">paulb</a>', "paulb"),
        ("", '<h1>Flour</h1><p class="post-author">Ada Miller</p>', "Ada Miller"),
        ("", '<h1>Flour</h1><a href="/authors/ada">Ada Miller</a>', "Ada Miller"),
        ("", '<h1>Flour</h1><p class="author-bio">Head Miller</p>', None),
        ("", "<h1>Flour</h1><p>By far the best of all</p><p>By the river</p>", None),
        ("", "<h1>Flour</h1><p>Ada Miller</p>", None),
        ("", "<h1>Flour</h1><p>Reviewed by Ada Miller</p>", None),
    ],
)
def test_author(head, body, author):
    assert metadata(head + '<meta property="og:type" content="article">', body).author == author


def test_bylines_are_of_articles():
    byline = '<a rel="author" href="/ada">Ada Miller</a>'
    assert metadata("", byline).author is None
    assert metadata(meta("date", "2026-01-05"), byline).author == "Ada Miller"


@pytest.mark.parametrize(
    ("head", "body", "published"),
    [
        (meta("date", "2026-01-05"), "", "2026-01-05"),
        (meta("citation_date", "2025/3/7"), "", "2025-03-07"),
        (meta("dc.date", "20250307"), "", "2025-03-07"),
        (meta("date", "2025年3月7日"), "", "2025-03-07"),
        (meta("date", "Fri, 7 March 2025 10:00 GMT"), "", "2025-03-07"),
        (meta("date", "March 7th, 2025"), "", "2025-03-07"),
        (meta("date", "7. März 2025"), "", "2025-03-07"),
        (meta("date", "7 de marzo de 2025"), "", "2025-03-07"),
        (meta("date", "07.03.2025"), "", "2025-03-07"),
        (meta("date", "3/17/2025"), "", "2025-03-17"),
        (meta("date", "17/3/2025"), "", "2025-03-17"),
        (meta("date", "3/7/2025"), "", None),  # either
        (meta("date", "2025-02-30"), "", None),
        (meta("date", "2025"), "", None),
        (meta("date", "1849-01-01"), "", None),
        (meta("date", "2026-02-02"), "", None),  # after the crawl
        (meta("date", "2027-01-01") + meta("pubdate", "2025-01-01"), "", "2025-01-01"),
        (meta("modified", "2025-01-01"), "", None),
        ("", json_ld('{"@type": "BlogPosting", "datePublished": "2025-12-24"}'), "2025-12-24"),
        ("", json_ld('{"@type": "WebPage", "datePublished": "2025-12-24"}'), "2025-12-24"),
        ("", '<meta itemprop="datePublished" content="2025-12-24">', "2025-12-24"),
        ("", '<time class="entry-date" datetime="2025-12-24T10:00">old</time>', "2025-12-24"),
        ("", '<time datetime="2025-12-24">old</time>', "2025-12-24"),
        ("", "<time>2025-12-24</time><time>2025-12-25</time>", None),
        (meta("article:publish-date", "2025-12-24"), "", "2025-12-24"),
        # in sight
        ("", "<h1>Flour</h1><p>December 24, 2025 · 5 min</p>", "2025-12-24"),
        ("", "<p><span>24.</span> <b>Dezember</b> 2025</p><h1>Flour</h1>", "2025-12-24"),
        ("", "<h1>Flour</h1><time datetime=2025-12-24>new</time><p>1.1.2025</p>", "2025-12-24"),
        ("", "<h1>Flour</h1><p>Updated 2026-01-02, published 2025-12-24</p>", "2025-12-24"),
        ("", "<h1>Flour</h1><b>Last updated</b><p>2026-01-02</p><p>2025-12-24</p>", "2025-12-24"),
        ("", "<h1>Flour</h1><p>Updated 2025-12-24</p>", "2025-12-24"),
        ("", "<h1>Flour</h1><p>24.12.2025 – " + "Flour is made of grain. " * 9, "2025-12-24"),
        ("", "<h1>Flour</h1><p>" + "Of grain. " * 13 + "On 24.12.2025 it was milled.", None),
        ("", "<h1>Flour</h1>" + "<p>Of grain.</p>" * 200 + "<p>24.12.2025</p>", None),
        ("", "<h1>Flour</h1><nav>24.12.2025</nav><p>© 2025</p>", None),
        ("", "<h1>Flour</h1><p>24.12.2026</p><p>24.12.2025</p>", "2025-12-24"),
        # what is declared may be a change
        (meta("date", "2026-01-02"), "<h1>Flour</h1><p>24.12.2025</p>", "2025-12-24"),
        (meta("date", "2025-12-24"), "<h1>Flour</h1><p>2026-01-02</p>", "2025-12-24"),
        (meta("date", "2026-01-02"), "<h1>Flour</h1><p>Updated 24.12.2025</p>", "2026-01-02"),
    ],
)
def test_published(head, body, published):
    assert metadata(head, body).published == published


@pytest.mark.parametrize(
    ("url", "published"),
    [
        ("https://mill.example/2025/12/24/flour", "2025-12-24"),
        ("https://mill.example/2025/3/7/flour", "2025-03-07"),
        ("https://mill.example/20251224-flour.html", "2025-12-24"),
        ("https://mill.example/2025-12-24", "2025-12-24"),
        ("https://mill.example/2025-12/24/flour", "2025-12-24"),
        ("https://mill.example/2025/december/24/flour", "2025-12-24"),
        ("https://mill.example/2025-12-24+Flour", "2025-12-24"),
        ("https://mill.example/2025315/", None),
        ("https://mill.example/p/20251399/", None),
        ("https://mill.example/2026/12/24/", None),
    ],
)
def test_day_in_the_address(url, published):
    assert metadata(url=url).published == published


@pytest.mark.parametrize(
    ("link", "canonical"),
    [
        ("/a/../b#c", "https://www.mill.example/b"),
        ("https://shop.mill.example/b", "https://shop.mill.example/b"),
        ("https://mill.example", "https://mill.example/"),
        ("https://other.example/b", None),
        ("https://notmill.example/b", None),
        ("javascript:alert(1)", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_canonical(link, canonical):
    assert metadata(f'<link rel="canonical" href="{link}">').canonical == canonical


@pytest.mark.parametrize(
    ("lang", "head", "language"),
    [
        ('lang="DE"', "", "de"),
        ('lang="zh_hant_tw"', "", "zh-Hant-TW"),
        ('lang="en-US-x-mill"', "", "en-US"),
        ('lang="es-419"', "", "es-419"),
        ('xml:lang="sr-Latn"', "", "sr-Latn"),
        ('lang="{{ lang }}"', '<meta http-equiv="Content-Language" content="fr">', "fr"),
        ("", '<meta http-equiv="content-language" content="de-at, en">', "de-AT"),
        ("", '<meta property="og:locale" content="pt_BR">', "pt-BR"),
        ('lang="english"', "", None),
        ('lang=""', "", None),
    ],
)
def test_language(lang, head, language):
    assert metadata(head, lang=lang).language == language


def test_hostile_pages_in_time():
    with within(5):
        for head, body in (
            ("<title>" + "- " * 500_000 + "</title>", "<h1>" + "a - " * 500_000 + "</h1>"),
            (meta("author", "by " * 100_000) * 20, ""),
            (meta("author", "Ada;") * 20_000, ""),
            (meta("date", "1 " * 100_000), "<time>1</time>" * 30_000),
            ("", "<h1>a</h1>" * 30_000),
            ("", "<h1>a</h1>" + "<p>By A</p><p>1.1.1</p>" * 30_000),
            ("", "<h1>a</h1>" + "<i>" * 30_000 + "1 " * 300_000),
            ("", "<h1>a</h1><p>" + "1-1-2020 1 Mai " * 30_000),
            ("", "<i>by</i>" * 30_000 + "<h1>a</h1>"),
            ("", '<a rel="author">Ada</a>' * 20_000),
            ("", json_ld('{"@type": "Article", "author": ' + "[" * 100_000)),
            ("", json_ld('{"@type": "Article", "author": ' + "[" * 500 + "]" * 500 + "}")),
            ("", json_ld("[" * 600 + "]" * 600)),
            ("", json_ld('{"@type":"Article","datePublished":' + "9" * 4000 + "}")),
            ("", json_ld("[" + '{"@type":"Article","author":{"@id":"#1"}},' * 5000 + "{}]")),
            ("<title>&#xd800;&#0;\x00</title>" + meta("author", "&#xd800;a\x00"), ""),
            ('<link rel="canonical" href="' + "a/../" * 100_000 + '">', ""),
            (meta("content-language", "de-" * 100_000), ""),
        ):
            found = metadata(head, body)
            assert len(found.title or "") <= 500
            assert len(found.author or "") <= 2200


def bare(text):
    return re.sub(r"[\W_]+", " ", text or "").casefold().strip()


def people(text):
    joined = "; ".join(text) if isinstance(text, list) else text or ""
    return {bare(name) for name in re.split(r"[;,&]| and | und ", joined)} - {""}


def peer(html, url):
    """What trafilatura finds, in declarations and in sight."""
    dates = {"original_date": True, "extensive_search": True, "max_date": "2100-01-01"}
    found = extract_metadata(html, default_url=url, date_config=dates)
    return found.title, found.author, found.date


@pytest.mark.corpus
@pytest.mark.parametrize("name", ["wcxb", "trafilatura-eval"])
def test_as_good_as_trafilatura(corpus, name):
    """On every fourth page, by the benchmarks' titles, authors and dates."""
    with gzip.open(corpus / f"web/{name}.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        gold = [json.loads(line) for line in lines]
    records = []
    for path in sorted((corpus / "web").glob(f"{name}-*.warc.gz")):
        with path.open("rb") as stream:
            items = read_warc(stream, 0, path.stat().st_size, max_record_bytes=9 << 20)
            records += [item for item in items if item.kind == "response"]
    right = {"ours": [0, 0, 0], "theirs": [0, 0, 0]}
    given = {"ours": [0, 0, 0], "theirs": [0, 0, 0]}
    for row, record in list(zip(gold, records, strict=True))[::4]:
        try:
            html, _ = decode(record.payload, record.charset)
        except UndecodableError:
            continue
        found = read(LexborHTMLParser(html), record.url, None)
        ours = (found.title, found.author, found.published)
        for who, (title, author, day) in (
            ("ours", ours),
            ("theirs", peer(html, record.url)),
        ):
            for field, value in enumerate((title, author, day)):
                given[who][field] += bool(value)
            right[who][0] += bool(row["title"]) and bare(title) == bare(row["title"])
            right[who][1] += bool(row["author"]) and people(author) == people(row["author"])
            right[who][2] += bool(row["date"]) and day == row["date"]
    for field in range(3):
        ours, theirs = right["ours"][field], right["theirs"][field]
        assert ours >= theirs
        assert ours / given["ours"][field] >= theirs / given["theirs"][field]
