"""Which licences are permissive, by their names in lower case as `curation.rights` gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Blue Oak Council's list (https://blueoakcouncil.org/list), its frequent ones, by SPDX identifiers;
# and public domain dedications.
_NAMES = (
    "0bsd afl-2.1 afl-3.0 apache-1.1 apache-2.0 artistic-2.0 blueoak-1.0.0 bsd-1-clause "
    "bsd-2-clause bsd-2-clause-freebsd bsd-2-clause-patent bsd-2-clause-views bsd-3-clause "
    "bsd-3-clause-clear bsd-3-clause-lbnl bsl-1.0 bzip2-1.0.6 cc0-1.0 curl ecl-2.0 efl-2.0 ftl "
    "hpnd icu intel isc json libpng libpng-2.0 libtiff mit mit-0 mit-cmu mit-modern-variant "
    "mulanpsl-2.0 ms-pl naist-2003 ncsa nist-pd openldap-2.8 php-3.01 postgresql psf-2.0 "
    "python-2.0 public-domain ruby tcl ucl-1.0 unicode-dfs-2016 unicode-3.0 unlicense upl-1.0 "
    "vim w3c wtfpl x11 xnet zlib zpl-2.1"
)
PERMISSIVE = frozenset(_NAMES.split())
_OR, _AND = re.compile(r"\s+or\s+"), re.compile(r"\s+(?:and|with)\s+")


def is_permissive(name: str) -> bool:
    """Whether a licence, or an SPDX expression of several, asks for no more than notices."""
    choices = _OR.split(name.lower().replace("(", " ").replace(")", " ").strip())
    return any(all(part in PERMISSIVE for part in _AND.split(choice)) for choice in choices)


def restrictive(names: Sequence[str] | None) -> float:
    """How many of some licences are not permissive, or not known to be."""
    return float(sum(not is_permissive(name) for name in names or ()))
