"""Pages that are read right, and the kinds of faults that such pages have elsewhere."""

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from curation.extraction import Extractor, Page, elements
from curation.extraction.blocks import dom
from curation.extraction.markup import mended
from curation.extraction.structure import render
from curation.lines import normalised
from curation.readers import Record
from curation.readers.documents import read_document
from schemas.extract import Extract, Structure
from tests.timing import within

PAGES = Path(__file__).parents[2] / "data" / "pages"
EXPECTED = [json.loads(line) for line in (PAGES / "EXPECTED.jsonl").read_text("utf-8").splitlines()]
PROSE = (
    "<p>The old water mill beside the river has ground wheat since it was built by a bishop.</p>"
)


def page_of(name):
    with (PAGES / name).open("rb") as stream:
        (record,) = read_document(stream, 0, 1, name=name, format="html", max_record_bytes=1 << 20)
    return Extractor(Extract()).extract(record)


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: row["file"])
def test_a_reported_page(row):
    page = page_of(row["file"])
    assert isinstance(page, Page)
    found = str(getattr(page, row["field"]))
    assert all(text in found for text in row["contains"])
    assert not any(text in found for text in row["lacks"])


def seen(html, **structure):
    """The text of a fragment, all of its blocks."""
    tree = LexborHTMLParser(mended(html, None))
    page = dom.read(tree)
    found, last = [], None
    for text, owner in zip(page.texts, page.owners, strict=True):
        if (block := page.blocks[owner]) != last:
            found.append((block, []))
            last = block
        found[-1][1].append(text)
    return render(
        [Seen(page.nodes[block], dom.lines(texts)) for block, texts in found],
        Structure(**structure),
    )


class Seen:
    def __init__(self, node, text):
        self.node, self.text = node, text


SENTENCES = (
    "The river rises in spring, and the millers open the sluice before dawn.",
    "Водяная мельница стоит на северном берегу реки, её построили крестьяне.",
    "水磨坊位于河岸的北侧，由当地居民在十七世纪建造，至今仍然用石磨磨制小麦面粉。",
    "水車小屋は川の北側にあります。村の人が小麦をひくために作りました。",
    "물레방아는 강의 북쪽 기슭에 있으며 마을 사람들이 지었습니다.",
    "โรงสีน้ำแห่งนี้ตั้งอยู่ริมแม่น้ำทางทิศเหนือของหมู่บ้าน",
    "تقع الطاحونة المائية على الضفة الشمالية للنهر وقد بناها أهل القرية.",
    "पनचक्की नदी के उत्तरी किनारे पर है और गाँव के लोगों ने इसे बनाया था।",
    "Die Wassermühle am Nordufer wurde im siebzehnten Jahrhundert errichtet.",
)
INLINE = sorted(
    elements.INLINE - elements.OBJECTS - {"br", "math", "source"}
    | elements.words("acronym blink rb slot x-term g-emoji relative-time glossary-term unheard")
)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_runs_of_letters_in_any_inline_elements_are_the_sentence(sentence):
    draw = random.Random(sentence)
    for _ in range(300):
        # where all of a line is in elements side by side they may be labels and values
        parts, at = [sentence[:1]], 1
        while at < len(sentence):
            end = at + draw.randint(1, 7)
            part = sentence[at:end]
            for _ in range(draw.choice((0, 0, 1, 1, 2))):
                tag = draw.choice(INLINE)
                name = draw.choice(("", ' class="k"', ' href="/w"', ' style="color: red"'))
                part = f"{draw.choice(('', '<!-- -->', '<wbr>'))}<{tag}{name}>{part}</{tag}>"
            parts.append(part)
            at = end
        html = "".join(parts)
        assert seen(f"<div><p>{html}</p></div>") == sentence, html


@pytest.mark.parametrize(
    ("html", "text"),
    [
        (
            '<li><span class="label">Built</span><span class="value">1654</span></li>',
            "- Built 1654",
        ),
        ("<li>\n<span>Miller</span><span>Ada</span>\n</li>", "- Miller Ada"),
        ("<li><span>Miller:</span><span>Ada</span></li>", "- Miller: Ada"),
        ("<p><a>home</a><a>about</a><a>contact</a></p>", "home about contact"),
        ("<p>Filed under <a>Water</a><a>Wheels</a> by us.</p>", "Filed under Water Wheels by us."),
        ("<p><span>W</span><span>e</span><span>l</span><span>l</span></p>", "Well"),
        ("<p>the <span>3</span><span>rd</span> mill</p>", "the 3rd mill"),
        ("<p>wa<img>ter <svg></svg>w</p>", "wa ter w"),
        ("<p><code><span>list</span><span>Append</span></code>ed</p>", "listAppended"),
        ("<p>a<x-a>b<div>c</div>d</x-a>e</p>", "ab\nc\nde"),
        ("<x-list><x-item><p>one</p></x-item><x-item><p>two</p></x-item></x-list>", "one\ntwo"),
        ('<p>options<span class="visually-hidden">for it</span></p>', "options for it"),
        ('<p><i class="material-icons">home</i>Start</p>', "home Start"),
        ("<p>super<wbr>structure</p>", "superstructure"),
        ("<p>面粉\n <b>带回</b>\n家 and\nhome 강의\n북쪽</p>", "面粉带回家 and home 강의 북쪽"),
        ("<p><ruby>水<rp>(</rp><rt>みず</rt><rp>)</rp>車<rtc>x</rtc></ruby>は</p>", "水車は"),
    ],
)
def test_words(html, text):
    assert seen(html) == text


LISTING = "if a:\n    b()\n\nc()"


@pytest.mark.parametrize(
    "html",
    [
        "<pre>if a:\n    b()\n\nc()</pre>",
        '<pre><code><span class="line"><b>if</b> a:</span>\n<span class="line">    b()</span>\n'
        '<span class="line"></span>\n<span class="line">c()</span></code></pre>',
        '<pre><code><span class="line">if a:</span><span class="line">    b()</span>'
        '<span class="line"></span><span class="line">c()</span></code></pre>',
        '<pre><span style="display: flex">if a:</span><span style="display: flex">    b()</span>'
        '<span style="display:block"><br></span><span style="display: flex">c()</span></pre>',
        "<pre><ol>\n<li>if a:</li>\n<li>    b()</li>\n<li></li>\n<li>c()</li>\n</ol></pre>",
        "<pre><code>if a:</code><code>    b()</code><code> </code><code>c()</code></pre>",
        "<pre><div>if a:</div><div>    b()</div><div><br></div><div>c()</div></pre>",
        '<pre><span class="token-line">if a:<br></span><span class="token-line">    b()<br></span>'
        '<br><span class="token-line">c()<br></span></pre>',
        "<div><code>if a:<br>&nbsp;&nbsp;&nbsp;&nbsp;b()<br><br>c()</code></div>",
        "<div>\n<code>if a:\n    b()\n\nc()\n</code>\n</div>",
        '<div class="CodeMirror"><pre class="CodeMirror-line">if a:</pre><pre '
        'class="CodeMirror-line">    b()</pre><pre class="CodeMirror-line">\u200b</pre><pre '
        'class="CodeMirror-line">c()</pre></div>',
        '<div class="ace_text-layer ace_editor"><div class="ace_line">if a:</div><div '
        'class="ace_line">    b()</div><div class="ace_line"></div><div class="ace_line">c()</div>'
        "</div>",
        '<pre><span class="ln">1</span><span class="cl">if a:\n</span><span class="ln">2</span>'
        '<span class="cl">    b()\n</span><span class="ln">3</span><span class="cl">\n</span>'
        '<span class="ln">4</span><span class="cl">c()\n</span></pre>',
    ],
)
def test_a_listing_by_any_highlighter(html):
    assert seen(f"<p>Look:</p>{html}<p>So.</p>") == f"Look:\n```\n{LISTING}\n```\nSo."


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<ol><li>a</li><ol><li>b</li></ol><li>c</li></ol>", "1. a\n  1. b\n2. c"),
        ("<ul><ul><li>a</li></ul></ul>", "  - a"),
        ("<ul><li>a<ul><li>b<ul><li>c</ul></ul></ul>", "- a\n  - b\n    - c"),
    ],
)
def test_a_list_in_a_list_is_deeper(html, text):
    assert seen(html) == text


ROWS = """<table><tr><th>Day<th></th><th>Opens<th>Closes</tr><tr><td>Monday<td></td><td></td>
<td>8</tr><tr><td>Tuesday<td></td><td><ul><li>9<li>1</ul><td>6</tr></table>"""


def test_an_empty_cell_holds_its_place():
    assert seen(ROWS) == "Day | Opens | Closes\nMonday |  | 8\nTuesday | 9 1 | 6"
    assert seen(ROWS, tables="markdown").splitlines()[2:] == [
        "| Monday |  | 8 |",
        "| Tuesday | 9 1 | 6 |",
    ]


XML = "application/xhtml+xml"


@pytest.mark.parametrize(
    ("html", "media_type", "text"),
    [
        ("<title/><p>a<script src='x>y'/>b", XML, "ab"),
        ('\n<?xml version="1.0"?><title /><p>a<a name="/x" />b<br/>', "", "ab"),
        ('<html xmlns="x"><title/><p>a<script src="y" />b<a/>', "text/html", "ab"),
        ("<title/><p>a", "text/html", ""),
    ],
)
def test_elements_of_xhtml_that_end_themselves(html, media_type, text):
    assert LexborHTMLParser(mended(html, media_type)).body.text() == text


def test_a_shadow_root_is_read_in_its_place():
    html = """<p>a</p><x-a><template shadowrootmode=open><p>b</p><template><p>unseen</p></template>
    <x-b><template shadowrootmode='closed'><p>c</p></template></x-b></template></x-a><p>d</p>"""
    assert seen(html) == "a\nb\nc\nd"
    assert seen("<template><p>a</p></template><p>b") == "b"


@pytest.mark.parametrize(
    "html",
    [
        "<a " * 300_000,
        "<a '" * 200_000,
        "<a b/" * 200_000 + ">",
        "<a " + "b=c " * 200_000 + "/>",
        "<template shadowrootmode=open>" * 30_000,
        "<x-a>" * 30_000 + "y" + "</x-a>z" * 30_000,
        "<p>" + "<a>x</a><b>y</b>" * 60_000,
        "<div>" + "<x-a><p>y</p></x-a>" * 30_000,
    ],
)
def test_what_is_mended_and_walked_takes_linear_time(html):
    with within(3):
        dom.read(LexborHTMLParser(mended(html, XML)))


def crawled(html, url="https://mill.example/"):
    record = Record(
        *(0, 1, 0, "response", url, datetime(2026, 1, 1, tzinfo=UTC), 200, "text/html", "utf-8"),
        html.encode(),
    )
    return Extractor(Extract()).extract(record)


def test_soft_hyphens_vanish_and_joiners_stay():
    page = crawled(f"<title>Müh&shy;le</title><p>Die Müh&shy;le &#x1f469;&zwj;&#x1f467;</p>{PROSE}")
    assert page.title == "Mühle"
    assert page.text.startswith("Die Mühle \U0001f469\u200d\U0001f467\n")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\r\nb\rc\n", "a\nb\nc\n"),
        (" \n\t\r\n a \n\xa0\n\n b", "\n\n a \n\n\n b"),
        ("   ", ""),
        ("", ""),
    ],
)
def test_line_ends(text, lines):
    assert normalised(text) == lines


def linked(json_ld):
    return f'<script type="application/ld+json">{json_ld}</script><h1>Flour</h1>{PROSE}'


@pytest.mark.parametrize(
    ("html", "author", "published"),
    [
        (
            linked(
                """{"@graph": [{"@type": "Article", "author": [{"@id": "#a"}, {"@id": "#b"}],
                "datePublished": "2024-12-20"}, {"@type": "Person", "@id": "#a", "name": "Ada E"},
                {"@type": "WebPage", "about": {"@id": "#b", "givenName": "Ben",
                "familyName": "Example"}}]}"""
            ),
            "Ada E; Ben Example",
            "2024-12-20",
        ),
        (
            linked('{"@type": "Article", "author": {"name": {"name": ["Ada Example"]}},}'),
            "Ada Example",
            None,
        ),
        (
            linked(
                '{"@type": "Article", "author": "#a", "editor": {"@id": "#a", "name": "Ada E"}}'
            ),
            "Ada E",
            None,
        ),
        (linked('{"@type": "Article", "@id": "#a", "author": {"@id": "#a"}}'), None, None),
        (
            linked(
                """{"@type": "QAPage", "mainEntity": {"@type": "Question",
                "author": {"name": "Ada E"}, "dateCreated": "2023-05-01",
                "acceptedAnswer": {"author": {"name": "Ben E"}}}}"""
            ),
            "Ada E",
            "2023-05-01",
        ),
        (
            f"""<h1>Flour</h1><div class=post>{PROSE}</div><div class=replies><div class=reply>
            <span class=author>Ben Example</span> <time datetime=2024-02-03></time>{PROSE}</div>""",
            None,
            None,
        ),
        (
            f"""<h1>Flour</h1><p>By Ada Example, 2 February 2024 <a class=comments-link>3</a></p>
            {PROSE}<ol id=comments><li itemprop=comment><meta itemprop=datePublished
            content=2024-01-01><a rel=author>Ben Example</a></li></ol>""",
            "Ada Example",
            "2024-02-02",
        ),
        (
            f"<h1>Flour</h1><p>Eingegangen: 3. Mai 2022; angenommen: 4. Juni 2022</p>{PROSE}",
            None,
            None,
        ),
        (
            f"<h1>Flour</h1><dl><dt>Received<dd>3 May 2022<dt>Published<dd>4 July 2022</dl>{PROSE}",
            None,
            "2022-07-04",
        ),
        (
            f"""<meta name=date content=2022-07-04><h1>Fair</h1><p>12 to 14 May 2022</p><p>
            <time itemprop=startDate datetime=2022-05-12>12 May 2022</time></p>{PROSE}""",
            None,
            "2022-07-04",
        ),
        (f"<meta name=date content=2999-01-01><h1>Flour</h1>{PROSE}", None, None),
        (f"<h1>งาน</h1><p>6 มิ.ย. 2554</p>{PROSE}", None, "2011-06-06"),
        (f"<h1>งาน</h1><p>6 มิถุนายน พ.ศ. 2554</p>{PROSE}", None, "2011-06-06"),
    ],
)
def test_author_and_day(html, author, published):
    page = crawled(html)
    assert (page.author, page.published) == (author, published)
