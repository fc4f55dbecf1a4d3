"""The tokens of a run's tokenizer: the longest, the most frequent, and those that look odd."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import tokenizers

from curation.keys import key64
from pipelines.look.display import line
from pipelines.report import shape
from pipelines.run import Run
from pipelines.runs import takedowns
from pipelines.runs.ids import flat
from pipelines.stages.tokenizer import FILE
from schemas.parquet import open_parquet

TOP = 16
# Tokens that are counted; of larger shards, those of row groups chosen by a keyed hash.
MOST_TOKENS = 4_000_000
_CHARACTERS = 60
_BLANKS = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})
_RUN = re.compile(r"(.)\1{3}", re.DOTALL)
_FRAGMENT = "\ufffd"  # what is no whole character is decoded to


def vocabulary(run: Run) -> shape.Vocabulary:
    """Tokens with how often they stand in the training rows looked at; `mix` is finished."""
    tokenizer = tokenizers.Tokenizer.from_str(
        run.context.home("tokenizer").read(FILE).decode("utf-8")
    )
    counts, looked_at = _counts(run)
    special = tokenizer.get_added_tokens_decoder()
    plain = [number for number in range(tokenizer.get_vocab_size()) if number not in special]
    texts = dict(zip(plain, tokenizer.decode_batch([[number] for number in plain]), strict=True))
    fragments = {number for number, text in texts.items() if _FRAGMENT in text}
    whole = [number for number in plain if number not in fragments]

    def some(numbers: Iterable[int]) -> list[shape.Token]:
        return [
            shape.Token(
                id=number,
                text=line(texts[number].translate(_BLANKS), _CHARACTERS),
                count=int(counts[number]),
            )
            for number in list(numbers)[:TOP]
        ]

    # texts that were taken down may have left words of theirs in it
    shown = [] if takedowns.documents(run.folder) else whole
    by_count = sorted(shown, key=lambda number: (-counts[number], number))
    return shape.Vocabulary(
        tokens=shape.Coverage(rows=run.shards.splits["train"].tokens, looked_at=looked_at),
        size=len(plain),
        special=len(special),
        fragments=len(fragments),
        unused=int(np.count_nonzero(counts[plain] == 0)),
        taken_down=not shown and bool(whole),
        longest=some(sorted(shown, key=lambda number: (-len(texts[number]), number))),
        frequent=some(by_count),
        odd=some(
            number for number in by_count if len(texts[number]) > 1 and _is_odd(texts[number])
        ),
    )


def _is_odd(text: str) -> bool:
    """Whether it holds what is not seen, a run of one character, or letters of two scripts."""
    if _RUN.search(text) or any(
        unicodedata.category(c) in ("Cc", "Cf", "Co") for c in text.strip()
    ):
        return True
    scripts = {unicodedata.name(char, "").split(" ")[0] for char in text if char.isalpha()}
    return len(scripts) > 1


def _counts(run: Run) -> tuple[npt.NDArray[np.int64], int]:
    """int64[ids]: how often each id stands in the rows that are looked at; and in how many."""
    manifest, seed = run.shards, run.recipe.seed
    counts = np.zeros(manifest.tokenizer.vocabulary, np.int64)
    groups = [
        (key64(seed, "report tokens", file.path, number), file.path, number)
        for file in manifest.splits["train"].files
        for number in range(len(file.row_groups))
    ]
    for _, path, number in sorted(groups):
        if counts.sum() >= MOST_TOKENS:
            break
        with run.folder.open(f"shards/{path}") as stream:
            table = open_parquet(stream).read_row_group(number, ["input_ids", "length"])
        ids = flat(table["input_ids"]).flatten().to_numpy().reshape(table.num_rows, -1)
        there = np.arange(ids.shape[1]) < table["length"].to_numpy()[:, None]
        counts += np.bincount(ids[there], minlength=len(counts))
    return counts, int(counts.sum())
