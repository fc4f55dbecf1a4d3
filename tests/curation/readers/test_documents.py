import gzip
import io
from pathlib import Path

import pytest

from curation.readers.code import is_licence, language_of, licence_of, spdx
from curation.readers.documents import read_document
from curation.readers.suffixes import format_of

LIMIT = 1 << 20
REPOSITORY = Path(__file__).parents[3]


def read(data, name, format, start=0, **options):  # noqa: A002
    return list(
        read_document(
            io.BytesIO(data),
            start,
            len(data) or 1,
            name=name,
            format=format,
            max_record_bytes=LIMIT,
            **options,
        )
    )


def test_files_are_one_record():
    for name, format, kind, content_type in (  # noqa: A001
        ("a/b.html", "html", "page", "text/html"),
        ("b.xhtml", "html", "page", "application/xhtml+xml"),
        ("b.txt", "text", "text", "text/plain"),
        ("README.md", "text", "text", "text/markdown"),
        ("b.py", "code", "text", "text/plain"),
    ):
        for data, given in ((b"caf\xe9", name), (gzip.compress(b"caf\xe9"), name + ".gz")):
            (record,) = read(data, given, format)
            assert (record.kind, record.content_type) == (kind, content_type)
            assert record.payload == b"caf\xe9"
            assert record.text is None
            assert (record.offset, record.length, record.inner) == (0, len(data), 0)
            assert record.language == ("Python" if format == "code" else None)
            assert not read(data, given, format, start=1)
    (empty,) = read(b"", "a.txt", "text")
    assert empty.payload == b""


def test_large_and_broken_files():
    (large,) = read(b"a" * (LIMIT + 1), "a.txt", "text")
    assert (large.kind, large.length) == ("too_large", LIMIT + 1)
    (bomb,) = read(gzip.compress(bytes(64 << 20)), "a.txt.gz", "text")
    assert bomb.kind == "too_large"
    whole = gzip.compress(b"text " * 1000 + bytes(range(256)))
    (cut,) = read(whole[:-9], "a.txt.gz", "text")
    assert (cut.kind, cut.length) == ("truncated", len(whole) - 9)


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("a/b.py", "Python"),
        ("B.CPP", "C++"),
        ("x.tsx", "TypeScript"),
        ("Makefile", "Makefile"),
        ("CMakeLists.txt", "CMake"),
        ("Dockerfile", "Dockerfile"),
        ("notes.txt", None),
        ("py", None),
        (".py", None),
        ("", None),
    ],
)
def test_language(name, language):
    assert language_of(name) == language
    assert (format_of(name) == "code") == (language is not None)


def test_spdx():
    for line, expression in (
        (b"# SPDX-License-Identifier: MIT\n", "MIT"),
        (b"/* SPDX-License-Identifier: GPL-2.0-or-later */", "GPL-2.0-or-later"),
        (b"// SPDX-License-Identifier: (MIT OR Apache-2.0)\r\n", "(MIT OR Apache-2.0)"),
        (
            b"# SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note\n",
            "GPL-2.0-only WITH Linux-syscall-note",
        ),
        (b"<!-- SPDX-License-Identifier: CC-BY-4.0 -->", "CC-BY-4.0"),
        (b"# SPDX-License-Identifier: ???\n", None),
        (b"# license: MIT\n", None),
        (b" " * 5000 + b"# SPDX-License-Identifier: MIT\n", None),
    ):
        assert spdx(b"#!/bin/sh\n" + line + b"code\n") == expression


def test_licence_texts():
    assert licence_of((REPOSITORY / "LICENSE").read_bytes()) == "Apache-2.0"
    assert (
        licence_of(
            b"The X Licence\n\nPermission is hereby granted, free of\n charge, to any person "
            b"obtaining a copy of this software"
        )
        == "MIT"
    )
    assert (
        licence_of(b"   GNU LESSER GENERAL PUBLIC LICENSE\n\n     Version 2.1, February 1999")
        == "LGPL-2.1-only"
    )
    assert licence_of(b"GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007") == "GPL-3.0-only"
    assert licence_of(b"All rights reserved.") is None
    for name in ("LICENSE", "a/LICENCE.md", "COPYING", "license.txt", "UNLICENSE"):
        assert is_licence(name)
    assert not is_licence("a/my-license.py")


def test_a_header_beats_the_folder():
    (own,) = read(b"# SPDX-License-Identifier: MIT\n", "a.py", "code", licence="Apache-2.0")
    (folder,) = read(b"print()\n", "a.py", "code", licence="Apache-2.0")
    (text,) = read(b"words\n", "a.txt", "text", licence="Apache-2.0")
    assert (own.licence, folder.licence, text.licence) == ("MIT", "Apache-2.0", None)
