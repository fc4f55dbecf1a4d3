"""A trained model that can be asked: for text, token by token, or for answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from schemas.problems import Problem
from train import config, parallel
from train.job import Record
from train.mesh import World
from train.model import Cache, Decoder
from train.objective import Objective
from train.origin import find, record_of, tokenizer_of, weights_of
from train.step import Feed
from train.tasks import Accuracy, Question, answer, pack


@dataclass(frozen=True)
class Choice:
    """How the next token is drawn.

    temperature: 0 takes the likeliest. top_k: of so many likeliest only. top_p: of the fewest
    that have this probability together (Holtzman et al., 2020).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A model in one process."""

    model: Decoder
    config: config.Config
    tokenizer: Tokenizer
    record: Record

    def answer(self, questions: list[Question]) -> Accuracy:
        """How many questions the model answers as it should."""
        entry, length = self.record.tokenizer, self.record.sequence_length
        world = World(0, 1, next(self.model.parameters()).device)
        objective = Objective(self.config.objective, entry.vocabulary, entry.padding)
        micro, varlen = self.config.micro_rows, self.model.backend == "varlen"
        feed = Feed(objective, world.device, micro, varlen=varlen)
        return answer(self.model, pack(questions, self.tokenizer, entry, length), world, feed)


def open_trained(folder: Path) -> Trained:
    """Load what `gristmill train --output FOLDER` left: its newest healthy checkpoint.

    Raises Problem if there is none, or if it or the tokenizer is damaged.
    """
    checkpoint = find(folder)
    record = record_of(checkpoint)
    path = checkpoint.parent.parent / "config.yaml"
    settings = config.load(str(path), {"parallel": {}, "recompute": "none"})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = parallel.build(settings, record.tokenizer.vocabulary, World(0, 1, device))
    model.load_state_dict(weights_of(checkpoint, record))
    tokenizer = Tokenizer.from_file(str(tokenizer_of(checkpoint, record)))
    return Trained(model.eval(), settings, tokenizer, record)


def continuation(trained: Trained, prompt: str, count: int, choice: Choice) -> Iterator[str]:
    """What a model writes after a prompt, piece by piece, until it ends the document.

    Raises Problem if there is no room, or nothing to go on from.
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
    for chosen in generate(trained.model, prompts, count, choice):
        written.append(int(chosen))
        if written[-1] == entry.end_of_text:
            return
        # Bytes of one character may be spread over tokens: whole ones are told.
        text = tokenizer.decode(written)
        if not text.endswith("\ufffd"):
            yield text[len(told) :]
            told = text


@torch.no_grad()
def generate(model: Decoder, prompts: Tensor, count: int, choice: Choice) -> Iterator[Tensor]:
    """Yield the next ids [rows] of prompts [rows, T], `count` times."""
    model.eval()
    rows, length = prompts.shape
    like = torch.empty(0, dtype=model.dtype, device=prompts.device)
    caches = [Cache(rows, length + count, model.shape, like) for _ in model.blocks]
    generator = torch.Generator(prompts.device).manual_seed(choice.seed)
    tokens, place = prompts, 0
    for _ in range(count):
        positions = torch.arange(place, place + tokens.shape[1], device=tokens.device)
        positions, place = positions.expand(rows, -1), place + tokens.shape[1]
        logits = model(tokens, positions, torch.zeros_like(tokens), caches=caches)[:, -1].float()
        chosen = choose(logits[:, : model.vocabulary], choice, generator)
        yield chosen
        tokens = chosen.unsqueeze(1)


def choose(logits: Tensor, choice: Choice, generator: torch.Generator) -> Tensor:
    """Draw an id for each row of logits [rows, vocabulary]."""
    if choice.temperature == 0:
        return logits.argmax(1)
    logits = logits / choice.temperature
    if choice.top_k is not None:
        least = logits.topk(min(choice.top_k, logits.shape[1])).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if choice.top_p is not None:
        ordered, order = logits.sort(descending=True)
        chances = ordered.softmax(1)
        enough = chances.cumsum(1) - chances >= choice.top_p  # before it are enough
        logits = logits.masked_fill(enough.scatter(1, order, enough), -torch.inf)
    return torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
