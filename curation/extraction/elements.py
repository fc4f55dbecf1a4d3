"""What the elements of HTML do to the text in them, by their names (HTML standard, 15.3).

An element that is named nowhere here, one that HTML does not know, is part of a line unless
elements in it begin lines.
"""


def words(names: str) -> frozenset[str]:
    """Names that blanks part."""
    return frozenset(names.split())


# What is in them is no text of the page.
SKIPPED = words(
    "head script style template iframe audio canvas object noembed noframes frameset title map"
    " optgroup option path rt rp rtc"
)
# They stand on the page, but what is in them is not read.
CLOSED = words("svg select textarea video")
# They begin a line.
LINES = words(
    "address article aside blockquote body button caption center col colgroup dd details dialog dir"
    " div dl dt fieldset figcaption figure footer form frame h1 h2 h3 h4 h5 h6 header hgroup hr"
    " html legend li link main marquee menu meta nav noscript ol p pre search section summary table"
    " tbody td tfoot th thead tr ul"
)
# They are part of a line whatever is in them.
INLINE = words(
    "a abbr b bdi bdo big br cite code data del dfn em embed font i img input ins kbd label mark"
    " math nobr output picture progress q s samp small source span strike strong sub sup time tt u"
    " var"
)
# They say how a text looks, not what it is.
FORMATS = words("b big em font i mark s small strike strong sub sup u nobr abbr")
# They stand in a line as a thing.
OBJECTS = words(
    "iframe audio canvas object svg select textarea video embed img input progress picture"
)
CODE = words("code kbd pre samp tt var")
# Lines of a listing; with others in it a `pre` is none.
OF_LISTINGS = words("div li ol pre table tbody td tfoot th thead tr ul")
HEADINGS = words("h1 h2 h3 h4 h5 h6")
CELLS = words("td th")
