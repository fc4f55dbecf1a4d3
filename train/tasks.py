"""Multiple choice: which of several endings of a text a model finds likeliest.

A task is a file of JSON lines, `{"text", "choices", "answer"}`; the answer is the number of a
choice, or its letter. Every text is joined with each of its choices, and what comes of it is packed
into rows as documents are, so that a pass has the shape of any other.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from schemas.problems import Problem
from schemas.shard import TokenizerEntry
from train import config
from train.data import Rows
from train.evaluate import losses
from train.mesh import World
from train.model import Decoder
from train.step import Feed


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
    accuracy: float  # by the likelihood of a choice
    accuracy_by_length: float  # by that over its bytes of UTF-8


def read_questions(path: Path) -> list[Question]:
    """Questions of a file of JSON lines, perhaps gzipped. Raises Problem that names the line."""
    questions: list[Question] = []
    try:
        with fsspec.open(path, "rt", encoding="utf-8", compression="infer") as lines:
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
class Task:
    """Questions, with their candidates packed into rows as documents are."""

    questions: list[Question]
    rows: Rows
    candidates: NDArray[np.int64]  # [rows, T], which one a token's label belongs to; -1 for none


def pack(
    questions: list[Question], tokenizer: Tokenizer, settings: TokenizerEntry, length: int
) -> Task:
    """Put questions into rows of `length` tokens; of long texts the beginning is cut off.

    A text without tokens is the token that stands between documents.
    """
    start = settings.end_of_text if settings.begin_of_text is None else settings.begin_of_text
    # Of each row the ids, where candidates begin, and whose the labels are.
    rows: list[tuple[list[int], list[int], list[int]]] = [([], [], [])]
    choices = ((question.text, choice) for question in questions for choice in question.choices)
    for number, (text, choice) in enumerate(choices):
        after = tokenizer.encode(" " + choice, add_special_tokens=False).ids[: length - 1]
        before = tokenizer.encode(text, add_special_tokens=False).ids
        before = before[-(length - len(after)) :] or [start]
        if len(rows[-1][0]) + len(before) + len(after) > length:
            rows.append(([], [], []))
        ids, begins, labels = rows[-1]
        begins.append(len(ids))
        ids += before + after
        # A label is told at the token before it; the last token has none.
        labels += [-1] * (len(before) - 1) + [number] * len(after) + [-1]
    packed = Rows.padding(len(rows), length, settings.padding)
    candidates = np.full((len(rows), length), -1)
    for row, (ids, begins, labels) in enumerate(rows):
        packed.ids[row, : len(ids)] = ids
        packed.begins[row, begins] = True
        candidates[row, : len(ids)] = labels
    return Task(questions, packed, candidates)


def answer(model: Decoder, task: Task, world: World, feed: Feed) -> Accuracy:
    """Let a model choose by the likelihood of the next tokens. Every process takes part."""
    sizes = np.array([len(choice.encode()) for q in task.questions for choice in q.choices])
    nats = torch.zeros(len(sizes) + 1, device=world.device)  # the last is of no candidate
    causal = replace(feed.objective, settings=config.Objective.model_validate({}))
    feed, count = replace(feed, objective=causal), len(task.candidates)
    for start, _, _, each in losses(model, count, task.rows.part, world, feed):
        own = torch.from_numpy(task.candidates[start : start + feed.micro] % len(nats))
        nats.index_add_(0, own.flatten().to(world.device), each[: len(own)].flatten())
    costs = world.sum_losses(nats)[:-1].cpu().numpy()
    right, place = np.zeros(2), 0
    for question in task.questions:
        part = slice(place, place + len(question.choices))
        likeliest = costs[part].argmin(), (costs[part] / sizes[part]).argmin()
        right += [choice == question.answer for choice in likeliest]
        place = part.stop
    return Accuracy(len(task.questions), *(right / len(task.questions)).tolist())
