# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The walk of a page's tree, compiled: see `dom.Dom` for what it finds."""

import numpy as np

from libc.stdint cimport int32_t, uintptr_t

from curation.lexbor cimport (
    TEXT,
    LexborNode,
    following,
    lexbor_characters,
    lexbor_node,
    text_of,
    wrap,
)

cdef enum:
    NESTED = 8  # elements within a word


def walk(LexborNode body, const unsigned char[::1] traits, int text_id, int break_id):
    """The elements and texts below `body`, as the fields of `dom.Dom`.

    traits: a byte for each of lexbor's numbers of tags, of the bits 1 without text, 2 closed, 4
    inline, 8 inside a word, 16 a link.
    """
    cdef Py_ssize_t most = 1, many = 1, count = 0, at
    cdef lexbor_node* node = body.node
    while node := following(node, body.node):
        most += 1
    cdef list texts = []
    found = np.zeros((9, most), np.int32)
    cdef int32_t[:, ::1] out = found
    cdef int32_t[::1] tags = out[0], parents = out[1], ends = out[2], blocks = out[3]
    cdef int32_t[::1] links = out[4], first = out[5], last = out[6], broken = out[7]
    cdef int32_t[::1] owners = out[8]
    places = np.zeros(most, np.uintp)
    cdef uintptr_t[::1] place = places  # of each element in memory
    cdef dict own_tags = {}
    cdef int tag, trait, steps, known = traits.shape[0]
    cdef int32_t parent = 0, left, within
    cdef bint gap = False, apart = False, ended
    cdef str text, previous = ""

    tags[0] = body.tag_id
    place[0] = <uintptr_t>body.node
    node = body.node.first_child
    while node:
        if node.type == TEXT:
            if not is_blank(node):
                text = text_of(&(<const lexbor_characters*>node).data)
                if text.isspace():
                    gap = True
                else:
                    if not gap and count and is_joined(previous, text):
                        left, within, steps = owners[count - 1], parent, 0
                        while steps < NESTED and within != left and is_in_word(traits, tags[within]):
                            within = parents[within]
                            steps += 1
                        ended = within != left and not is_in_word(traits, tags[left])
                        gap = apart or ended or follows_space(node)
                    previous = text
                    texts.append(" " + text if gap else text)
                    owners[count] = parent
                    count += 1
                    gap = apart = False
        else:
            if node.local_name < <uintptr_t>known:
                tag = <int>node.local_name
            else:  # not of HTML: its number is an address
                tag = known + own_tags.setdefault(node.local_name, len(own_tags))
            trait = traits[tag] if tag < known else 0
            if tag == break_id:
                broken[blocks[parent]] = 1
                gap = True
            elif not trait & 1:
                if not trait & 8:
                    apart = True
                tags[many] = tag
                parents[many] = parent
                blocks[many] = blocks[parent] if trait & 4 else <int32_t>many
                links[many] = 1 if trait & 16 else links[parent]
                first[many] = <int32_t>count
                place[many] = <uintptr_t>node
                many += 1
                if not trait & 2 and node.first_child:
                    parent = <int32_t>many - 1
                    node = node.first_child
                    continue
        while node != body.node and not node.next:
            node = node.parent
            parent = parents[parent]
        node = NULL if node == body.node else node.next
    for at in range(many):
        ends[at] = <int32_t>at + 1
    for at in range(count):
        last[owners[at]] = <int32_t>at + 1
    for at in range(many - 1, 0, -1):
        parent = parents[at]
        last[parent] = max(last[parent], last[at])
        ends[parent] = max(ends[parent], ends[at])
    nodes = [
        wrap(<lexbor_node*>place[at], body.parser)
        if last[at] > first[at] and (blocks[at] == at or ends[at] > at + 1)
        else None
        for at in range(many)
    ]
    return nodes, *found[:8, :many], texts, found[8, :count]


cdef inline bint is_in_word(const unsigned char[::1] traits, int tag) noexcept:
    return tag < traits.shape[0] and traits[tag] & 8


cdef inline bint is_joined(str left, str right):
    return right[0].isalnum() and left[len(left) - 1].isalnum()


cdef bint is_blank(const lexbor_node* node) noexcept nogil:
    """Whether a text is nothing but white space of ASCII."""
    cdef const lexbor_characters* characters = <const lexbor_characters*>node
    cdef size_t at
    for at in range(characters.data.length):
        if characters.data.data[at] not in b" \t\n\f\r":
            return False
    return True


cdef bint follows_space(const lexbor_node* node) except -1:
    """Whether the text before a node is white space alone, which the walk leaves out."""
    cdef int steps
    for steps in range(NESTED):
        if not node:
            return False
        if node.prev:
            return node.prev.type == TEXT and text_of(&(<const lexbor_characters*>node.prev).data).isspace()
        node = node.parent
    return False
