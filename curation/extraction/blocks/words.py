"""What the names in a page's markup say: groups of words in classes, ids, roles and properties."""

from __future__ import annotations

from curation.extraction.blocks.names import Names

# A word of a name belongs to a group if it begins with one of the group's. Spellings are those
# that sites use in many languages' markup, which is nearly always English.
_GROUPS = {
    "article": "article story post entry blog news hentry",
    "content": "content body main text prose copy rich editor wysiwyg markdown rte html",
    "description": "descri desc overview about",
    "summary": "summary excerpt intro lead abstract teaser deck dek standfirst subtitle",
    "title": "title head headline heading h1 h2 h3 name",
    "comment": "comment disqus discuss respond",
    "reply": "reply replies response answer",
    "forum": "forum thread topic message board posts",
    "quote": "quote blockquote cite pull",
    "nav": "nav navigation navbar menu mega submenu sitemap",
    "header": "header masthead top topbar",
    "footer": "footer foot bottom colophon copyright legal",
    "sidebar": "side sidebar aside widget rail secondary",
    "breadcrumb": "breadcrumb crumb path",
    "related": "related recommend similar more also suggest popular trending recent latest read",
    "next": "next prev previous pager paginat pagination page paging",
    "share": "share sharing social follow facebook twitter whatsapp addtoany",
    "ad": "ad ads adv advert sponsor promo promotion banner outbrain taboola dfp",
    "cookie": "cookie consent gdpr privacy notice onetrust",
    "popup": "modal popup dialog overlay lightbox drawer offcanvas tooltip dropdown popover toast",
    "hidden": "hidden hide invisible sr screen visually skip noprint print",
    "tabs": "tab tabs accordion collapse collapsible toggle panel pane expand",
    "newsletter": "newsletter subscribe subscription signup cta call",
    "account": "login register account user signin auth member",
    "form": "form search input field filter facet sort select checkbox control",
    "meta": "meta info byline date time published timestamp dateline updated",
    "author": "author avatar profile bio signature",
    "tags": "tag tags category categories label badge keyword chip",
    "product": "product sku pdp item",
    "card": "card tile box block",
    "list": "list listing grid results result collection catalog feed archive",
    "price": "price cost sale offer discount stock availab deal",
    "cart": "cart buy shop add basket checkout wishlist quantity",
    "review": "review rating stars testimonial feedback",
    "question": "faq question qa answers",
    "spec": "spec specs detail details feature attribute properties parameter technical",
    "option": "option variant swatch size color",
    "table": "table toc contents index data",
    "image": "image img gallery slide carousel swiper media video figure caption thumb photo",
    "code": "code highlight example doc docs documentation api",
    "section": "section hero container wrapper inner",
    "layout": "row col column layout",
    "button": "button btn link cta icon",
    "contact": "map address contact location store",
    "job": "job event course recipe ingredient step instruction",
    "vote": "vote score point like upvote view",
    "team": "team partner client logo brand",
    "notes": "note footnote reference disclaimer terms warning alert",
}
GROUPS = list(_GROUPS)
_GROUP_OF = {word: 1 << at for at, words in enumerate(_GROUPS.values()) for word in words.split()}
groups = Names({word: bit for word, bit in _GROUP_OF.items() if word.isalpha()})
"""The groups of the words in a class, id, role or property, as bits in the order of GROUPS."""
