"""Text from a model, token by token, with a cache of keys and values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from schemas.problems import Problem
from train.model import Cache, Decoder
from train.trained import Trained


def continuation(trained: Trained, prompt: str, count: int, **choice: Any) -> Iterator[str]:
    """What a model writes after a prompt, piece by piece, until it ends the document.

    choice: as for `generate`. Raises Problem if there is no room, or nothing to go on from.
    """
    entry, tokenizer = trained.record.tokenizer, trained.tokenizer
    if trained.model.bidirectional:
        raise Problem("a model of masked tokens writes no text")
    start = entry.end_of_text if entry.begin_of_text is None else entry.begin_of_text
    ids = tokenizer.encode(prompt, add_special_tokens=False).ids or [start]
    room = trained.config.model.context
    if room is not None and len(ids) + count > room:
        raise Problem(f"prompt and --tokens are {len(ids) + count} tokens, the model reads {room}")
    prompts = torch.tensor([ids], device=next(trained.model.parameters()).device)
    written: list[int] = []
    told = ""
    for chosen in generate(trained.model, prompts, count, **choice):
        written.append(int(chosen))
        if written[-1] == entry.end_of_text:
            return
        # Bytes of one character may be spread over tokens: whole ones are told.
        text = tokenizer.decode(written)
        if not text.endswith("\ufffd"):
            yield text[len(told) :]
            told = text


@torch.no_grad()
def generate(
    model: Decoder,
    prompts: Tensor,
    count: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Yield the next ids [rows] of prompts [rows, T], `count` times.

    temperature: 0 takes the likeliest. top_k: of so many likeliest only. top_p: of the fewest
    that have this probability together (Holtzman et al., 2020).
    """
    model.eval()
    rows, length = prompts.shape
    like = torch.empty(0, dtype=model.dtype, device=prompts.device)
    caches = [Cache(rows, length + count, model.shape, like) for _ in model.blocks]
    generator = torch.Generator(prompts.device).manual_seed(seed)
    tokens, place = prompts, 0
    for _ in range(count):
        positions = torch.arange(place, place + tokens.shape[1], device=tokens.device)
        positions, place = positions.expand(rows, -1), place + tokens.shape[1]
        logits = model(tokens, positions, torch.zeros_like(tokens), caches=caches)[:, -1].float()
        chosen = choose(logits[:, : model.vocabulary], temperature, top_k, top_p, generator)
        yield chosen
        tokens = chosen.unsqueeze(1)


def choose(
    logits: Tensor,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    generator: torch.Generator,
) -> Tensor:
    """Draw an id for each row of logits [rows, vocabulary]."""
    if temperature == 0:
        return logits.argmax(1)
    logits = logits / temperature
    if top_k is not None:
        least = logits.topk(min(top_k, logits.shape[1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None:
        ordered, order = logits.sort(descending=True)
        chances = ordered.softmax(1)
        enough = chances.cumsum(1) - chances >= top_p  # before it are enough
        logits = logits.masked_fill(enough.scatter(1, order, enough), -torch.inf)
    return torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
