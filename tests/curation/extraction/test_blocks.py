import gzip
import hashlib
import json
from collections import Counter
from importlib import resources

import numpy as np
import onnxruntime
import pytest
from selectolax.lexbor import LexborHTMLParser

from curation.extraction import blocks, trafilatura
from curation.extraction.blocks import choose, declared, dom, main_text
from curation.extraction.blocks.features import table
from curation.extraction.blocks.model import Model, cut
from curation.extraction.blocks.repeats import once
from curation.extraction.charset import decode
from curation.readers.warc import read_warc
from schemas.extract import Extract
from tests.benchmarks.web_pages import f1, pages, tokens
from tests.timing import cpu_seconds, within

# What the shipped models choose of the sample's pages: changes with the models.
DIGEST = "6c1b371a1ab627fbee478eb5443343fee6fc46b4fc2d33981b8214f4c88c6434"
# The gold texts that the gate's figures are of; F1 measured .958, trafilatura's time a page is
# 9.4 times ours.
GOLD = "b0cc02b9e1b6471944db86b872baa43a0dedbeb3a7a08969439eb8e5b9a01991"
F1_FLOOR, RATIO_FLOOR = 0.95, 5.0

ARTICLE = """
<body><nav class="menu"><ul><li><a href="/">Home</a></li><li><a href="/news">News</a></li>
<li><a href="/sport">Sport</a></li></ul></nav>
<main><article><h1>The mill on the river</h1>
<p>The mill stood on the river for two hundred years, and ground the corn of four villages.
When the last miller died, in the winter of 1911, nobody wanted to go on with the work.</p>
<p>The wheel was sold for its iron, the stones lie in the grass behind the house, and the race
is dry but for some weeks in spring, when the snow melts in the hills and the water rises.</p>
<p>Now a society wants to build the wheel again. It has the plans, which a teacher drew in 1908,
and half of the money; the rest, its chairman says, will come from the people of the valley.</p>
</article></main>
<footer class="site-footer"><ul><li><a href="/terms">Terms of use</a></li>
<li><a href="/privacy">Privacy</a></li></ul><p>Copyright 2024</p></footer></body>"""


def texts(html):
    return [block.text for block in choose(LexborHTMLParser(html), "balanced")]


def test_an_article_without_its_frame():
    found = texts(ARTICLE)
    assert [text.split()[1] for text in found if len(text) > 50] == ["mill", "wheel", "a"]
    text = main_text(LexborHTMLParser(ARTICLE), Extract())
    assert "two hundred years" in text
    assert not any(word in text for word in ("Sport", "Privacy", "Terms"))


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<p>wo<b>r</b>d, <i>a</i> <b>b</b>", "word, a b"),
        ("<p>H<sub>2</sub>O and <a>link</a>.", "H2O and link."),
        ("<p><a>One</a><a>Two</a><span>3</span><span>4</span>", "One Two 3 4"),
        ("<p>one<br>two<img>three", "one two three"),
        ("<p>a<script>x</script> b<style>y</style><!-- z --> c", "a b c"),
        ("<p>  much \n\t space \u00a0 here ", "much space here"),
    ],
)
def test_words_stand_apart_as_they_are_seen(html, words):
    page = dom.read(LexborHTMLParser(html))
    assert " ".join("".join(page.texts).split()) == words


LONG = "The wheel turned for two hundred years, and ground the corn of four villages by the river."


@pytest.mark.parametrize(
    ("html", "count"),
    [
        # a quoted post
        (
            f"<div><div><p>{LONG}</div></div><div><div><blockquote><p>{LONG}</blockquote></div></div>",
            1,
        ),
        (f"<section><div><p>{LONG}</div></section><aside><div><p>{LONG}</div></aside>", 1),
        (f"<section><div><p>{LONG}</div></section><p>The wheel turned.<p>The wheel turned.", 1),
        # a refrain, steps, cells
        (f"<div><p>{LONG}<p>The stones lie in the grass.<p>{LONG}</div>", 2),
        (f"<div><h2>One</h2><div><p>{LONG}</div><h2>Two</h2><div><p>{LONG}</div></div>", 2),
        (f"<ol><li>{LONG}</ol><div><ol><li>{LONG}</ol></div>", 2),
        (f"<table><tr><td>{LONG}</table><div><table><tr><td>{LONG}</table></div>", 2),
    ],
)
def test_a_long_text_is_taken_once(html, count):
    page = dom.read(tree := LexborHTMLParser(html))
    found = table(page, declared.read(tree))
    spans = zip(found.first, found.last, strict=True)
    said = ["".join(page.texts[first:last]).strip() for first, last in spans]
    around = page.parents[page.parents[found.elements]]
    left = once(
        np.ones(len(said), np.bool_),
        found.sizes,
        page.tags[found.elements],
        around,
        said.__getitem__,
    )
    kept = [said[at] for at in np.flatnonzero(left)]
    assert kept.count(LONG) == count
    assert len(kept) - count == sum(text != LONG for text in said)


def test_what_is_likely_together_is_taken_together_or_not_at_all():
    """Comments as long as the article, of which nobody knows whether they belong to it."""
    likely, sizes = np.array([990] * 10 + [330] * 40), np.full(50, 50)
    right, taken = np.cumsum(likely * sizes), np.cumsum(sizes) * 1000
    expected = 2 * right / (taken + right[-1])  # were they independent
    assert expected.argmax() == 49
    assert cut(likely, sizes, "balanced").sum() == 10


def test_comments_that_are_wanted():
    said = "I worked there as a boy, and remember how the whole house trembled with the wheel."
    page = ARTICLE.replace(
        "</main>",
        f"""</main><section id="comments" class="comments-area"><h2>2 comments</h2>
        <ol class="comment-list"><li class="comment"><p>{said}</p><a href="#">Reply</a></li>
        <li class="comment"><p>Is there a picture?</p><a href="#">Reply</a></li></ol></section>""",
    )
    without = [block.text for block in choose(LexborHTMLParser(page), "precision")]
    found = choose(LexborHTMLParser(page), "precision", comments=True)
    assert [block.text for block in found if block.text not in without] in ([], [said])
    assert said in main_text(LexborHTMLParser(page), Extract(comments=True))


def test_what_begins_a_line_makes_a_block():
    html = "<div>a<p>b</p>c<ul><li>d <b>e</b><li>f</ul></div><table><tr><td>g<td>h</table>"
    page = dom.read(LexborHTMLParser(html))
    lines = [page.blocks[owner] for owner in page.owners]
    tags = [dom.TAGS[page.tags[at]] for at in lines]
    assert tags == ["div", "p", "div", "li", "li", "li", "td", "td"]
    assert lines[3] == lines[4] != lines[5]


@pytest.mark.parametrize(
    "html", ["", "<p>", "<script>x()</script>", "<frameset><frame></frameset>"]
)
def test_no_text(html):
    assert texts(html) == []
    assert main_text(LexborHTMLParser(html), Extract()) == ""


def test_text_that_only_a_script_holds():
    body = "The mill stood on the river for two hundred years. " * 5
    page = f"""<head><script type="application/ld+json">{{"@type": "Article",
        "description": "A mill.", "articleBody": "<p>{body}</p>"}}</script></head>
        <body><div id="app">Loading</div></body>"""
    assert texts(page) == [body.strip()]
    assert main_text(LexborHTMLParser(page), Extract()) == body.strip()
    assert body.strip() not in main_text(LexborHTMLParser(page + ARTICLE), Extract())


SAID = [
    f"The {what} stood on the river for two hundred years, and ground the corn of the valley."
    for what in ("mill", "wheel", "house", "barn", "weir", "bridge", "inn", "chapel")
]
TEASER = '"teaser":"Another page, about something else, that is not this one at all."'


@pytest.mark.parametrize(
    "script",
    [
        '<script id="__NEXT_DATA__" type="application/json">{"a":{"body":BODY,TEASER}}</script>',
        '<script>window.__INITIAL_STATE__ = {\'a\':1,"post":{TEASER,"body":BODY}};</script>',
        "<script>window.__APOLLO_STATE__=JSON.parse(TWICE);</script>",
        '<script>self.__next_f.push([1,"3:[\\"$\\",\\"p\\"]"]);self.__next_f.push([1,TWICE])</script>',
        "<script>window.__NUXT__=(function(a,b){return {TEASER,body:BODY}}(1,null))</script>",
    ],
)
@pytest.mark.parametrize("markup", [True, False])
def test_text_that_only_the_state_of_an_application_holds(script, markup):
    text = "".join(f"<p>{line}</p>" for line in SAID) if markup else "\n".join(SAID)
    body = json.dumps(text).replace("<", "\\u003c")
    script = script.replace("TWICE", json.dumps(f'{{"body":{body}}}')).replace("TEASER", TEASER)
    page = f"<body><div id=app>Loading</div>{script.replace('BODY', body)}</body>"
    assert texts(page) == SAID
    assert main_text(LexborHTMLParser(page), Extract()) == "\n".join(SAID)
    assert SAID[1] not in main_text(LexborHTMLParser(page + ARTICLE), Extract())


def test_a_text_in_pieces_has_one_name():
    pieces = ",".join(f'{{"type":"paragraph","text":"{line}"}},{{{TEASER}}}' for line in SAID)
    page = f'<body><script type="application/json">{{"content":[{pieces}]}}</script></body>'
    assert texts(page) == SAID


@pytest.mark.parametrize(
    "script",
    [
        "<script>window.__STATE__ = {" + TEASER + "}</script>",  # too short to be a page's text
        f"<script>show({json.dumps(' '.join(SAID))})</script>",  # a program, no state
        f"<script type='text/template'>{json.dumps(' '.join(SAID))}</script>",
        '<script>window.__STATE__ = {styles: "'
        + "a { color: red; margin: 0 } " * 50
        + '"}</script>',
        '<script>window.__STATE__ = {key: "' + "QWxhZGRpbjpvcGVuIHNlc2FtZQ" * 50 + '"}</script>',
        '<script>window.__STATE__ = {bad: "\\x' + " ".join(SAID) + '"}</script>',
    ],
)
def test_what_no_reader_would_see_is_no_text(script):
    assert texts(f"<body><div id=app></div>{script}</body>") == []


def test_hostile_state_in_bounded_time():
    most, text = 1 << 21, " ".join(SAID)
    tag = "\\u003c"
    for state in (
        '{"a":"' + '\\"' * (most // 2),
        '{"' * (most // 2),
        " " * most,
        "__" * (most // 2),
        '{"a":' * 300_000 + f'"{text}"',
        '{"a":"{\\"b\\":\\"{\\\\\\"c\\\\\\":' * 20_000,
        f'{{"a":"{f"{tag}div>" * 300_000}{text}"}}',
        f'{{"a":"{tag}p {" ".join(f"a{at}=1" for at in range(100_000))}>{text}"}}',
        "{" + ",".join(f'"a":"{f"{tag}b>" * 30}{text}{at}"' for at in range(2000)) + "}",
    ):
        tree = LexborHTMLParser(f"<body><script>window.__STATE__ = {state}</script></body>")
        with within(5):
            choose(tree, "balanced")


def test_what_is_favoured_decides_how_much_is_taken():
    likely, sizes = np.array([950, 100, 700, 450, 300, 200]), np.array([50, 9, 30, 40, 40, 40])
    taken = [int(cut(likely, sizes, favor).sum()) for favor in ("precision", "balanced", "recall")]
    assert taken == sorted(taken)
    assert taken[0] < taken[2]
    # F1 of the first three: 2 * 86.5 / (120 + 124.4); with the fourth the numerator gains less.
    assert cut(likely, sizes, "balanced").tolist() == [True, False, True, True, False, False]


def test_hostile_pages_in_linear_time():
    word = "<p>Some words in a line of text.</p>"
    shapes = [
        lambda many: "<div>" * min(many, 5000) + word * many,
        lambda many: "<div class=a><span><b>x" * (many // 4),
        lambda many: "<ul><li>" * (many // 2) + "x",
        lambda many: f"<p>{'x ' * many * 20}",
        lambda many: "".join(f"<p class=c{at} id=i{at}>x" for at in range(many)),
        lambda many: "<h2>x</h2>" * many,
    ]

    def seconds(html):
        tree = LexborHTMLParser(html)
        start = cpu_seconds()
        choose(tree, "balanced")
        return cpu_seconds() - start

    for shape in shapes:
        # others on the machine only ever add to it; the first time also loads the models
        few, many = (min(seconds(shape(size)) for _ in range(2)) for size in (4_000, 24_000))
        assert many < 15 * few + 0.5, shape(4)


def responses(sample):
    """Real pages in many languages and charsets."""
    for path in sorted(sample.glob("*.warc.gz")):
        with path.open("rb") as stream:
            for record in read_warc(stream, 0, 1 << 40, max_record_bytes=1 << 24):
                if record.kind == "response":
                    yield decode(record.payload, record.charset)[0]


def test_same_answer_on_every_machine(sample):
    digest = hashlib.sha256()
    for html in responses(sample):
        digest.update("\n".join([*texts(html), "\f"]).encode())
    assert digest.hexdigest() == DIGEST


def test_sums_of_the_net_are_exact_in_any_order(sample):
    """Other kernels, which sum in another order, give the same bits."""
    file = gzip.decompress((resources.files(blocks) / "learned" / "net.onnx.gz").read_bytes())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 3
    plain = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    net, rows = Model(file), []
    for html in responses(sample):
        tree = LexborHTMLParser(html)
        page = dom.read(tree)
        if page and (found := table(page, declared.read(tree))):
            rows.append(found.features)
    rows.append(np.tile(np.concatenate(rows), (2, 1)))  # a page of very many blocks
    assert len(rows[-1]) > 1 << 14
    for features in rows:
        (expected,) = plain.run(None, {"features": features})
        assert np.array_equal(net.scores(features), expected[:, 0])


@pytest.mark.corpus
def test_applications_without_their_text(corpus):
    """Real pages of which only the head and the scripts are left, that hold most of the words."""
    scores = []
    for page in pages(corpus / "web", ("wcxb",)):
        tree = LexborHTMLParser(page.html())
        scripts = tree.css("script")
        words = Counter(tokens("\n".join(script.text() for script in scripts)))
        gold = Counter(tokens(page.gold or ""))
        if not gold or (words & gold).total() < 0.9 * gold.total():
            continue
        left = "".join(node.html for node in [*tree.css("title, meta"), *scripts])
        text = main_text(LexborHTMLParser(f"<head>{left}</head><div id=app></div>"), Extract())
        scores.append(f1(text, page.gold))
    assert len(scores) > 80
    assert np.mean(scores) > 0.6


@pytest.mark.corpus
def test_gate(corpus):
    """The shipped model still finds what it found, and is as much faster than trafilatura.

    Every sixteenth page, on which the model has learned: a gate for changes of the code. What it
    finds on new sites is in the model's card.
    """
    data = hashlib.sha256((corpus / "web" / "wcxb.gold.jsonl.gz").read_bytes()).hexdigest()
    assert data == GOLD, "other data: measure the gate's figures again"
    main_text(LexborHTMLParser(ARTICLE), Extract())  # loads the models
    scores, ours, theirs = [], 0.0, 0.0
    for at, page in enumerate(pages(corpus / "web", ("wcxb",))):
        if at % 16 or not page.gold:
            continue
        html = page.html()
        start = cpu_seconds()
        text = main_text(LexborHTMLParser(html), Extract())
        spent = cpu_seconds() - start
        scores.append(f1(text, page.gold))
        if at % 48 == 0:
            start = cpu_seconds()
            trafilatura.main_text(html, Extract())
            theirs += cpu_seconds() - start
            ours += spent
    assert np.mean(scores) > F1_FLOOR
    assert theirs > RATIO_FLOOR * ours
