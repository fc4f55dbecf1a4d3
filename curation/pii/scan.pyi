class Scan:
    """A text and its candidates: spans and offsets in code points, in order."""

    text: str
    # where an `@` is
    ats: list[int]
    # runs of six ASCII digits or more, at most three separators between two: numbers as people
    # write them
    numbers: list[tuple[int, int]]
    # four numbers of at most three digits with dots between them, and no fifth
    quads: list[tuple[int, int]]
    # where a colon is before a colon or a hexadecimal digit
    colons: list[int]
    # where six pairs, or three fours, of characters start that have a separator between them
    macs: list[int]
    # words of eight or more of A to Z, 0 to 9 and hyphens, with a digit
    codes: list[tuple[int, int]]
    # words of twenty or more ASCII letters, digits, hyphens and underscores
    keys: list[tuple[int, int]]

    def __init__(self, text: str) -> None: ...
