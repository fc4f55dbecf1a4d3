import pytest
from selectolax.lexbor import LexborHTMLParser

from curation.selectors import Selector

PAGE = """<!DOCTYPE html><html lang=en><head><meta name="Robots" content=x><title>t</title>
<meta content=y><link rel="next  Canonical" href=/><script type="Application/LD+JSON">{}</script>
</head><body class=katex><h1 class="a katex\tb">one</h1><svg><a xlink:href=q rel=author>s</a></svg>
<template><h1>in a template</h1></template><p class="katex-display katexx">two<mjx-container a>m
<mjx-container-x class=y></mjx-container-x></mjx-container></p><!-- <h1> -->
<h2 itemprop="name author"></h2>
<a REL="author me" href="//CreativeCommons.org/x">x</a><a rel=coauthor>y</a><a itemprop>z</a>
<a-very-long-name-of-a-tag a-very-long-name-of-an-attribute="Mill stone">
</a-very-long-name-of-a-tag>
<h1>last</h1></body></html>"""


@pytest.mark.parametrize(
    "alternatives",
    [
        ("h1",),
        ("meta", "h2", "title", "template"),
        ("body", "html"),
        (".katex", "mjx-container"),
        ('[rel~="author"]',),
        ('a[rel~="author"]', '[itemprop~="author"]'),
        ('[rel*="author"]',),
        ('link[rel~="canonical" i]', 'meta[name="robots" i]'),
        ('meta[name="robots"]', "meta[name='Robots']"),
        ('[href*="creativecommons.org/" i]',),
        ('script[type="application/ld+json" i]',),
        ('script[type^="App"]', 'script[type^="pp"]'),
        ("[itemprop]", "meta[content]"),
        ("a-very-long-name-of-a-tag",),
        ("[a-very-long-name-of-an-attribute]",),
        ('a-very-long-name-of-a-tag[a-very-long-name-of-an-attribute~="stone"]',),
        ("b", "[nowhere]", ".nowhere", "no-such-element"),
    ],
)
def test_finds_what_css_finds(alternatives):
    tree = LexborHTMLParser(PAGE)
    expected = dict.fromkeys(node.mem_id for node in tree.css(",".join(alternatives)))
    found = Selector(*alternatives)(tree.root)
    assert [node.mem_id for node in found] == list(expected)
    assert [(node.tag, node.attributes) for node in found] == [
        (node.tag, node.attributes)
        for node in {node.mem_id: node for node in tree.css(",".join(alternatives))}.values()
    ]


def test_stays_below_its_root_and_ends_in_time():
    tree = LexborHTMLParser(PAGE)
    assert [node.text() for node in Selector("h1")(tree.root)] == ["one", "last"]
    assert [node.text() for node in Selector("h1")(tree.root, 1)] == ["one"]
    assert Selector("h1")(tree.head) == []
    assert [node.tag for node in Selector("h2", "h1")(tree.css_first("h2"))] == ["h2"]
    assert Selector("h1")(None) == []


def test_nodes_keep_their_page():
    (node,) = Selector("h2")(LexborHTMLParser(PAGE).root)
    assert node.parent.tag == "body"
    assert node.parser.root.tag == "html"


@pytest.mark.parametrize("selector", ["a b", "a > b", "a:not(b)", '[a|="b"]', "a,b", "*"])
def test_other_selectors_are_refused(selector):
    with pytest.raises(ValueError, match="not a selector"):
        Selector(selector)
