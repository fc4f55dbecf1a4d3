# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The walk of a page's tree, compiled: see `dom.Dom` for what it finds."""

import numpy as np

from libc.stdint cimport int32_t, uint64_t

cdef enum:
    NESTED = 8  # elements within a word


def walk(object body, const unsigned char[::1] traits, int text_id, int break_id):
    """The elements and texts below `body`, as the fields of `dom.Dom`.

    traits: a byte for each of lexbor's numbers of tags, of the bits 1 without text, 2 closed, 4
    inline, 8 inside a word, 16 a link.
    """
    cdef list walked = list(body.traverse(include_text=True, skip_empty=True))
    cdef Py_ssize_t most = len(walked), many = 1, count = 0, place, at, top = 0
    cdef list nodes = [body], texts = []
    found = np.zeros((9, most), np.int32)
    cdef int32_t[:, ::1] out = found
    cdef int32_t[::1] tags = out[0], parents = out[1], ends = out[2], blocks = out[3]
    cdef int32_t[::1] links = out[4], first = out[5], last = out[6], broken = out[7]
    cdef int32_t[::1] owners = out[8]
    # The elements around the place of the walk: their identities and numbers.
    cdef uint64_t[::1] open_ids = np.empty(most + 1, np.uint64)
    cdef int32_t[::1] open_numbers = np.empty(most + 1, np.int32)
    cdef dict own_tags = {}
    cdef uint64_t above, lexbor_tag
    cdef int tag, trait, steps, known = traits.shape[0]
    cdef int32_t parent, left, within
    cdef bint gap = False, apart = False, ended
    cdef object node
    cdef str text, previous = ""

    tags[0] = body.tag_id
    open_ids[0] = body.mem_id
    open_numbers[0] = 0
    for place in range(1, most):
        node = walked[place]
        lexbor_tag = node.tag_id
        if lexbor_tag < <uint64_t>known:
            tag = lexbor_tag
        else:  # not of HTML: its number is an address
            tag = known + own_tags.setdefault(lexbor_tag, len(own_tags))
        trait = traits[tag] if tag < known else 0
        if trait & 1:
            continue
        above = node.parent.mem_id
        at = top
        while at >= 0 and open_ids[at] != above:
            at -= 1
        if at < 0:  # in an element without text
            continue
        top = at
        parent = open_numbers[top]
        if tag == text_id:
            text = node.text_content
            if not text or text.isspace():
                gap = True
                continue
            if not gap and count and text[0].isalnum() and previous[len(previous) - 1].isalnum():
                left, within, steps = owners[count - 1], parent, 0
                while steps < NESTED and within != left and is_in_word(traits, tags[within]):
                    within = parents[within]
                    steps += 1
                ended = within != left and not is_in_word(traits, tags[left])
                gap = apart or ended or _follows_space(node, text_id)
            previous = text
            texts.append(" " + text if gap else text)
            owners[count] = parent
            count += 1
            gap = apart = False
            continue
        if tag == break_id:
            broken[blocks[parent]] = 1
            gap = True
            continue
        if not trait & 8:
            apart = True
        if not trait & 2:
            top += 1
            open_ids[top] = node.mem_id
            open_numbers[top] = many
        nodes.append(node)
        tags[many] = tag
        parents[many] = parent
        blocks[many] = blocks[parent] if trait & 4 else many
        links[many] = 1 if trait & 16 else links[parent]
        first[many] = count
        many += 1
    for at in range(many):
        ends[at] = at + 1
    for at in range(count):
        last[owners[at]] = at + 1
    for at in range(many - 1, 0, -1):
        parent = parents[at]
        last[parent] = max(last[parent], last[at])
        ends[parent] = max(ends[parent], ends[at])
    return nodes, *found[:8, :many], texts, found[8, :count]


cdef inline bint is_in_word(const unsigned char[::1] traits, int tag):
    return tag < traits.shape[0] and traits[tag] & 8


cdef bint _follows_space(object node, int text_id) except -1:
    """Whether the text before a node is white space alone, which the walk leaves out."""
    cdef int steps
    for steps in range(NESTED):
        if node is None:
            return False
        before = node.prev
        if before is not None:
            return before.tag_id == text_id and (before.text_content or "").isspace()
        node = node.parent
    return False
