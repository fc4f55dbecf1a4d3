"""Multiple choice: which of several endings of a text a model finds likeliest.

A task is a file of JSON lines, `{"text", "choices", "answer"}`; the answer is the number of a
choice, or its letter. Every text is joined with each of its choices, and what comes of it is packed
into rows as documents are, so that a pass has the shape of any other.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.problems import Problem
from schemas.shard import TokenizerEntry
from train.data import IGNORED, targets
from train.mesh import World
from train.model import Decoder, Inputs
from train.step import document_bounds, losses_of


@dataclass(frozen=True)
class Question:
    """A text, its possible endings, and the number of the right one."""

    text: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True)
class Accuracy:
    """How many questions were answered as they should."""

    questions: int
    right: int  # by the likelihood of a choice
    right_by_length: int  # by that over its bytes of UTF-8

    def measures(self) -> dict[str, float | int | None]:
        """For the log; None where there is no question."""
        count = self.questions
        return {
            "questions": count,
            "accuracy": self.right / count if count else None,
            "accuracy_by_length": self.right_by_length / count if count else None,
        }


def read_questions(path: Path) -> list[Question]:
    """Questions of a file of JSON lines, perhaps gzipped. Raises Problem that names the line."""
    questions: list[Question] = []
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as lines
        ):
            for number, line in enumerate(lines, 1):
                if line.strip():
                    questions.append(_question(line, f"{path}, line {number}"))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: cannot be read ({error})") from None
    if not questions:
        raise Problem(f"{path}: holds no questions")
    return questions


def _question(line: str, where: str) -> Question:
    try:
        entry: dict[str, Any] = json.loads(line)
        text, choices, answer = entry["text"], tuple(entry["choices"]), str(entry["answer"])
        if not isinstance(text, str) or not all(isinstance(c, str) and c for c in choices):
            raise ValueError("text and choices must be strings")
        letter = len(answer) == 1 and answer.isascii() and answer.isalpha()
        number = ord(answer.upper()) - ord("A") if letter else int(answer)
        if len(choices) < 2 or not 0 <= number < len(choices):
            raise ValueError(f"answer {answer} is none of {len(choices)} choices")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        missing = f"no {error}" if isinstance(error, KeyError) else error
        raise Problem(f"{where}: not a question with choices ({missing})") from None
    return Question(text, choices, number)


@dataclass(frozen=True)
class Packed:
    """Candidates in rows; each array is [rows, T]."""

    ids: NDArray[np.int64]
    begins: NDArray[np.bool_]
    candidates: NDArray[np.int64]  # which candidate a token's label belongs to; -1 for none


def pack(
    questions: Iterable[Question],
    tokenizer: Tokenizer,
    settings: TokenizerEntry,
    length: int,
    micro: int,
) -> Packed:
    """Rows of `length` tokens, a multiple of `micro`; of long texts the beginning is cut off.

    A text without tokens is the token that stands between documents.
    """
    start = settings.end_of_text if settings.begin_of_text is None else settings.begin_of_text
    rows: list[list[int]] = [[]]
    begins: list[list[int]] = [[]]
    labels: list[list[int]] = [[]]
    number = 0
    for question in questions:
        for choice in question.choices:
            before = tokenizer.encode(question.text, add_special_tokens=False).ids
            after = tokenizer.encode(" " + choice, add_special_tokens=False).ids[: length - 1]
            before = before[-(length - len(after)) :] or [start]
            if len(rows[-1]) + len(before) + len(after) > length:
                for part in (rows, begins, labels):
                    part.append([])
            begins[-1].append(len(rows[-1]))
            rows[-1] += before + after
            # A label is told at the token before it; the last token has none.
            labels[-1] += [-1] * (len(before) - 1) + [number] * len(after) + [-1]
            number += 1
    count = -(-len(rows) // micro) * micro
    packed = Packed(
        np.full((count, length), settings.padding), np.zeros((count, length), np.bool_),
        np.full((count, length), -1),
    )  # fmt: skip
    for index, (row, starts, marks) in enumerate(zip(rows, begins, labels, strict=True)):
        packed.ids[index, : len(row)] = row
        packed.begins[index, starts] = True
        packed.candidates[index, : len(marks)] = marks
    return packed


@torch.no_grad()
def answer(
    model: Decoder,
    questions: list[Question],
    tokenizer: Tokenizer,
    world: World,
    *,
    settings: TokenizerEntry,
    length: int,
    micro: int,
) -> Accuracy:
    """Let a model choose. Every process takes part; rows of `length` tokens, `micro` at once."""
    packed = pack(questions, tokenizer, settings, length, micro * world.data_size)
    sizes = np.array([len(choice.encode()) for q in questions for choice in q.choices])
    nats = torch.zeros(len(sizes) + 1, device=world.device)  # the last is of no candidate
    model.eval()
    for start in range(world.data_rank * micro, len(packed.ids), world.data_size * micro):
        part = slice(start, start + micro)
        labels, positions, segments = targets(
            packed.ids[part], packed.begins[part], settings.padding
        )
        candidates = packed.candidates[part]
        labels[candidates < 0] = IGNORED
        arrays: list[Any] = [packed.ids[part], positions, segments, labels, None]
        if model.backend == "varlen":
            arrays.append(document_bounds(segments, micro))
        given = [None if a is None else torch.from_numpy(a).to(world.device) for a in arrays]
        each = losses_of(model, Inputs(*given))  # type: ignore[arg-type]
        places = torch.from_numpy(candidates % len(nats)).to(world.device)
        nats.index_add_(0, places.flatten(), each.flatten())
    model.train()
    costs = world.sum_losses(nats)[:-1].cpu().numpy()
    right = right_by_length = place = 0
    for question in questions:
        part = slice(place, place + len(question.choices))
        right += int(costs[part].argmin() == question.answer)
        right_by_length += int((costs[part] / sizes[part]).argmin() == question.answer)
        place = part.stop
    return Accuracy(len(questions), right, right_by_length)
