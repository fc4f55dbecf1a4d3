"""What the names in `class`, `id` and the like say about an element, as bits.

The words are those that web pages and their content systems use for parts of a page.
"""

from __future__ import annotations

import re

# Beginnings of words; "=" stands for a whole word.
_GROUPS = (
    "nav menu menus submenu offcanvas hamburger megamenu",
    "header masthead topbar appbar",
    "footer colophon bottombar",
    "sidebar aside rail =side =right =left secondary",
    "comment disqus respond livefyre",
    "share sharing social follow facebook twitter pinterest linkedin whatsapp addthis",
    "related recommend similar suggest also further =more readmore upsell crosssell",
    "=ad =ads advert sponsor promo banner adsense dfp outbrain taboola teaser",
    "breadcrumb crumb",
    "pag pagination pager pagenav",
    "cookie consent gdpr privacy onetrust ccpa",
    "modal popup dialog overlay lightbox drawer tooltip flyout toast",
    "newsletter subscri signup optin mailchimp mailing",
    "article story articlebody",
    "content contents",
    "=main maincontent primary",
    "=body bodytext copy prose richtext rte =text textblock wysiwyg markdown",
    "post posts blogpost hentry",
    "entry entries",
    "title headline heading subtitle subhead kicker =hed =dek standfirst",
    "product pdp prod sku woocommerce",
    "price prices pricing amount currency discount sale",
    "desc description summary excerpt abstract intro lead synopsis lede",
    "detail details spec specs specification attribute feature features ingredient",
    "review rating ratings stars testimonial feedback",
    "card cards tile tiles panel",
    "grid masonry columns collection catalog shop",
    "list listing listings results =result items",
    "=item listitem cell",
    "meta byline author date time datetime published timestamp posted dateline",
    "tag tags categor topic topics taxonomy label badge chip",
    "login signin account user profile avatar member",
    "search filter facet sort sorting refine",
    "cart basket checkout buy wishlist quantity addtocart stock",
    "hero jumbotron cover splash",
    "faq accordion collaps expand tab tabs toggle",
    "thread message reply replies discussion topic forum question answer bbcode",
    "quote blockquote signature cite citation",
    "code highlight snippet syntax pre",
    "table datatable wikitable infobox",
    "caption figure image img photo picture thumb thumbnail media",
    "gallery carousel slider slick swiper slide slideshow",
    "button btn cta action",
    "form field input contact",
    "widget block-widget elementor-widget",
    "wrap wrapper container inner outer layout row =col column",
    "hidden hide invisible visuallyhidden =sr sronly screen offscreen mobile",
    "toolbar tools utility options print",
    "copyright legal terms disclaimer license imprint",
    "language lang locale country translate",
    "section sections",
    "toc tableofcontents index outline docs documentation",
    "video player audio podcast embed",
    "trending popular latest recent mostread top featured =new =news",
    "map location address phone hours store directions",
    "service services about team client clients solution",
    "note notice alert warning info tip admonition callout",
    "next prev previous jump skip backtotop anchor",
    "job event recipe property vehicle course",
    "paragraph =p para",
    "logo brand branding site",
    "vote votes score likes like count counter views",
)
GROUPS = tuple(tuple(group.split()) for group in _GROUPS)
NAMES = tuple(group[0].lstrip("=") for group in GROUPS)

_WHOLE: dict[str, int] = {}
_STARTS: dict[str, int] = {}
for _bit, _words_of_group in enumerate(GROUPS):
    for _word in _words_of_group:
        _table, _key = (_WHOLE, _word[1:]) if _word[0] == "=" else (_STARTS, _word)
        _table[_key] = _table.get(_key, 0) | 1 << _bit
_LENGTHS = tuple(sorted({len(start) for start in _STARTS}))

_WORD = re.compile("[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_KEPT = 1 << 16  # names that are remembered
_LONGEST = 400  # characters of an attribute that are read
_words: dict[str, int] = {}
_values: dict[str, int] = {}


def bits(value: str) -> int:
    """One bit a group that some word of an attribute's value belongs to."""
    found = _values.get(value)
    if found is None:
        found = 0
        for name in value[:_LONGEST].split():
            for word in _WORD.findall(name):
                found |= _group(word.lower())
            found |= _group(name.lower().replace("-", "").replace("_", ""))
        if len(_values) >= _KEPT:
            _values.clear()
        _values[value] = found
    return found


def _group(word: str) -> int:
    found = _words.get(word)
    if found is None:
        found = _WHOLE.get(word, 0)
        for length in _LENGTHS:
            found |= _STARTS.get(word[:length], 0)
        if len(_words) >= _KEPT:
            _words.clear()
        _words[word] = found
    return found
