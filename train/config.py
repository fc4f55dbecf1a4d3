"""What a training run is: one frozen configuration, read by `load`."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import Field, model_validator

from schemas.base import Contract
from schemas.files import read_yaml
from schemas.mistakes import checked
from schemas.problems import Problem
from train.shape import Model

PRESETS = Path(__file__).parent / "presets"
# More lanes than this only spread the reads of one process over more row groups.
MAX_DEFAULT_LANES = 64
Value = TypeVar("Value")
# What may change when a run is resumed: it does not decide what is computed.
Free = Annotated[Value, "free"]


class Optimizer(Contract):
    """The optimizer and its learning rate, with a linear warmup.

    `muon` is for the matrices of the blocks, with AdamW for the rest.
    """

    name: Literal["adamw", "muon", "adam", "sgd", "adafactor", "lion"] = "adamw"
    lr: float = Field(gt=0, description="Peak learning rate.")
    schedule: Literal["cosine", "linear", "wsd", "constant", "inverse-root"] = "cosine"
    final_lr: float = Field(0.1, ge=0, le=1, description="Last rate, as a fraction of the peak.")
    warmup: float = Field(0.02, ge=0, lt=1, description="Fraction of all steps spent rising.")
    decay: float = Field(0.2, gt=0, le=1, description="Fraction of all steps wsd spends falling.")
    # null is embedding_std / init_std, so that the embedding turns as fast as matrices do.
    embedding_lr: float | None = Field(None, gt=0, description="Times lr, for the embedding.")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    momentum: float = Field(0.95, ge=0, lt=1, description="Of sgd and muon.")
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.1, ge=0, description="Of matrices other than the embedding.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the whole gradient.")


class Objective(Contract):
    """What is learned from a row.

    The next token; the same after a prefix that sees all of itself (PaLM, T5); masked tokens
    (BERT); spans that were lost (T5).
    """

    name: Literal["causal", "prefix", "masked", "span"] = "causal"
    rate: float = Field(0.15, gt=0, lt=1, description="Of the tokens that masked and span hide.")
    span: float = Field(3.0, ge=1, description="Mean tokens of a span.")
    middle: float = Field(0.0, ge=0, le=1, description="Of causal documents, told middle last.")
    seed: int = Field(0, ge=0)


class Parallel(Contract):
    """How the processes stand: pipe x replicate x shard x context x tensor."""

    pipe: int = Field(1, ge=1, description="Stages of blocks, one after the other.")
    replicate: int = Field(1, ge=1, description="Copies of the sharded weights (HSDP).")
    context: int = Field(1, ge=1, description="Processes that share the tokens of a row.")
    tensor: int = Field(1, ge=1, description="Processes that share heads and channels.")
    # 3 gathers the weights of a block again for its backward pass; 2 keeps them.
    zero: Literal[2, 3] = 3
    # Holds a share of the gradients in place of all, and sends as much as there are passes.
    reduce_every_pass: bool = False

    def mesh(self, size: int) -> tuple[int, int, int, int, int]:
        """Lengths of the five dimensions for `size` processes. Raises Problem."""
        others = self.pipe * self.replicate * self.context * self.tensor
        if size % others:
            raise Problem(
                f"{size} processes cannot stand as pipe {self.pipe} x replicate {self.replicate} x "
                f"shard x context {self.context} x tensor {self.tensor}: use a multiple of {others}"
            )
        return self.pipe, self.replicate, size // others, self.context, self.tensor


class Reference(Contract):
    """What a preset's model was published with, for `plan train`."""

    source: str
    vocabulary: int = Field(ge=1)
    length: int = Field(ge=1, description="Tokens of a row.")
    tokens: float = Field(gt=0, description="That it was trained on.")


class Evaluation(Contract):
    """When the validation loss is taken; it always is at the end.

    With `patience`, training ends after so many validations in a row that did not improve on the
    lowest loss; a checkpoint is written with each, and the best one is kept.
    """

    every: int = Field(500, ge=1, description="Steps between two evaluations.")
    rows: int | None = Field(1024, ge=1, description="The first so many rows; null takes all.")
    patience: int | None = Field(None, ge=1, description="Validations; null never ends early.")
    tasks: tuple[str, ...] = Field((), description="Files of multiple choice, see tasks.py.")


class Checkpoint(Contract):
    """When the run is saved; it always is at the end, on SIGTERM and on SIGUSR1."""

    every: int = Field(500, ge=1, description="Steps between two checkpoints.")
    minutes: float | None = Field(None, gt=0, description="At most so long between two.")
    keep: int = Field(2, ge=1, description="How many of the newest healthy ones stay on disk.")
    keep_every: int | None = Field(None, ge=1, description="Steps it divides are never removed.")


class Guard(Contract):
    """What is done where the loss is not finite or leaves the course of the steps before.

    A spike is a loss that lies `sigmas` standard deviations above the mean of the last `window`
    losses that were none. A loss that is not finite always leaves the weights as they are; `skip`
    also does so at a spike. `go back` trains on: after `patience` spikes in a row it returns to the
    last healthy checkpoint and passes over the rows of those steps, at most `rollbacks` times.
    """

    spikes: Literal["go back", "skip", "ignore"] = "go back"
    sigmas: float = Field(6.0, gt=0)
    window: int = Field(128, ge=2)
    patience: int = Field(10, ge=1)
    rollbacks: int = Field(3, ge=0)


class Config(Contract):
    """Everything that decides a run, but for the shards."""

    model: Model
    optimizer: Optimizer
    evaluation: Free[Evaluation] = Evaluation()
    checkpoint: Free[Checkpoint] = Checkpoint()
    guard: Free[Guard] = Guard()
    objective: Objective = Objective()
    parallel: Free[Parallel] = Parallel()
    reference: Free[Reference | None] = None
    batch_rows: int = Field(ge=1, description="Rows of one update, over all processes.")
    micro_rows: Free[int] = Field(8, ge=1, description="Most rows of one pass of one process.")
    # Without `steps` and `max_epochs` it is one epoch. More steps must not tear the learning rate:
    # see train.job.
    steps: Free[int | None] = Field(None, ge=1, description="Updates in all.")
    max_epochs: Free[int | None] = Field(None, ge=1, description="Most times a row is seen.")
    # Parts the rows are read in, a divisor of batch_rows; the number of processes must divide it.
    lanes: int = Field(0, ge=0, description="0 takes the largest divisor up to MAX_DEFAULT_LANES.")
    seed: int = Field(0, ge=0, description="Of the first weights.")
    # Of matrix products; weights stay fp32. auto is bf16 on a GPU; fp16 scales the loss; float8 is
    # bf16 with float8 in the blocks.
    precision: Literal["auto", "bf16", "fp32", "fp16", "float8"] = "auto"
    # auto is varlen or flex on a GPU when compiled, and documents on a CPU.
    attention: Literal["auto", "documents", "dense", "flex", "varlen"] = "auto"
    compile: Free[bool | Literal["auto"]] = Field("auto", description="auto is on with a GPU.")
    # In the backward pass; selective keeps matrix products and attention, full keeps nothing.
    recompute: Free[Literal["none", "selective", "full"]] = "none"
    tf32: bool = Field(True, description="Let a GPU round fp32 matrix products to TF32.")
    # null is 4,096 on a GPU, and 256 on a CPU, whose caches hold them.
    loss_chunk: Free[int | None] = Field(None, ge=1, description="Tokens with logits at once.")
    log_every: Free[int] = Field(10, ge=1, description="Steps between two lines of progress.")
    cache_gigabytes: Free[float] = Field(100.0, gt=0, description="Of stored shards, on disk.")
    log_to: Free[tuple[Literal["tensorboard", "wandb"], ...]] = ()  # extras, each

    @model_validator(mode="after")
    def _lanes_divide(self) -> Self:
        if self.lanes == 0:
            most = min(MAX_DEFAULT_LANES, self.batch_rows)
            lanes = next(n for n in range(most, 0, -1) if self.batch_rows % n == 0)
            # A frozen model has no other way to fill in a default that depends on a field.
            object.__setattr__(self, "lanes", lanes)
        elif self.batch_rows % self.lanes:
            raise ValueError(
                f"lanes ({self.lanes}) must divide batch_rows ({self.batch_rows}) without remainder"
            )
        return self


FREE = {name for name, field in Config.model_fields.items() if "free" in field.metadata}


def presets() -> list[str]:
    """Names of the bundled configurations."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load(source: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read a preset by name, or a YAML file by path, and put `overrides` over it.

    Keys of `overrides` are dotted, as in `optimizer.lr`. Raises Problem that names every
    mistake at once: unknown keys with what would be right, wrong values with the reason.
    """
    path = PRESETS / f"{source}.yaml" if source in presets() else Path(source)
    if not path.exists():
        raise Problem(f"neither a file nor one of the presets {', '.join(presets())}", source)
    value = read_yaml(path, source, "configuration")
    mistakes: list[str] = []
    for key, setting in (overrides or {}).items():
        *sections, last = key.split(".")
        target: Any = value
        for section in sections:
            target = target.setdefault(section, {}) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[last] = setting
        else:
            mistakes.append(f"{key}: unknown key")
    config, found = checked(Config, value)
    mistakes += [f"{each.where or 'configuration'}: {each.text}" for each in found]
    if config is None or mistakes:
        raise Problem("; ".join(mistakes), source)
    return config


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Overrides from `key=value` words; values are read as YAML. Raises Problem."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise Problem(f"--set {pair}: must be KEY=VALUE, such as optimizer.lr=1e-3")
        try:
            found[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise Problem(f"--set {pair}: the value is not YAML; put quotes around it") from None
    return found


def flat(config: Config) -> dict[str, Any]:
    """The configuration with dotted keys."""
    return dict(flatten(config.model_dump(mode="json"), "."))


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What keeps a run of flat config `before` from being resumed with `now`."""
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    decide = [key for key in changed if key.partition(".")[0] not in FREE]
    return [f"{key} was {before.get(key)}, is {now.get(key)}" for key in decide]


def flatten(value: Mapping[str, Any], joint: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Entries of a mapping and of those in it, their keys joined."""
    for key, entry in value.items():
        if isinstance(entry, Mapping):
            yield from flatten(entry, joint, f"{prefix}{key}{joint}")
        else:
            yield prefix + key, entry
