# cython: language_level=3, boundscheck=False, wraparound=False
"""The few selectors of CSS that pages are asked by, compiled: one pass over the tree for many."""

import re

from selectolax.lexbor import LexborHTMLParser

from libc.stdint cimport uint32_t, uintptr_t
from libc.string cimport memset

from curation.lexbor cimport (
    ELEMENT,
    NUMBERS,
    LexborNode,
    following,
    is_name,
    known,
    lexbor_attribute,
    lexbor_element,
    lexbor_node,
    lexbor_text,
    wrap,
)

cdef enum:
    MOST = 32  # alternatives of a selector

_ALTERNATIVE = re.compile(
    r"([a-z0-9-]*)(?:\.([\w-]+)|\[([\w-]+)(?:([*~^]?)=[\"']([^\"']+)[\"'](?: (i))?)?\])?"
)


cdef struct Alternative:
    const char* tag  # only of one that lexbor has no number for
    size_t tag_length
    const char* attribute  # likewise
    size_t attribute_length
    char operator
    bint folded
    const char* value
    size_t length


cdef class Selector:
    """Alternatives such as `meta`, `a[rel~="author"]`, `[rel*="license" i]` or `.katex`.

    An element by its tag or none, and one attribute that has a value (`=`), holds it (`*=`), as a
    word (`~=`), begins with it (`^=`), or is there; with `i` in letters of either case.
    """

    cdef list _kept  # what the pointers point to
    cdef Alternative[MOST] _all
    # Bits of alternatives: those without an attribute, those by lexbor's numbers.
    cdef uint32_t _plain
    cdef uint32_t[NUMBERS] _of_tag, _of_attribute

    def __init__(self, *alternatives):
        if len(alternatives) > MOST:
            raise ValueError(f"{len(alternatives)} alternatives, more than {MOST}")
        self._kept = []
        for at, alternative in enumerate(alternatives):
            self._add(at, alternative)

    cdef _add(self, int at, str alternative):
        cdef Alternative* one = &self._all[at]
        cdef uint32_t bit = <uint32_t>1 << at
        cdef uintptr_t number
        found = _ALTERNATIVE.fullmatch(alternative)
        if not found:
            raise ValueError(f"{alternative}: not a selector that is known here")
        tag, of_class, name, operator, value, folded = found.groups()
        if tag:
            number = known(LexborHTMLParser("").create_node(tag).tag_id)
            self._of_tag[number] |= bit
            if not number:
                one.tag, one.tag_length = self._keep(tag), len(tag)
        else:
            for number in range(NUMBERS):
                self._of_tag[number] |= bit
        name = "class" if of_class else name
        if not name:
            self._plain |= bit
            return
        node = LexborHTMLParser(f"<p {name}>").body.first_child
        number = known((<lexbor_element*>(<LexborNode>node).node).first_attr.node.local_name)
        self._of_attribute[number] |= bit
        if not number:
            one.attribute, one.attribute_length = self._keep(name), len(name)
        if value or of_class:
            one.operator = ord("~" if of_class else operator or "=")
            one.folded = folded is not None
            value = of_class or (value.lower() if folded else value)
            one.value, one.length = self._keep(value), len(value)

    cdef const char* _keep(self, str text):
        cdef bytes kept = text.encode("ascii")
        self._kept.append(kept)
        return kept

    def __call__(self, LexborNode root, Py_ssize_t most=-1):
        """The elements from `root` on that one of the alternatives is true of, in document order,
        at most so many."""
        cdef list found = []
        cdef lexbor_node* node = NULL if root is None else root.node
        while node and len(found) != most:
            if node.type == ELEMENT and self._selects(<lexbor_element*>node):
                found.append(wrap(node, root.parser))
            node = following(node, root.node)
        return found

    cdef bint _selects(self, lexbor_element* element) noexcept nogil:
        cdef uint32_t may = self._of_tag[known(element.node.local_name)], bits
        cdef lexbor_attribute* attribute
        if may & self._plain and self._is(may & self._plain, element, NULL):
            return True
        if not may & ~self._plain:
            return False
        attribute = element.first_attr
        while attribute:
            bits = may & self._of_attribute[known(attribute.node.local_name)]
            if bits and self._is(bits, element, attribute):
                return True
            attribute = attribute.next
        return False

    cdef bint _is(
        self, uint32_t bits, lexbor_element* element, lexbor_attribute* attribute
    ) noexcept nogil:
        cdef int at
        cdef Alternative* one
        for at in range(MOST):
            one = &self._all[at]
            if (
                bits >> at & 1
                and (
                    not one.tag_length
                    or is_name(element.node.local_name, one.tag, one.tag_length)
                )
                and (
                    not one.attribute_length
                    or is_name(attribute.node.local_name, one.attribute, one.attribute_length)
                )
                and (not one.operator or (attribute.value and holds(attribute.value, one)))
            ):
                return True
        return False


cdef bint holds(const lexbor_text* text, const Alternative* one) noexcept nogil:
    cdef size_t at, end, size = one.length
    if text.length < size:
        return False
    if one.operator == b"=":
        return text.length == size and is_equal(text.data, one)
    if one.operator == b"^":
        return is_equal(text.data, one)
    if one.operator == b"*":
        for at in range(text.length - size + 1):
            if is_equal(text.data + at, one):
                return True
        return False
    at = 0
    while at + size <= text.length:
        end = at
        while end < text.length and not is_space(text.data[end]):
            end += 1
        if end - at == size and is_equal(text.data + at, one):
            return True
        at = end + 1
    return False


cdef inline bint is_equal(const unsigned char* text, const Alternative* one) noexcept nogil:
    cdef size_t at
    cdef unsigned char character
    for at in range(one.length):
        character = text[at]
        if one.folded and b"A" <= character <= b"Z":
            character |= 32
        if character != <unsigned char>one.value[at]:
            return False
    return True


cdef inline bint is_space(unsigned char character) noexcept nogil:
    return character == b" " or 9 <= character <= 13
