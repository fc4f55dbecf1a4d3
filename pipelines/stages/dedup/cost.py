"""What deduplication takes, planned from what it took.

Measured with one worker of an AMD EPYC virtual machine, Python 3.11: clustering by
`python -m tests.benchmarks.dedup_scale 1e6 1 PRESET` (three documents in ten are copies) for
14 x 8, 20 x 13 and 450 x 20, reading and signing by `tests.benchmarks.dedup_command`. A plan is
right to a half or so for such texts, on such a processor.
"""

from __future__ import annotations

from typing import NamedTuple

from pipelines.stages.dedup.signatures import schema, sketch_values
from schemas.deduplicate import Deduplicate, Near

GIBIBYTE = 1 << 30
# Processor microseconds of a character: read, hashed as part of a word, or one by one, and for
# each permutation.
READ, WORDS, CHARACTERS, PERMUTATION = 0.010, 0.007, 0.047, 1.5e-5
# Of a document, for each band: its key; its bucket; its comparisons, and for each byte of a sketch;
# its edges.
KEY, BUCKET, MEMBER, COMPARED, EDGE = 1.6, 0.27, 0.33, 2.0e-4, 0.063
# Of a document, and for each byte of its signature: the drop lists and the index.
DROPS, INDEX = 4.7, 0.0055
# Beam's workers take as much more than one worker in a loop does.
SHUFFLE = 1.5
# Bytes on the disk of a document: drop lists and components; who shares a bucket, and edges, for
# each band that two copies agree in: of SHARED of their values each.
DROPS_BYTES, BAND_BYTES, SHARED = 14, 8.6, 0.93
KEY_BYTES = 32  # of a band's key, while a pass is shuffled
KEPT = 0.8
# Bytes of memory: of the process that runs the jobs, of a worker.
DRIVER, WORKER = 0.6 * GIBIBYTE, 0.33 * GIBIBYTE


class Plan(NamedTuple):
    """What a number of documents take."""

    sign_seconds: float  # by the clock, reading and signing
    cluster_seconds: float  # by the clock, all that follows
    signature_bytes: float  # on the disk, till the end
    other_bytes: float  # on the disk: candidates, edges, drop lists, the index
    pass_bytes: float  # on the disk, while a pass is shuffled
    memory: float  # of all processes together
    passes: int  # over the bands


def plan(options: Deduplicate, documents: int, characters: int, workers: int, memory: int) -> Plan:
    """Of documents with so many characters each, on an engine with so much memory for shuffles."""
    near = options.near or Near(bands=1, rows=1)
    bands, row = near.bands, _row_bytes(options)
    hashing = CHARACTERS if near.shingle_characters else WORDS
    sign = characters * READ
    cluster = DROPS + (row * INDEX if options.index else 0)
    other = row * KEPT if options.index else 0
    shuffled = 0
    if options.near is not None:
        permutations = near.bands * near.rows
        sign += characters * (hashing + permutations * PERMUTATION) + bands * KEY
        sketch = 2 * sketch_values(near)
        cluster += bands * (BUCKET + MEMBER + EDGE + COMPARED * sketch)
        other += bands * BAND_BYTES * SHARED**near.rows + DROPS_BYTES
        shuffled = documents * bands * KEY_BYTES
    each = 1 if workers == 1 else SHUFFLE
    return Plan(
        documents * sign * 1e-6 / workers,
        documents * cluster * 1e-6 * each / workers,
        documents * row,
        documents * other,
        min(shuffled, memory),
        DRIVER + (WORKER * workers if workers > 1 else 0),
        -(-shuffled // memory),
    )


def _row_bytes(options: Deduplicate) -> int:
    """Bytes of a row of signatures; they are as good as random, and are not compressed."""
    fixed = [field.type for field in schema(options) if field.name != "scope"]
    return sum(kind.bit_width // 8 for kind in fixed)


def told(planned: Plan) -> str:
    """The plan in lines."""
    size = planned.signature_bytes + planned.other_bytes + planned.pass_bytes
    rows = (
        ("read and sign", _time(planned.sign_seconds), ""),
        ("cluster", _time(planned.cluster_seconds), f"{planned.passes} passes over keys"),
        ("memory of all processes", _size(planned.memory), ""),
        ("disk: signatures", _size(planned.signature_bytes), ""),
        ("disk: candidates, edges, index", _size(planned.other_bytes), ""),
        ("disk: while a pass is shuffled", _size(planned.pass_bytes), ""),
        ("disk", _size(size), ""),
    )
    return "\n".join(f"{name:<32}{value:>14}  {more}".rstrip() for name, value, more in rows)


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _size(size: float) -> str:
    gibibytes = size / GIBIBYTE
    return f"{gibibytes:,.1f} GiB" if gibibytes >= 1 else f"{gibibytes * 1024:,.0f} MiB"
