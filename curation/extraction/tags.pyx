# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A look at a page's tags before it is parsed, compiled."""


cdef inline bint is_space(Py_UCS4 character):
    return character in (u" ", u"\t", u"\n", u"\r", u"\f")


def tags(str html):
    """How many tags a page has, and the most attributes that one of them has.

    The HTML standard's tokenizer as far as it finds attributes; what a script says in its strings
    counts too. In time linear in the page.
    """
    cdef Py_ssize_t size = len(html), at = 0, end, many = 0, most = 0, attributes
    cdef Py_ssize_t last_single = html.rfind("'"), last_double = html.rfind('"')
    cdef Py_UCS4 quote
    while True:
        at = html.find("<", at) + 1
        if at == 0 or at == size:
            return many, most
        if not (u"a" <= html[at] <= u"z" or u"A" <= html[at] <= u"Z"):
            continue
        many += 1
        at += 1
        while at < size and not (is_space(html[at]) or html[at] in (u"/", u">")):
            at += 1
        attributes = 0
        while at < size:
            while at < size and (is_space(html[at]) or html[at] == u"/"):
                at += 1
            if at == size or html[at] == u">":
                break
            attributes += 1
            at += 1
            while at < size and not (is_space(html[at]) or html[at] in (u"/", u">", u"=")):
                at += 1
            end = at
            while end < size and is_space(html[end]):
                end += 1
            if end == size or html[end] != u"=":
                continue
            at = end + 1
            while at < size and is_space(html[at]):
                at += 1
            if at == size:
                break
            quote = html[at]
            if quote == u'"' or quote == u"'":
                # a quote that nothing ends is no quote
                if at < (last_double if quote == u'"' else last_single):
                    at = html.find('"' if quote == u'"' else "'", at + 1) + 1
                continue
            while at < size and not (is_space(html[at]) or html[at] == u">"):
                at += 1
        most = max(most, attributes)
