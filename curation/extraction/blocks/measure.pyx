# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Features of blocks, compiled: a row of `features.COLUMNS` numbers a block.

Sums over ranges of blocks are differences of running sums. Everything is whole numbers and one
division each, so every machine finds the same.
"""

import numpy as np
from selectolax.lexbor import LexborHTMLParser

from libc.stdint cimport int32_t, uint64_t, uintptr_t
from libc.string cimport memset

from curation.lexbor cimport LexborNode, is_name, known, lexbor_attribute, lexbor_element, text_of

cdef enum:
    LEVELS = 10  # sections up from a block that are looked at for their names
    NEAR = 6  # and for their size
    TOP = 5  # sections down from the page that are looked at
    DEEPEST = 24  # sections up from a block, where these are looked for
    BITS = 21  # of a number of an element, a name or a tag
    LONG = 12  # words of a text that is prose
    CHARACTERS_A_WORD = 12  # of writing without spaces
    SPACE = 1  # classes of characters
    DIGIT = 2
    UPPER = 3
    COMMA = 4
    STOP = 5
    MARK = 6
    BEGINNING = 100  # characters of a block that are looked for in what is declared, and at least
    DECLARED_LEAST = 12
    PARAGRAPH = 1  # kinds of elements
    ITEM = 6
    CELL = 9

# Rows of the sums over blocks.
cdef enum:
    WORDS, LINKED, PROSE, STOPS, DIGITS, MARKS, HEADINGS, REPEATED, LETTERS, SUMS

cdef int[4] SHIFTS = [-2, -1, 1, 2]  # neighbours
cdef int[3] REACHES = [2, 5, 12]  # blocks on each side
cdef int[4] SHARES = [40, 60, 80, 95]  # of the prose, in percent


# The attributes that are read: lexbor's number, 0 if it has none, and the name.
cdef enum:
    CLASS, ID, ROLE, PROPERTY, STYLE, HIDDEN, ARIA_HIDDEN, ATTRIBUTES
cdef list _names = [b"class", b"id", b"role", b"itemprop", b"style", b"hidden", b"aria-hidden"]
cdef uintptr_t[ATTRIBUTES] numbers_of
for _at, _name in enumerate(_names):
    _node = LexborHTMLParser(b"<p %b>" % _name).body.first_child
    numbers_of[_at] = known(
        (<lexbor_element*>(<LexborNode>_node).node).first_attr.node.local_name
    )


cdef int attribute_of(const lexbor_attribute* attribute):
    """Which of them an attribute is; their number if it is none."""
    cdef uintptr_t number = attribute.node.local_name
    cdef int at
    for at in range(ATTRIBUTES):
        if known(number):
            if number == numbers_of[at]:
                return at
        elif not numbers_of[at] and is_name(number, <bytes>_names[at], len(<bytes>_names[at])):
            return at
    return ATTRIBUTES


cdef inline double ratio(double part, double whole) noexcept nogil:
    return part / (whole if whole > 1 else 1)


def sections(
    list nodes,
    const int32_t[::1] tags,
    const int32_t[::1] parents,
    const int32_t[::1] ends,
    const int32_t[::1] blocks,
    const int32_t[::1] first,
    const int32_t[::1] last,
    const uint64_t[::1] role_of,
    object groups,
    uint64_t hidden_bit,
):
    """A value an element: what its names and its tags say (bits), the nearest element around it
    with more text, how many of these there are, its depth, whether it is hidden, numbers that are
    equal for equal siblings and for equal paths. The first two are uint64, the others int32.
    """
    cdef Py_ssize_t many = tags.shape[0], at, parent
    bits = np.zeros((2, many), np.uint64)
    found = np.zeros((6, many), np.int32)
    cdef uint64_t[::1] names = bits[0], roles = bits[1]
    cdef int32_t[::1] up = found[0], depth = found[1], tree_depth = found[2], hidden = found[3]
    cdef int32_t[::1] signature = found[4], path = found[5]
    # Names of classes, and pairs of an element around one with what it is, by their numbers.
    cdef dict classes = {}, numbers = {}, paths = {}
    cdef uint64_t own, role, what
    cdef int tag, which, name
    cdef str value
    cdef const lexbor_attribute* attribute
    for at in range(many):
        if last[at] <= first[at]:
            continue
        tag = tags[at]
        own, name = 0, 0
        # The name of an element within a line that holds no other says little.
        if blocks[at] == at or ends[at] > at + 1:
            attribute = (<lexbor_element*>(<LexborNode>nodes[at]).node).first_attr
            while attribute:
                which = attribute_of(attribute)
                if which < ATTRIBUTES:
                    value = text_of(attribute.value) if attribute.value else ""
                    if which < STYLE:
                        if value:
                            own |= <uint64_t>groups(value)
                            if which == CLASS:
                                name = classes.setdefault(value, len(classes) + 1)
                    elif (
                        which == HIDDEN
                        or (which == ARIA_HIDDEN and value == "true")
                        or (which == STYLE and "none" in value and "display" in value)
                    ):
                        own |= hidden_bit
                        hidden[at] = 1
                attribute = attribute.next
        role = role_of[tag] if tag < role_of.shape[0] else 0
        if at:
            parent = parents[at]
            tree_depth[at] = tree_depth[parent] + 1
            if hidden[parent]:
                hidden[at] = 1
            if first[at] == first[parent] and last[at] == last[parent]:
                up[at] = up[parent]
                depth[at] = depth[parent]
                own |= names[parent]
                role |= roles[parent]
            else:
                up[at] = parent
                depth[at] = depth[parent] + 1
            what = <uint64_t>tag << 2 * BITS | <uint64_t>name << BITS
            signature[at] = numbers.setdefault(what | <uint64_t>up[at], len(numbers))
            path[at] = paths.setdefault(what | <uint64_t>path[parent], len(paths) + 1)
        names[at], roles[at] = own, role
    return *bits, *found


def counts(list texts, const unsigned char[::1] classes):
    """Of each text, int32 [10, n]: words, letters, the five kinds of marks, the classes of its
    first and last character.

    Words are what spaces part, and more in writing that has none; letters are all characters but
    spaces.
    """
    cdef Py_ssize_t many = len(texts), at, size
    found = np.zeros((10, many), np.int32)
    cdef int32_t[:, ::1] out = found
    cdef int[7] by_class
    cdef int kind, before, words, letters
    cdef Py_UCS4 character
    cdef str text
    for at in range(many):
        text = texts[at]
        size = len(text)
        memset(by_class, 0, sizeof(by_class))
        words, before = 0, SPACE
        for character in text:
            kind = classes[character if character < 0xFFFF else 0xFFFF]
            by_class[kind] += 1
            words += kind != SPACE and before == SPACE
            before = kind
        letters = <int>size - by_class[SPACE]
        out[0, at] = max(words, letters // CHARACTERS_A_WORD)
        out[1, at] = letters
        for kind in range(5):
            out[2 + kind, at] = by_class[DIGIT + kind]
        character = text[0]
        if size > 1 and classes[character if character < 0xFFFF else 0xFFFF] == SPACE:
            character = text[1]
        out[7, at] = classes[character if character < 0xFFFF else 0xFFFF]
        out[8, at] = before
    return found


cdef inline void nearest(
    const uint64_t[::1] bits, const int32_t[:, ::1] around, Py_ssize_t block, int number, float* out
) noexcept nogil:
    """How many sections up the nearest with each bit is."""
    cdef uint64_t seen = 0, new
    cdef int level, bit
    for bit in range(number):
        out[bit] = LEVELS
    for level in range(LEVELS):
        new = bits[around[level, block]] & ~seen
        seen |= new
        bit = 0
        while new:
            if new & 1:
                out[bit] = level
            new >>= 1
            bit += 1


cdef str squeezed(str text):
    return "".join(text.split()).lower()


cdef str first_word(str text):
    """The first word of a text; "" if it has none."""
    cdef Py_ssize_t size = len(text), start = 0, end
    while start < size and text[start].isspace():
        start += 1
    end = start
    while end < size and not text[end].isspace():
        end += 1
    return text[start:end]


cdef by_declaration(declared, list texts, headings):
    """Features of blocks by what the page declares, float64 [4, n]: for headings, the Jaccard
    similarity of their words and the title's; blocks since the heading most like it; whether
    a block begins as something in the description does, or in the declared body."""
    cdef Py_ssize_t many = len(texts), at, best = 0
    cdef str text, first, key, description = declared.description, body = declared.body
    cdef frozenset title = declared.title
    cdef const int32_t[::1] heading_of = headings
    found = np.zeros((4, many), np.float64)
    cdef double[:, ::1] out = found
    cdef double joint
    for at in range(many):
        text = texts[at]
        if title and heading_of[at] and len(text) < 300:
            words = set(text.lower().split())
            joint = len(words & title)
            out[0, at] = ratio(joint, len(words) + len(title) - joint)
            if out[0, at] > out[0, best]:
                best = at
        if (description or body) and len(text) >= DECLARED_LEAST:
            text = text[:BEGINNING]
            first = first_word(text).lower()  # of most it is nowhere, which is soon known
            if first and (first in description or first in body):
                key = squeezed(text)
                if len(key) >= DECLARED_LEAST:
                    out[2, at] = key in description
                    out[3, at] = key in body
    for at in range(many):
        out[1, at] = at - best if out[0, best] > 0.4 else -1000
    return found


def table(dom, tree, texts_of, kind_of, heading_of, images_of, controls_of, counted, names, roles,
          int comment, declared, int columns):
    """The fields of `features.Table`.

    dom: `dom.Dom`; tree: what `sections` finds; texts_of: what `counts` finds; the next four: by
    lexbor's numbers of tags; counted: tags whose number on the page counts; names, roles: how many
    bits there are; comment: the bit of comments.
    """
    cdef list texts = dom.texts
    cdef const int32_t[::1] parents = dom.parents, ends = dom.ends, block_element = dom.blocks
    cdef const int32_t[::1] e_first = dom.first, e_last = dom.last, owners = dom.owners
    cdef const int32_t[::1] links_of = dom.links
    cdef const uint64_t[::1] name_bits = tree[0], role_bits = tree[1]
    cdef const int32_t[::1] up = tree[2], depth = tree[3], tree_depth = tree[4], hidden = tree[5]
    cdef const int32_t[::1] signature = tree[6], path = tree[7]
    cdef const int32_t[:, ::1] of_text = texts_of
    cdef Py_ssize_t n_texts = len(texts), n_elements = parents.shape[0], at, b, other, low, high
    cdef Py_ssize_t many = 0, k, level
    cdef int32_t element, climb, size, heading, part
    cdef int name_bits_count = names, role_bits_count = roles, which, step
    cdef double words, value

    known_tags = np.where(dom.tags < len(kind_of), dom.tags, 0)
    cdef const int32_t[::1] kinds = kind_of[known_tags], headings_of = heading_of[known_tags]
    cdef const int32_t[::1] is_image = images_of[known_tags], is_control = controls_of[known_tags]

    # Blocks: runs of texts in the same element that begins a line.
    block_of_ = np.empty(n_texts + 1, np.int32)
    cdef int32_t[::1] block_of = block_of_
    for at in range(n_texts):
        if at == 0 or block_element[owners[at]] != block_element[owners[at - 1]]:
            many += 1
        block_of[at] = <int32_t>many - 1
    block_of[n_texts] = <int32_t>many
    columns_ = np.zeros((24, many), np.int32)
    cdef int32_t[:, ::1] column = columns_
    cdef int32_t[::1] elements = column[0], first = column[1], last = column[2], sizes = column[3]
    cdef int32_t[::1] links = column[4], letters = column[5], prose = column[6], stops = column[7]
    cdef int32_t[::1] heading_at = column[8], same_text = column[9], fresh = column[10]
    cdef int32_t[::1] paths = column[11], under = column[12], following = column[13]
    cdef int32_t[::1] text_ids = column[14]
    cdef int32_t[:, ::1] marks = columns_[15:20]  # digits, upper, commas, stops, marks
    for at in range(n_texts):
        b = block_of[at]
        if last[b] == 0:
            first[b] = <int32_t>at
            elements[b] = block_element[owners[at]]
        last[b] = <int32_t>at + 1
        sizes[b] += of_text[0, at]
        if links_of[owners[at]]:
            links[b] += of_text[0, at]
        letters[b] += of_text[1, at]
        for which in range(5):
            marks[which, b] += of_text[2 + which, at]
    cdef list raw = []
    cdef dict seen = {}
    cdef Py_ssize_t n_paths = 0
    cdef int32_t[::1] number_of = np.full(n_elements + 1, -1, np.int32)
    for b in range(many):
        if last[b] == first[b] + 1:
            text = texts[first[b]]
        else:
            text = "".join(texts[first[b] : last[b]])
        raw.append(text)
        text_ids[b] = seen.setdefault(text, len(seen))
        if number_of[path[elements[b]]] < 0:
            number_of[path[elements[b]]] = <int32_t>n_paths
            n_paths += 1
        paths[b] = number_of[path[elements[b]]]
    cdef int32_t[::1] times = np.zeros(len(seen), np.int32)
    for b in range(many):
        fresh[b] = times[text_ids[b]] == 0
        times[text_ids[b]] += 1
    running_ = np.zeros((SUMS, many + 1), np.int32)
    cdef int32_t[:, ::1] sums = running_
    cdef int longest = 0, title = -1
    for b in range(many):
        same_text[b] = times[text_ids[b]]
        size = sizes[b] - links[b]
        prose[b] = size if size >= LONG else 0
        stops[b] = marks[2, b] + marks[3, b]
        element = elements[b]
        for step in range(3):
            if heading_at[b] == 0:
                heading_at[b] = headings_of[element]
            element = parents[element]
        if prose[b] > prose[longest]:
            longest = <int>b
        if title < 0 and heading_at[b] == 1:
            title = <int>b
        sums[WORDS, b + 1] = sums[WORDS, b] + sizes[b]
        sums[LINKED, b + 1] = sums[LINKED, b] + links[b]
        sums[PROSE, b + 1] = sums[PROSE, b] + prose[b]
        sums[STOPS, b + 1] = sums[STOPS, b] + stops[b]
        sums[DIGITS, b + 1] = sums[DIGITS, b] + marks[0, b]
        sums[MARKS, b + 1] = sums[MARKS, b] + marks[4, b]
        sums[HEADINGS, b + 1] = sums[HEADINGS, b] + (heading_at[b] > 0)
        sums[REPEATED, b + 1] = sums[REPEATED, b] + (0 if fresh[b] else sizes[b])
        sums[LETTERS, b + 1] = sums[LETTERS, b] + letters[b]
    title = max(title, 0)

    # Elements: the range of their blocks. That of an inline element is the blocks it touches.
    of_elements = np.zeros((9, n_elements + 1), np.int32)
    cdef int32_t[::1] b_first = of_elements[0], b_last = of_elements[1], e_words = of_elements[2]
    cdef int32_t[::1] e_prose = of_elements[3], images = of_elements[4]
    cdef int32_t[::1] controls = of_elements[5], same = of_elements[6]
    cdef int32_t[::1] same_words = of_elements[7], children = of_elements[8]
    for at in range(n_elements):
        images[at + 1] = images[at] + is_image[at]
        controls[at + 1] = controls[at] + is_control[at]
        b_first[at] = b_last[at] = block_of[e_first[at]]
        if e_last[at] <= e_first[at]:
            continue
        b_last[at] = block_of[e_last[at] - 1] + 1
        e_words[at] = sums[WORDS, b_last[at]] - sums[WORDS, b_first[at]]
        e_prose[at] = sums[PROSE, b_last[at]] - sums[PROSE, b_first[at]]
        same[signature[at]] += 1
        same_words[signature[at]] += e_words[at]
        children[up[at]] += 1
    cdef double page_words = max(sums[WORDS, many], 1), page_links = max(sums[LINKED, many], 1)
    cdef double page_prose = max(sums[PROSE, many], 1)

    # Blocks in the same markup.
    of_paths = np.zeros((7, n_paths), np.int32)
    cdef int32_t[::1] path_count = of_paths[0], path_words = of_paths[1], path_links = of_paths[2]
    cdef int32_t[::1] path_stops = of_paths[3], path_first = of_paths[4], path_last = of_paths[5]
    cdef int32_t[::1] path_prose = of_paths[6]
    for b in range(many):
        part = paths[b]
        if path_count[part] == 0:
            path_first[part] = <int32_t>b
        path_last[part] = <int32_t>b
        path_count[part] += 1
        path_words[part] += sizes[b]
        path_links[part] += links[b]
        path_stops[part] += stops[b]
        path_prose[part] += prose[b] > 0

    # The parts that headings begin.
    of_parts = np.zeros((3, many + 1), np.int32)
    cdef int32_t[::1] part_words = of_parts[0], part_links = of_parts[1], part_count = of_parts[2]
    part = -1
    for b in range(many):
        if heading_at[b]:
            part = <int32_t>b
        under[b] = part
        part_words[part + 1] += sizes[b]
        part_links[part + 1] += links[b]
        part_count[part + 1] += 1
    part = <int32_t>many
    for b in range(many - 1, -1, -1):
        if heading_at[b]:
            part = <int32_t>b
        following[b] = part

    # Sections around each block, nearest first: elements and the ranges of their blocks.
    around_ = np.empty((3, LEVELS, many), np.int32)
    cdef int32_t[:, ::1] around = around_[0], lows = around_[1], highs = around_[2]
    commented = np.zeros(many, np.bool_)
    cdef unsigned char[::1] is_comment = commented.view(np.uint8)
    for b in range(many):
        element = elements[b]
        for level in range(LEVELS):
            around[level, b] = element
            lows[level, b] = b_first[element]
            highs[level, b] = b_last[element]
            if prose[b] > 0 and name_bits[element] >> comment & 1:
                is_comment[b] = 1
            element = up[element]

    # The smallest elements with most of the prose.
    cdef int32_t[::1] base = e_prose if sums[PROSE, many] else e_words
    cdef Py_ssize_t[4] best
    for which in range(4):
        at = n_elements - 1
        while <long long>base[at] * 100 < <long long>base[0] * SHARES[which]:
            at -= 1
        best[which] = at

    # What is the same for all blocks of the page.
    headings = np.asarray(heading_at)
    own_kinds = np.asarray(kinds)[columns_[0]]
    page = np.array(
        [
            *(many, page_words, page_links / page_words, page_prose / page_words, n_elements),
            *(np.count_nonzero(headings == level) for level in (1, 2, 3)),
            *(np.count_nonzero(own_kinds == kind) for kind in (PARAGRAPH, ITEM, CELL)),
            columns_[3][own_kinds == PARAGRAPH].sum() / page_words,
            *(sums[HEADINGS, many], images[ends[0]], controls[ends[0]]),
            *(n_paths, of_paths[0].max(), np.count_nonzero(columns_[6]), prose[longest]),
            *(np.count_nonzero(dom.tags == tag) for tag in counted),
            *(sums[STOPS, many] / page_words, ratio(sums[DIGITS, many], sums[LETTERS, many])),
            of_paths[6].max(),
            sums[REPEATED, many] / page_words,
            *declared.page,
        ],
        np.float32,
    )
    cdef const float[::1] of_page = page
    cdef const double[:, ::1] declared_of = by_declaration(declared, raw, headings)

    features = np.empty((many, columns), np.float32)
    cdef float[:, ::1] out = features
    cdef float* row
    cdef Py_ssize_t written = 0
    cdef int32_t[NEAR] near
    cdef int32_t[TOP + 1] top
    cdef Py_ssize_t[4] others
    others[2], others[3] = title, longest
    for b in range(many):
        row = &out[b, 0]
        k = 0
        element = elements[b]
        size, heading, part = sizes[b], heading_at[b], paths[b]

        # The block.
        row[0] = size
        row[1] = letters[b]
        row[2] = ratio(letters[b], size)
        row[3] = ratio(links[b], size)
        row[4] = links[b]
        row[5] = stops[b]
        row[6] = of_text[8, last[b] - 1]
        row[7] = of_text[7, first[b]]
        row[8] = kinds[element]
        row[9] = heading
        for which in range(5):
            row[10 + which] = ratio(marks[which, b], letters[b])
        row[15] = kinds[owners[first[b]]]
        row[16] = last[b] - first[b]
        row[17] = kinds[parents[element]]
        row[18] = depth[element]
        row[19] = tree_depth[element]
        row[20] = hidden[element]
        row[21] = same_text[b]
        row[22] = 1 - fresh[b]

        # Blocks in the same markup.
        row[23] = path_count[part]
        row[24] = path_words[part]
        row[25] = ratio(path_words[part], path_count[part])
        row[26] = ratio(path_links[part], path_words[part])
        row[27] = ratio(path_words[part], page_words)
        row[28] = ratio(path_stops[part], path_words[part])
        row[29] = ratio(path_last[part] - path_first[part] + 1, path_count[part])
        row[30] = b - path_first[part]
        row[31] = path_last[part] - b
        k = 32

        # Sections around it, nearest first: columns of all, then columns of all but its own.
        for level in range(NEAR):
            near[level] = around[level, b]
        for level in range(NEAR):
            at = near[level]
            low, high = b_first[at], b_last[at]
            words = e_words[at]
            other = signature[at]
            row[k + level] = words
            row[k + NEAR + level] = ratio(sums[LINKED, high] - sums[LINKED, low], words)
            row[k + 2 * NEAR + level] = ratio(words, page_words)
            row[k + 3 * NEAR + level] = high - low
            row[k + 4 * NEAR + level] = ratio(words, high - low)
            row[k + 5 * NEAR + level] = ratio(e_prose[at], words)
            row[k + 6 * NEAR + level] = kinds[at]
            row[k + 7 * NEAR + level] = children[at]
            row[k + 8 * NEAR + level] = same[other]
            row[k + 9 * NEAR + level] = ratio(same_words[other], same[other])
            row[k + 10 * NEAR + level] = images[ends[at]] - images[at]
            row[k + 11 * NEAR + level] = controls[ends[at]] - controls[at]
            row[k + 12 * NEAR + level] = ratio(same_words[other], e_words[up[at]])
        k += 13 * NEAR
        for level in range(1, NEAR):
            at = near[level]
            low, high = b_first[at], b_last[at]
            words, value = e_words[at], sums[LETTERS, high] - sums[LETTERS, low]
            row[k + level - 1] = b - low
            row[k + NEAR - 1 + level - 1] = high - b
            row[k + 2 * (NEAR - 1) + level - 1] = ratio(size, words)
            row[k + 3 * (NEAR - 1) + level - 1] = ratio(sums[STOPS, high] - sums[STOPS, low], words)
            row[k + 4 * (NEAR - 1) + level - 1] = ratio(
                sums[DIGITS, high] - sums[DIGITS, low], value
            )
            row[k + 5 * (NEAR - 1) + level - 1] = ratio(sums[MARKS, high] - sums[MARKS, low], value)
            row[k + 6 * (NEAR - 1) + level - 1] = sums[HEADINGS, high] - sums[HEADINGS, low]
            row[k + 7 * (NEAR - 1) + level - 1] = ratio(
                sums[REPEATED, high] - sums[REPEATED, low], words
            )
        k += 8 * (NEAR - 1)
        nearest(name_bits, around, b, name_bits_count, row + k)
        k += name_bits_count
        nearest(role_bits, around, b, role_bits_count, row + k)
        k += role_bits_count

        # Sections around it, from the top.
        for level in range(TOP + 1):
            top[level] = 0
        climb = element
        for step in range(DEEPEST):
            top[min(depth[climb], TOP)] = climb
            if climb == 0:
                break
            climb = up[climb]
        for level in range(1, TOP + 1):
            at = top[level] if depth[element] >= level else 0
            low, high = b_first[at], b_last[at]
            words = e_words[at]
            row[k + level - 1] = ratio(words, page_words)
            row[k + TOP + level - 1] = ratio(sums[LINKED, high] - sums[LINKED, low], words)
            row[k + 2 * TOP + level - 1] = ratio(e_prose[at], words)
            row[k + 3 * TOP + level - 1] = kinds[at]
            row[k + 4 * TOP + level - 1] = ratio(low, many)
            row[k + 5 * TOP + level - 1] = high - low
        k += 6 * TOP

        # The smallest elements with most of the prose.
        for which in range(4):
            at = best[which]
            low, high = b_first[at], b_last[at]
            row[k] = b - low if b < low else max(b - high + 1, 0)
            row[k + 1] = e_words[at] / page_words
            k += 2

        # Place.
        row[k] = b
        row[k + 1] = many - b
        row[k + 2] = ratio(b, many)
        row[k + 3] = sums[WORDS, b]
        row[k + 4] = page_words - sums[WORDS, b]
        row[k + 5] = ratio(sums[WORDS, b], page_words)
        row[k + 6] = ratio(sums[PROSE, b], page_prose)
        row[k + 7] = page_prose - sums[PROSE, b]
        k += 8

        # Headings.
        part = under[b]
        row[k] = b - part
        row[k + 1] = heading_at[part] if part >= 0 else 0
        row[k + 2] = sums[WORDS, b] - (sums[WORDS, part] if part >= 0 else 0)
        row[k + 3] = following[b] - b if following[b] < many else -1
        row[k + 4] = part_words[part + 1]
        row[k + 5] = ratio(part_links[part + 1], part_words[part + 1])
        row[k + 6] = part_count[part + 1]
        row[k + 7] = b - title
        row[k + 8] = sums[WORDS, b] - sums[WORDS, title]
        k += 9

        # Neighbours.
        for which in range(4):
            at = b + SHIFTS[which]
            if at < 0 or at >= many:
                for step in range(7):
                    row[k + 4 * step + which] = -1
                row[k + 28 + which] = 0
                continue
            row[k + which] = sizes[at]
            row[k + 4 + which] = ratio(links[at], sizes[at])
            row[k + 8 + which] = kinds[elements[at]]
            row[k + 12 + which] = heading_at[at]
            row[k + 16 + which] = stops[at]
            row[k + 20 + which] = depth[elements[at]]
            row[k + 24 + which] = ratio(letters[at], sizes[at])
            row[k + 28 + which] = paths[at] == paths[b]
        k += 32
        for which in range(3):
            low, high = max(b - REACHES[which], 0), min(b + REACHES[which] + 1, many)
            words = sums[WORDS, high] - sums[WORDS, low]
            row[k + which] = words
            row[k + 3 + which] = ratio(words, high - low)
            row[k + 6 + which] = ratio(sums[LINKED, high] - sums[LINKED, low], words)
            row[k + 9 + which] = ratio(sums[PROSE, high] - sums[PROSE, low], words)
            row[k + 12 + which] = ratio(sums[STOPS, high] - sums[STOPS, low], words)
            row[k + 15 + which] = ratio(sums[REPEATED, high] - sums[REPEATED, low], words)
            row[k + 18 + which] = sums[HEADINGS, high] - sums[HEADINGS, low]
        k += 21

        # How far up it parts from its neighbours, the first heading and the longest text.
        others[0], others[1] = max(b - 1, 0), min(b + 1, many - 1)
        for which in range(4):
            step = LEVELS
            for level in range(LEVELS):
                if lows[level, b] <= others[which] < highs[level, b]:
                    step = <int>level
                    break
            row[k + which] = step
        k += 4

        # The page, and what it declares.
        for at in range(of_page.shape[0]):
            row[k + at] = of_page[at]
        k += of_page.shape[0]
        for at in range(declared_of.shape[0]):
            row[k + at] = declared_of[at, b]
        k += declared_of.shape[0]
        written = k
    if written != columns:
        raise AssertionError(f"{written} features, not {columns}")
    return columns_[0], columns_[1], columns_[2], columns_[3], commented, features
