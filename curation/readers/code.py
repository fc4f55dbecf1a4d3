"""Source code: the language by the file's name, the licence by what the file or folder says."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

# Names as GitHub's Linguist has them, by suffix; only suffixes that mean one language.
LANGUAGES = {
    suffix: language
    for language, suffixes in {
        "Ada": "adb ads",
        "Agda": "agda",
        "Assembly": "asm s",
        "Batchfile": "bat cmd",
        "C": "c h",
        "C#": "cs",
        "C++": "cc cpp cxx hh hpp hxx",
        "CMake": "cmake",
        "COBOL": "cob cbl",
        "CSS": "css",
        "Clojure": "clj cljs cljc",
        "CoffeeScript": "coffee",
        "Common Lisp": "lisp",
        "Coq": "v",
        "Crystal": "cr",
        "Cuda": "cu cuh",
        "Cython": "pyx pxd",
        "D": "d",
        "Dart": "dart",
        "Elixir": "ex exs",
        "Elm": "elm",
        "Emacs Lisp": "el",
        "Erlang": "erl hrl",
        "F#": "fs fsx",
        "Fortran": "f f90 f95",
        "GLSL": "glsl vert frag",
        "Go": "go",
        "Groovy": "groovy gradle",
        "Haskell": "hs",
        "Idris": "idr",
        "Java": "java",
        "JavaScript": "js cjs mjs jsx",
        "Julia": "jl",
        "Kotlin": "kt kts",
        "Lean": "lean",
        "Lua": "lua",
        "Makefile": "mk",
        "Nim": "nim",
        "Nix": "nix",
        "OCaml": "ml mli",
        "Objective-C": "m",
        "PHP": "php",
        "Perl": "pl pm",
        "PowerShell": "ps1 psm1",
        "Protocol Buffer": "proto",
        "Python": "py pyi",
        "R": "r",
        "Racket": "rkt",
        "Ruby": "rb",
        "Rust": "rs",
        "SCSS": "scss",
        "SQL": "sql",
        "Scala": "scala",
        "Scheme": "scm",
        "Shell": "sh bash zsh",
        "Solidity": "sol",
        "Swift": "swift",
        "SystemVerilog": "sv",
        "Tcl": "tcl",
        "TeX": "tex",
        "TypeScript": "ts tsx",
        "VHDL": "vhd vhdl",
        "Vue": "vue",
        "Zig": "zig",
    }.items()
    for suffix in suffixes.split()
}
NAMES = {"makefile": "Makefile", "dockerfile": "Dockerfile", "cmakelists.txt": "CMake"}

_LICENCE_NAME = re.compile(r"(?:un)?licen[cs]e|copying", re.IGNORECASE)
_SPDX = re.compile(rb"SPDX-License-Identifier:[ \t]*([^\r\n]{1,200})")
_SPDX_BYTES = 1 << 12  # where a header is looked for
LICENCE_BYTES = 1 << 16  # of a licence file that are read
_ID = r"(?:LicenseRef-)?[A-Za-z0-9][A-Za-z0-9.-]*\+?"
_EXPRESSION = re.compile(rf"\(*{_ID}\)*(?:\s+(?:AND|OR|WITH)\s+\(*{_ID}\)*)*")
# A phrase of each licence's text that no other has, the longer licences first.
_PHRASES = (
    ("Apache-2.0", "apache license version 2.0"),
    ("AGPL-3.0-only", "gnu affero general public license version 3"),
    ("LGPL-3.0-only", "gnu lesser general public license version 3"),
    ("LGPL-2.1-only", "gnu lesser general public license version 2.1"),
    ("GPL-3.0-only", "gnu general public license version 3"),
    ("GPL-2.0-only", "gnu general public license version 2"),
    ("MPL-2.0", "mozilla public license version 2.0"),
    ("EPL-2.0", "eclipse public license - v 2.0"),
    ("BSL-1.0", "boost software license - version 1.0"),
    ("CC0-1.0", "cc0 1.0 universal"),
    ("Unlicense", "this is free and unencumbered software released into the public domain"),
    ("BSD-3-Clause", "to endorse or promote products derived from this software"),
    ("BSD-2-Clause", "redistributions in binary form must reproduce the above copyright"),
    ("ISC", "permission to use, copy, modify, and/or distribute this software for any purpose"),
    ("Zlib", "altered source versions must be plainly marked as such"),
    ("MIT", "permission is hereby granted, free of charge, to any person obtaining a copy"),
)


def language_of(name: str) -> str | None:
    """The programming language that a file's name means, if it means one."""
    path = PurePosixPath(name.lower())
    return NAMES.get(path.name) or LANGUAGES.get(path.suffix[1:])


def is_licence(name: str) -> bool:
    """Whether a file's name is that of its folder's licence, such as `LICENSE.txt`."""
    return _LICENCE_NAME.match(PurePosixPath(name).name) is not None


def spdx(payload: bytes) -> str | None:
    """The SPDX expression in a file's header (SPDX 2.3, annex E), if there is a sound one."""
    found = _SPDX.search(payload[:_SPDX_BYTES])
    expression = found and _EXPRESSION.match(found[1].decode("latin-1"))
    return expression[0] if expression else None


def licence_of(payload: bytes) -> str | None:
    """The SPDX identifier of a licence's text, by a phrase of its own; None if not known.

    A text cannot say "or later", so of the GNU licences it is the `only` form.
    """
    head = payload[:LICENCE_BYTES].decode("utf-8", "replace").lower()
    words = " ".join(head.replace(",", " ,").split()).replace(" ,", ",")
    for identifier, phrase in _PHRASES:
        if phrase in words.replace("license, version", "license version"):
            return identifier
    return None
