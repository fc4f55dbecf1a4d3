# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A look at a page before it is parsed, compiled: its tags, and what is no text in it."""

from libc.stdint cimport uint64_t
from libc.string cimport memchr, memcpy


cdef inline bint is_space(unsigned char byte) noexcept nogil:
    return byte == 32 or 9 <= byte <= 13 and byte != 11


cdef inline bint is_letter(unsigned char byte) noexcept nogil:
    return 97 <= (byte | 32) <= 122


cdef inline const unsigned char* find(
    const unsigned char* at, const unsigned char* end, unsigned char byte
) noexcept nogil:
    """The next place of a byte; the end if there is none."""
    cdef const void* found = memchr(at, byte, end - at)
    return <const unsigned char*>found if found != NULL else end


def tags(bytes html):
    """How many tags a page in UTF-8 has, and the most attributes that one of them has.

    The HTML standard's tokenizer as far as it finds attributes; what a script says in its strings
    counts too. In time linear in the page.
    """
    cdef const unsigned char* at = html
    cdef const unsigned char* end = at + len(html)
    cdef const unsigned char* last_single = at + max(html.rfind(b"'"), 0)
    cdef const unsigned char* last_double = at + max(html.rfind(b'"'), 0)
    cdef const unsigned char* after
    cdef Py_ssize_t many = 0, most = 0, attributes
    cdef unsigned char quote
    while True:
        at = find(at, end, b"<") + 1
        if at >= end:
            return many, most
        if not is_letter(at[0]):
            continue
        many += 1
        at += 1
        while at < end and not (is_space(at[0]) or at[0] == b"/" or at[0] == b">"):
            at += 1
        attributes = 0
        while at < end:
            while at < end and (is_space(at[0]) or at[0] == b"/"):
                at += 1
            if at == end or at[0] == b">":
                break
            attributes += 1
            at += 1
            while at < end and not (
                is_space(at[0]) or at[0] == b"/" or at[0] == b">" or at[0] == b"="
            ):
                at += 1
            after = at
            while after < end and is_space(after[0]):
                after += 1
            if after == end or after[0] != b"=":
                continue
            at = after + 1
            while at < end and is_space(at[0]):
                at += 1
            if at == end:
                break
            quote = at[0]
            if quote == b'"' or quote == b"'":
                # a quote that nothing ends is no quote
                if at < (last_double if quote == b'"' else last_single):
                    at = find(at + 1, end, quote) + 1
                continue
            while at < end and not (is_space(at[0]) or at[0] == b">"):
                at += 1
        most = max(most, attributes)


cdef enum:
    CONTROL = 1
    FIRST_OF_LATIN = 2  # bytes of U+0080 to U+00BF
    FIRST_OF_FORMS = 3  # of U+F000 to U+FFFF

cdef unsigned char[256] KINDS
for byte in (*range(9), *range(14, 27), *range(28, 32), 127):
    KINDS[byte] = CONTROL
KINDS[0xC2], KINDS[0xEF] = FIRST_OF_LATIN, FIRST_OF_FORMS


def controls(bytes utf8):
    """How many characters of a text in UTF-8 are controls that no text has, or U+FFFD: of C0 all
    but white space and escape, delete, and of C1 all but next line."""
    cdef const unsigned char* at = utf8
    cdef const unsigned char* end = at + len(utf8)
    cdef unsigned char kind
    cdef Py_ssize_t many = 0
    cdef uint64_t eight, ones = <uint64_t>-1 // 255, spaces = 32 * ones
    while at < end:
        if end - at >= 8:
            memcpy(&eight, at, 8)
            # no byte is less than a space, or 127, or not ASCII
            if not ((eight - spaces) | (eight + ones) | eight) & ones << 7:
                at += 8
                continue
        kind = KINDS[at[0]]
        at += 1
        if kind == CONTROL:
            many += 1
        elif kind == FIRST_OF_LATIN:
            many += at[0] < 0xA0 and at[0] != 0x85
        elif kind == FIRST_OF_FORMS:
            many += at[0] == 0xBF and at[1] == 0xBD
    return many
