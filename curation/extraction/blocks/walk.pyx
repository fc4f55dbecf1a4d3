# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The walk of a page's tree, compiled: see `dom.Dom` for what it finds."""

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from libc.stdint cimport int32_t, uintptr_t
from libc.string cimport memcmp

from curation.lexbor cimport (
    ELEMENT,
    TEXT,
    LexborNode,
    following,
    lexbor_attribute,
    lexbor_characters,
    lexbor_element,
    lexbor_node,
    text_of,
    wrap,
)

cdef enum:  # bits of a tag, as `dom` names them
    SKIPPED = 1
    CLOSED = 2
    INLINE = 4
    FORMAT = 8
    LINK = 16
    OBJECT = 32
    CODE = 64
    # and of the second byte
    IS_BLOCK = 1
    UNLISTED = 2
    IS_TABLE = 4
    IS_HEADING = 8
    IS_LISTING = 16
    IS_ROW = 32
    IS_CELL = 64

cdef enum:
    NESTED = 16  # elements that end or begin between two texts
    SIBLINGS = 64  # of them that are looked at

cdef Py_UCS4 BREAK = u"\x0b"

_classed = LexborHTMLParser(b"<p class=a>").body.first_child
# lexbor's number of the attribute
cdef uintptr_t CLASS = (<lexbor_element*>(<LexborNode>_classed).node).first_attr.node.local_name


def walk(
    LexborNode body,
    const unsigned char[::1] traits,
    const unsigned char[::1] kinds,
    int break_id,
):
    """The elements and texts below `body`, as the fields of `dom.Dom`.

    traits, kinds: two bytes for each of lexbor's numbers of tags, see `dom`.
    """
    cdef Py_ssize_t most = 1, many = 1, count = 0, at
    cdef lexbor_node* node = body.node
    while node := following(node, body.node):
        most += 1
    cdef list texts = []
    found = np.zeros((10, most), np.int32)
    cdef int32_t[:, ::1] out = found
    cdef int32_t[::1] tags = out[0], parents = out[1], ends = out[2], blocks = out[3]
    cdef int32_t[::1] links = out[4], first = out[5], last = out[6], rows = out[7]
    cdef int32_t[::1] cells = out[8], owners = out[9]
    places = np.zeros(most, np.uintp)
    cdef uintptr_t[::1] place = places  # of each element in memory
    cdef dict own_tags = {}
    cdef int tag, trait, kind, known = traits.shape[0]
    cdef int32_t parent = 0
    cdef Py_UCS4 gap = 0  # white space between two texts
    cdef bint apart = False  # whether something stands between them that is no part of a word
    cdef str text, previous = ""

    tags[0] = body.tag_id
    place[0] = <uintptr_t>body.node
    node = body.node.first_child
    while node:
        if node.type == TEXT:
            if is_blank(node):
                if gap != BREAK and gap != u"\n":
                    gap = u"\n" if has_line_end(node) else u" "
            else:
                text = text_of(&(<const lexbor_characters*>node).data)
                if text.isspace():
                    gap = gap or u" "
                else:
                    if not gap and count and touches(previous, text):
                        if apart or stands_apart(
                            place, parents, tags, traits, owners[count - 1], parent, previous, text
                        ):
                            gap = u" "
                    elif gap == u"\n" and not (count and is_wide(last_of(previous)) and is_wide(text[0])):
                        gap = u" "
                    previous = text
                    texts.append(gap + text if gap else text)
                    owners[count] = parent
                    count += 1
                    gap, apart = 0, False
        else:
            if node.local_name < <uintptr_t>known:
                tag = <int>node.local_name
            else:  # not of HTML: its number is an address
                tag = known + own_tags.setdefault(node.local_name, len(own_tags))
            trait = traits[tag] if tag < known else 0
            kind = kinds[tag] if tag < known else 0
            if trait & OBJECT or kind & IS_BLOCK:
                apart = True
            if tag == break_id:
                gap = BREAK
            elif not trait & SKIPPED:
                tags[many] = tag
                parents[many] = parent
                links[many] = 1 if trait & LINK else links[parent]
                first[many] = <int32_t>count
                place[many] = <uintptr_t>node
                many += 1
                if not trait & CLOSED and node.first_child:
                    parent = <int32_t>many - 1
                    node = node.first_child
                    continue
        while node != body.node and not node.next:
            node = node.parent
            if tags[parent] < known and kinds[tags[parent]] & IS_BLOCK:
                apart = True
            parent = parents[parent]
        node = NULL if node == body.node else node.next

    holds_ = np.zeros(many, np.uint8)
    cdef unsigned char[::1] holds = holds_  # kinds of the elements in each
    for at in range(many):
        ends[at] = <int32_t>at + 1
    for at in range(count):
        last[owners[at]] = <int32_t>at + 1
    for at in range(many - 1, 0, -1):
        parent = parents[at]
        last[parent] = max(last[parent], last[at])
        ends[parent] = max(ends[parent], ends[at])
        holds[parent] |= holds[at]
        if tags[at] < known:
            holds[parent] |= kinds[tags[at]]
    listings_ = np.zeros(many, np.int32)
    cdef int32_t[::1] listings = listings_
    for at in range(1, many):
        parent, tag = parents[at], tags[at]
        trait = traits[tag] if tag < known else 0
        kind = kinds[tag] if tag < known else 0
        listings[at], rows[at], cells[at] = listings[parent], rows[parent], cells[parent]
        if trait & INLINE:
            blocks[at] = blocks[parent]
        elif listings[parent]:
            blocks[at] = listings[parent]
        else:  # an element that HTML does not know is part of a line unless it holds lines
            blocks[at] = <int32_t>at if (kind | holds[at]) & IS_BLOCK else blocks[parent]
            if kind & IS_LISTING and not holds[at] & UNLISTED:
                listings[at] = <int32_t>at
        if kind & IS_TABLE:
            rows[at] = cells[at] = 0
        elif kind & IS_ROW:
            rows[at] = 0 if holds[at] & (IS_TABLE | IS_HEADING) else <int32_t>at
            cells[at] = 0
        elif kind & IS_CELL:
            cells[at] = <int32_t>at
    nodes = [
        wrap(<lexbor_node*>place[at], body.parser)
        if last[at] > first[at] and (blocks[at] == at or ends[at] > at + 1)
        else None
        for at in range(many)
    ]
    return nodes, *found[:9, :many], texts, found[9, :count]


cdef inline Py_UCS4 last_of(str text):
    return text[len(text) - 1]


cdef inline bint touches(str left, str right):
    """Whether two texts could be parts of a word, or a label and its value."""
    cdef Py_ssize_t size = len(left)
    cdef Py_UCS4 end = left[size - 1]
    return (right[0].isalnum() or right[0] in u"\"“„«‘(") and (
        end.isalnum() or (end in u":;.!?" and size > 1 and left[size - 2].isalpha())
    )


cdef inline bint is_wide(Py_UCS4 character) noexcept:
    """Whether it is of Han, kana or full-width forms, which are written without spaces."""
    return (
        0x2E80 <= character < 0x3130
        or 0x31A0 <= character < 0xA4D0
        or 0xF900 <= character < 0xFB00
        or 0xFE30 <= character < 0xFE50
        or 0xFF00 <= character < 0xFFA0
        or 0x20000 <= character < 0x40000
    )


cdef bint stands_apart(
    const uintptr_t[::1] place,
    const int32_t[::1] parents,
    const int32_t[::1] tags,
    const unsigned char[::1] traits,
    int32_t left,
    int32_t right,
    str before,
    str after,
):
    """Whether two texts between which no white space stands are two words all the same.

    left, right: the elements that they are in. Text that touches an element goes on in it, as a
    browser shows it, unless that is no part of a sentence. But where one element ends and another begins, a style may part them: a
    label and its value, the links of a menu. Elements that only format do not, nor do letters
    one by one. Of the rest two are one where their parent has a text of its own, which is a
    sentence, or puts a space between others of its elements.
    """
    cdef Py_UCS4 end = last_of(before), begin = after[0]
    cdef bint ends = False, begins = False, ends_format = True, begins_format = True
    cdef int steps = 0
    while left != right:
        steps += 1
        if steps > NESTED:
            return True
        if is_no_word(<lexbor_element*>place[max(left, right)]):
            return True
        if left > right:
            ends = True
            ends_format &= has_trait(traits, tags[left], FORMAT)
            left = parents[left]
        else:
            begins = True
            begins_format &= has_trait(traits, tags[right], FORMAT)
            right = parents[right]
    if not ends or not begins or (ends_format and begins_format):
        return False
    if is_wide(end) and is_wide(begin):
        return False
    steps, right = 0, left
    while right and steps < 3:
        if has_trait(traits, tags[right], CODE):
            return False
        right, steps = parents[right], steps + 1
    if begin.isupper() and (end.islower() or end.isdigit()):
        return True
    if ends_format or begins_format or (end.isdigit() and begin.islower()):
        return False
    if is_letter(before) or is_letter(after):
        return False
    return not has_own_text(<lexbor_node*>place[left])


cdef bint begins_with(
    const unsigned char* at, const unsigned char* end, const char* text, size_t length
) noexcept nogil:
    return <size_t>(end - at) >= length and not memcmp(at, text, length)


cdef bint is_no_word(const lexbor_element* element) noexcept nogil:
    """Whether the class of an element says that it is for screen readers, an icon or a badge."""
    cdef const lexbor_attribute* attribute = element.first_attr
    cdef const unsigned char* at
    cdef const unsigned char* end
    while attribute and attribute.node.local_name != CLASS:
        attribute = attribute.next
    if not attribute or not attribute.value:
        return False
    at, end = attribute.value.data, attribute.value.data + attribute.value.length
    while at < end:
        if (
            begins_with(at, end, b"hidden", 6)
            or begins_with(at, end, b"sr-only", 7)
            or begins_with(at, end, b"screen-reader", 13)
            or begins_with(at, end, b"icon", 4)
            or begins_with(at, end, b"badge", 5)
        ):
            return True
        at += 1
    return False


cdef inline bint has_trait(const unsigned char[::1] traits, int tag, int trait) noexcept:
    return tag < traits.shape[0] and traits[tag] & trait != 0


cdef inline bint is_letter(str text):
    return len(text) == 1 and text[0].isalpha()


cdef bint has_own_text(const lexbor_node* parent) noexcept nogil:
    """Whether a text stands beside the elements in another, or white space between some or at
    their ends."""
    cdef const lexbor_node* child = parent.first_child
    cdef int steps
    for steps in range(SIBLINGS):
        if not child:
            return False
        if child.type == TEXT:
            if (child.prev and child.next) or not is_blank(child):
                return True
        elif child.type == ELEMENT and has_space_at_end(child):
            return True
        child = child.next
    return False


cdef bint has_space_at_end(const lexbor_node* node) noexcept nogil:
    """Whether the first or the last text in an element begins or ends with white space."""
    cdef const lexbor_node* first = node
    cdef const lexbor_node* last = node
    cdef const lexbor_characters* text
    cdef int steps
    for steps in range(NESTED):
        if first.first_child:
            first = first.first_child
        if last.last_child:
            last = last.last_child
    text = <const lexbor_characters*>first
    if first.type == TEXT and text.data.length and text.data.data[0] <= 32:
        return True
    text = <const lexbor_characters*>last
    return last.type == TEXT and text.data.length and text.data.data[text.data.length - 1] <= 32


cdef bint is_blank(const lexbor_node* node) noexcept nogil:
    """Whether a text is nothing but white space of ASCII."""
    cdef const lexbor_characters* characters = <const lexbor_characters*>node
    cdef size_t at
    for at in range(characters.data.length):
        if characters.data.data[at] not in b" \t\n\f\r":
            return False
    return True


cdef bint has_line_end(const lexbor_node* node) noexcept nogil:
    cdef const lexbor_characters* characters = <const lexbor_characters*>node
    cdef size_t at
    for at in range(characters.data.length):
        if characters.data.data[at] in b"\n\r":
            return True
    return False
