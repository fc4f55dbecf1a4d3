import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from curation.extraction.blocks import Block, dom
from curation.extraction.charset import decode
from curation.extraction.formulas import resolve_formulas
from curation.extraction.mathml import latex_of
from curation.extraction.structure import render
from curation.readers import Record
from curation.readers.warc import read_warc
from schemas.extract import Structure
from tests.timing import within

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
PLAIN = Structure(lists=False, tables="text", code=False, formulas=False)


def blocks_of(tree):
    """All blocks of a page."""
    page = dom.read(tree)
    found, current, texts = [], None, []
    for text, owner in zip(page.texts, page.owners, strict=True):
        block = page.blocks[owner]
        if block != current:
            found.append((current, texts))
            current, texts = block, []
        texts.append(text)
    found.append((current, texts))
    return [Block(page.nodes[at], text) for at, texts in found if (text := dom.lines(texts))]


def text_of(html, **structure):
    tree = LexborHTMLParser(html)
    resolve_formulas(tree, Structure(**structure))
    return render(blocks_of(tree), Structure(**structure))


def words(text):
    return Counter(re.findall(r"\w+", text.lower()))


@pytest.fixture(scope="module")
def pages():
    """HTML of the pages of the sample."""
    found = []
    for path in sorted(SAMPLE.glob("*.warc.gz")):
        with path.open("rb") as stream:
            items = list(read_warc(stream, 0, path.stat().st_size, max_record_bytes=9 << 20))
        found += [
            decode(item.payload, item.charset)[0]
            for item in items
            if isinstance(item, Record) and item.kind == "response" and item.payload
        ]
    return found


LISTS = """<ul><li>bread<ol><li>rye<li>spelt</ol><li>flour</ul><ol start=3><li>knead<p>well</ol>
<ol class=crumbs><li>Home</ol><dl><dt>sieve</dt><dd>for flour</dd></dl>"""
PRICES = """<table><caption>Prices</caption><tr><th>Grain</th><th>Price</th><th>Note</th></tr>
<tr><td rowspan=2>Spelt</td><td>2 | 40</td><td><p>new</p><p>crop</p></td></tr>
<tr><td>250</td><td>old</td></tr><tr><td colspan=2>Rye</td><td>none</td></tr></table>"""
SOURCE = """<p>Run:</p><pre class="x"><code class="language-Python">
def mill(grain):
    for corn in grain:<br>        grind(corn)

    return "```"
</code></pre>"""
GUTTER = """<table><tr><td class="gutter"><div class="line">1</div><div class="line">2</div></td>
<td class="code"><div><div>if x:</div><div><code>&nbsp;&nbsp;y = 1</code></div></div></td></tr>
</table>"""
NUMBERED = "<table><tr><td><pre>1\n2</pre></td><td><pre>if x:\n  y</pre></td></tr></table>"
HIGHLIGHTED = """<pre><table class="hljs-ln"><tr><td class="hljs-ln-numbers">1</td><td>if x:</td>
<tr><td class="hljs-ln-numbers">2</td><td class="hljs-ln-code">  y</td></tr></table></pre>"""
ROWS = """<table><tr><td class="blob-num">1<td class="blob-code">1 + 1<tr><td class="blob-num">2
<td class="blob-code"><tr><td class="blob-num">3<td class="blob-code">\tx</table>"""
LAYOUT = """<table><tr><td><ul><li>Home</ul></td><td><h2>Mill</h2><p>One.</p><table><tr><td>a</td>
<td>b</td></tr></table></td></tr></table>"""


@pytest.mark.parametrize(
    ("html", "structure", "text"),
    [
        ("<h1>Mill</h1><p>It <b>turns</b>.</p><h3>Old</h3>", {}, "Mill\nIt turns.\nOld"),
        ("<h1>Mill</h1><p>It turns.<h3>Old</h3>", {"headings": True}, "# Mill\nIt turns.\n### Old"),
        ("<p>Roses are<br>red, <i>are<br>blue</i></p>", {}, "Roses are\nred, are\nblue"),
        ("<div>one<br>two<p>three</p>four<br>five</div>", {}, "one\ntwo\nthree\nfour\nfive"),
        (
            LISTS,
            {},
            "- bread\n  1. rye\n  2. spelt\n- flour\n3. knead\n  well\n- Home\n- sieve\n"
            "  for flour",
        ),
        (LISTS, {"lists": False}, "bread\nrye\nspelt\nflour\nknead\nwell\nHome\nsieve\nfor flour"),
        ("<ul><li><h2>Bread</h2><p>rye", {"headings": True}, "- ## Bread\n  rye"),
        (
            PRICES,
            {},
            "Prices\nGrain | Price | Note\nSpelt | 2 | 40 | new crop\n| 250 | old\nRye |  | none",
        ),
        (
            PRICES,
            {"tables": "markdown"},
            "Prices\n| Grain | Price | Note |\n| --- | --- | --- |\n"
            "| Spelt | 2 \\| 40 | new crop |\n"
            "|  | 250 | old |\n| Rye |  | none |",
        ),
        (f"<p>a</p>{PRICES}<p>b</p>", {"tables": "none"}, "a\nb"),
        (LAYOUT, {"tables": "none"}, "- Home\nMill\nOne."),
        (LAYOUT, {}, "- Home\nMill\nOne.\na | b"),
        ("<table role=presentation><tr><td>a<td>b</table>", {"tables": "none"}, "a\nb"),
        ("<table><tr><td>only<tr><td>cells</table>", {"tables": "none"}, "only\ncells"),
        (
            SOURCE,
            {},
            "Run:\n````python\ndef mill(grain):\n    for corn in grain:\n        grind(corn)\n\n"
            '    return "```"\n````',
        ),
        (
            SOURCE,
            {"code": False},
            "Run:\ndef mill(grain):\n    for corn in grain:\n        grind(corn)\n\n"
            '    return "```"',
        ),
        ("<ul><li>do<pre>a\n b</pre></ul>", {}, "- do\n  ```\n  a\n   b\n  ```"),
        (GUTTER, {}, "```\nif x:\n  y = 1\n```"),
        (NUMBERED, {}, "```\nif x:\n  y\n```"),
        (HIGHLIGHTED, {}, "```\nif x:\n  y\n```"),
        (ROWS, {}, "```\n1 + 1\n\tx\n```"),
        ("<table><tr><td class=ln>7<td>Pelé</table>", {}, "7 | Pelé"),
        ("<blockquote><p>said</p></blockquote>", {"lists": True}, "said"),
        ("<p>a &lt;b&gt; c</p><script>x</script>", {}, "a <b> c"),
        ("", {}, ""),
    ],
)
def test_structure(html, structure, text):
    assert text_of(html, **structure) == text


WIKIPEDIA = """<span class="mwe-math-element"><span class="mwe-math-inline">
<math alttext="{\\displaystyle {\\hat {x}}}"><semantics><mi>x</mi><annotation
encoding="application/x-tex">{\\displaystyle {\\hat {x}}}</annotation></semantics></math></span>
<img class="mwe-math-fallback-image-inline" alt="{\\displaystyle {\\hat {x}}}"></span>"""
KATEX = """<span class="katex-display"><span class="katex"><span class="katex-mathml"><math>
<semantics><mrow><mi>x</mi><mo>!</mo></mrow><annotation encoding="application/x-tex">x!</annotation>
</semantics></math></span><span class="katex-html"><b>x</b><b>!</b></span></span></span>"""
MATHJAX = """<span class="MathJax_Preview">x/y</span><span class="MathJax"><span>x</span>
<span>y</span></span><script type="math/tex">\\frac xy</script>"""


@pytest.mark.parametrize(
    ("html", "text", "shown"),
    [
        (WIKIPEDIA, "${\\hat {x}}$", "x"),
        (KATEX, "$$x!$$", "x!"),
        (MATHJAX, "$\\frac xy$", "x/yxy"),
        ('<script type="math/tex; mode=display">a%b\n c</script>', "$$ac$$", ""),
        (
            '<mjx-container display="true"><mjx-math><mjx-c></mjx-c></mjx-math><mjx-assistive-mml>'
            "<math><mi>γ</mi><mi>d</mi></math></mjx-assistive-mml></mjx-container>",
            "$$\\gamma d$$",
            "",
        ),
        ('<img class="latex" alt="$E=mc^2$">', "$E=mc^2$", ""),
        ('<math display="block" alttext="a%&#10;  b"><mi>z</mi></math>', "$$ab$$", "z"),
        ("<math><mi>x</mi></math>", "$x$", "x"),
    ],
)
def test_formulas(html, text, shown):
    page = f"<p>so <b>{html}</b> is</p>"
    assert " ".join(text_of(page).split()) == f"so {text} is"
    plain = text_of(page, formulas=False)
    assert plain.replace(" ", "").replace("\n", "") == f"so{shown}is"


@pytest.mark.parametrize(
    ("mathml", "latex"),
    [
        ("<msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><mn>1</mn>", "x^{2}+1"),
        ("<mfrac><mi>α</mi><msqrt><mn>2</mn></msqrt></mfrac>", "\\frac{\\alpha}{\\sqrt{2}}"),
        (
            "<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi>"
            "</munderover>",
            "\\sum_{i=1}^{n}",
        ),
        ("<munder><mi>lim</mi><mi>n</mi></munder><mi>sin</mi><mi>θ</mi>", "\\lim_{n}\\sin\\theta"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "\\sqrt[3]{x}"),
        ("<mover><mi>x</mi><mo>→</mo></mover>", "\\vec{x}"),
        ("<msubsup><mi>x</mi><mi>i</mi><mo>′</mo></msubsup>", "x_{i}^{'}"),
        (
            '<mfenced open="[" close="]"><mi>a</mi><mi>b</mi></mfenced>',
            "\\left[ a,b \\right]",
        ),
        (
            "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>0</mn></mtd></mtr>"
            "<mtr><mtd><mn>0</mn></mtd><mtd><mn>1</mn></mtd></mtr></mtable>",
            "\\begin{matrix} 1 & 0 \\\\ 0 & 1 \\end{matrix}",
        ),
        ("<mtext>if $5 </mtext><mspace/><mi>ab</mi>", "\\text{if \\$5}\\, \\mathrm{ab}"),
        ('<mfrac linethickness="0"><mi>n</mi><mi>k</mi></mfrac>', "\\genfrac{}{}{0pt}{}{n}{k}"),
        (
            "<mmultiscripts><mi>C</mi><mi>k</mi><none></none><mprescripts></mprescripts>"
            "<mi>n</mi><none></none></mmultiscripts>",
            "{}_{n}C_{k}",
        ),
        (
            "<mo>{</mo><mi>x</mi><mo>&InvisibleTimes;</mo><mo>∈</mo><mi>ℝ</mi>",
            "\\{x\\in\\mathbb{R}",
        ),
        ("<msup><mi>x</mi></msup>", "x^{}"),
    ],
)
def test_mathml(mathml, latex):
    math = LexborHTMLParser(f"<math>{mathml}</math>").css_first("math")
    assert latex_of(math) == latex


def test_words_are_those_of_the_blocks(pages):
    assert len(pages) > 80
    unlike = 0
    for html in pages:
        tree = LexborHTMLParser(html)
        resolve_formulas(tree, Structure())
        blocks = blocks_of(tree)
        wanted = words("\n".join(block.text for block in blocks))
        plain = words(render(blocks, PLAIN))
        full = words(render(blocks, Structure(headings=True, tables="markdown")))
        # in code the source decides where words end, and line numbers go
        unlike += plain != wanted
        # fences name languages, lists have numbers
        assert (full - wanted).total() < 60
        assert (wanted - full).total() <= (wanted - plain).total()
    assert unlike <= 2


def test_rendering_is_pure(pages):
    for html in pages[:10]:
        tree = LexborHTMLParser(html)
        blocks = blocks_of(tree)
        assert render(blocks, Structure()) == render(blocks, Structure())
        assert render(blocks[::2], Structure()) == render(
            blocks_of(LexborHTMLParser(html))[::2], Structure()
        )


@pytest.mark.parametrize(
    "html",
    [
        "<div>" * 6_000 + "x" + "</div>y" * 6_000,
        "<ul><li>a" * 4_000,
        "<table><tr><td>a<td>" * 5_000,
        "<table><tr>" + "<td rowspan=9999 colspan=999>a" * 5_000 + "<tr><td>b" * 5_000,
        "<pre><div>a" * 6_000,
        "<pre>" + "a<div>b</div>" * 20_000,
        "<p>" + "a<br>" * 30_000,
        "<div>" + "a<br>b<p>c</p>" * 15_000,
        "<math>" + "<msup><mi>x</mi>" * 20_000,
        "<span class=katex>" * 20_000 + "<math><mi>x",
        '<table><tr><td class="gutter">1' + "<td class=code>1" * 20_000,
        "<ol>" + "<li>a" * 30_000,
        "<table>" + "<tr><td class=gutter>1<td class=code>x<td>y" * 8_000,
        "<pre>" + "<span class=gutter>" * 4_000 + "x" * 200_000,
        "<!-- x --><?php y ?>" * 20_000 + "<p>z",
    ],
)
def test_time_is_linear(html):
    tree = LexborHTMLParser(html)
    with within(2):
        resolve_formulas(tree, Structure())
        text = render(blocks_of(tree), Structure(headings=True, tables="markdown"))
    assert "<" not in text.replace("\\left<", "")
    assert len(text) < 30 * len(html)


@pytest.mark.corpus
def test_structure_of_real_pages(corpus):
    """Of pages of documentation: code keeps its lines, tables their rows."""
    with gzip.open(corpus / "web/wcxb.gold.jsonl.gz", "rt", encoding="utf-8") as lines:
        kinds = [json.loads(line)["page_type"] for line in lines]
    fences = rows = 0
    path = corpus / "web/wcxb-00002.warc.gz"
    with path.open("rb") as stream:
        items = read_warc(stream, 0, path.stat().st_size, max_record_bytes=9 << 20)
        found = [item for item in items if item.kind == "response"]
    chosen = [
        record
        for record, kind in zip(found, kinds[-len(found) :], strict=True)
        if kind == "documentation"
    ]
    for record in chosen[:25]:
        text = text_of(decode(record.payload, record.charset)[0], tables="markdown")
        fences += text.count("```")
        rows += text.count("\n| --- ")
    assert fences > 100
    assert fences % 2 == 0
    assert rows > 5
