# cython: language_level=3, boundscheck=False, wraparound=False
"""The places of a text where personal data could stand, in one pass: what recognizers look at."""

cdef int LEAST_DIGITS = 6   # of a number
cdef int LONGEST_GAP = 3    # separators between two digits of a number
cdef int LEAST_CODE = 8     # characters of a code
cdef int LEAST_KEY = 20     # characters of a key


cdef inline bint is_separator(Py_UCS4 c) noexcept:
    return (
        c in u" .()/-" or c == 0xA0 or c == 0x2009 or c == 0x202F or 0x2010 <= c <= 0x2013
    )


cdef inline bint is_hexadecimal(Py_UCS4 c) noexcept:
    return 48 <= c <= 57 or 65 <= c <= 70 or 97 <= c <= 102


cdef class Scan:
    """A text and its candidates, as `scan.pyi` says."""

    cdef readonly str text
    cdef readonly list ats, numbers, quads, colons, macs, codes, keys

    def __init__(self, str text):
        cdef Py_ssize_t i, size = len(text)
        cdef Py_UCS4 c, before = 0
        cdef bint digit, upper, lower
        # a number: its start, its last digit, how many digits, separators since
        cdef Py_ssize_t number = -1, last = 0
        cdef int digits = 0, gap = 0
        # groups of digits with single dots between them
        cdef Py_ssize_t chain = 0, group = 0
        cdef int groups = 0
        cdef bint short = True
        # words of capitals, digits and hyphens; of letters, digits, hyphens and underscores
        cdef Py_ssize_t code = -1, key = -1
        cdef bint code_has_digit = False

        self.text = text
        self.ats, self.numbers, self.quads, self.colons = [], [], [], []
        self.macs, self.codes, self.keys = [], [], []
        for i in range(size + 1):
            c = text[i] if i < size else 0
            digit = 48 <= c <= 57
            upper = 65 <= c <= 90
            lower = 97 <= c <= 122

            if digit:
                if number < 0:
                    number, digits = i, 0
                digits += 1
                last, gap = i, 0
                if not 48 <= before <= 57:
                    if groups and before == c'.' and i - 1 == group:
                        groups += 1
                    else:
                        chain, groups, short = i, 1, True
                    group = i
            else:
                if 48 <= before <= 57:
                    short = short and i - group <= 3
                    group = i  # where a dot may go on
                    if groups == 4 and short and not (
                        c == c'.' and i + 1 < size and 48 <= text[i + 1] <= 57
                    ):
                        self.quads.append((chain, i))
                if number >= 0:
                    gap += 1
                    if gap > LONGEST_GAP or not is_separator(c):
                        if digits >= LEAST_DIGITS:
                            self.numbers.append((number, last + 1))
                        number = -1

            if upper or digit or (c == c'-' and code >= 0):
                if code < 0:
                    code, code_has_digit = i, False
                code_has_digit |= digit
            elif code >= 0:
                if code_has_digit and i - code >= LEAST_CODE:
                    self.codes.append((code, i))
                code = -1

            if upper or lower or digit or c == c'_' or c == c'-':
                if key < 0:
                    key = i
            else:
                if key >= 0:
                    if i - key >= LEAST_KEY:
                        self.keys.append((key, i))
                    key = -1
                if c == c'@':
                    self.ats.append(i)

            if c == c':' and i + 1 < size and (text[i + 1] == c':' or is_hexadecimal(text[i + 1])):
                self.colons.append(i)
            if (c == c':' or c == c'-') and i > 1 and i + 14 < size and (
                text[i + 3] == c and text[i + 6] == c and text[i + 9] == c and text[i + 12] == c
            ):
                self.macs.append(i - 2)
            elif c == c'.' and i > 3 and i + 9 < size and text[i + 5] == c:
                self.macs.append(i - 4)
            before = c
