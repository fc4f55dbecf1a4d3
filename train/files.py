"""Files that are there whole, or not at all."""

import hashlib
import os
from pathlib import Path


def digest_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def write_text(path: Path, text: str) -> None:
    """Write a file that is either there whole or not at all, whatever happens."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
