"""What a training run costs before it is run: FLOPs, loss, memory, time, money, energy. No torch.

Sources of constants:

- FLOPs: 6 N D (Kaplan et al., 2020, section 2.1), and exactly, product by product.
- Loss of Chinchilla: L = 1.69 + 406.4 / N^.34 + 410.7 / D^.28 (Hoffmann et al., 2022, eq. 10), and
  the refit 1.8172 + 482.01 / N^.3478 + 2085.43 / D^.3658 (Besiroglu et al., 2024). Tokens of
  "compute-optimal" are 20 a parameter, the rule that the paper's table 3 comes to.
- Loss of Kaplan: ((6.4e13 / N)^(.076 / .103) + 1.8e13 / D)^.103 (eq. 1.5, table 2), N without
  embeddings.
- GPUs: gpus.yaml. Prices an hour are not known here: the user gives one.
- CO2: .445 kg a kWh, the world's mean of 2024 (IEA, Electricity 2025), where no other is given.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from schemas.problems import Problem, close_to
from train.config import Config, Parallel
from train.shape import Model

TOKENS_PER_PARAMETER = 20.0
DAY = 86400.0


@dataclass(frozen=True)
class GPU:
    """What a data sheet says of a GPU."""

    flops: float  # dense bf16 peak, FLOP/s
    memory: float  # bytes
    watts: float
    names: list[str]  # that the driver gives it


_HERE = Path(__file__)
_GPUS = yaml.safe_load(_HERE.with_name("gpus.yaml").read_text("utf-8"))
GPUS = {name: GPU(**value) for name, value in _GPUS.items()}
PAGE: dict[str, str] = yaml.safe_load(_HERE.with_suffix(".yaml").read_text("utf-8"))


@dataclass(frozen=True)
class Ask:
    """What is to be planned; `parameters` and `shape` exclude each other."""

    shape: Model | None = None
    parameters: float | None = None
    vocabulary: int = 50257
    length: int = 2048  # tokens of a row
    tokens: float | None = None  # trained on; else 20 a parameter
    budget: float | None = None  # FLOPs to spend (6 N D), in place of tokens
    gpu: str = "h200"
    gpus: int = 1
    mfu: float = 0.4  # model FLOPs utilisation
    price: float | None = None  # dollars of a GPU hour
    pue: float = 1.2  # power of the site over that of its computers
    load: float = 0.8  # mean power of a GPU over its board power
    others: float = 0.5  # power of processors, memory and network over that of the GPUs
    carbon: float = 0.445  # kg CO2 of a kWh
    lost: float = 0.05  # fraction of time lost to restarts and repeats
    queries: float = 0.0  # tokens to be answered over the model's life
    parallel: Parallel | None = None
    micro_rows: int = 1
    recompute: str = "none"
    optimizer: str = "adamw"


def plan(ask: Ask) -> dict[str, Any]:
    """All figures of a run, by section. Raises Problem if what is asked does not fit."""
    if (ask.shape is None) == (ask.parameters is None):
        raise Problem("give a preset or a number of parameters, one of them")
    if ask.gpu not in GPUS:
        raise Problem(f"no GPU {ask.gpu}; known are {', '.join(GPUS)}{close_to(ask.gpu, GPUS)}")
    fractions = {"mfu": ask.mfu, "pue": 1 / ask.pue, "load": ask.load, "lost": 1 - ask.lost}
    for name, value in fractions.items():
        if not 0 < value <= 1:
            raise Problem(f"{name} is {getattr(ask, name)}: out of its range")
    size = ask.parameters or float(ask.shape.num_params(ask.vocabulary) if ask.shape else 0)
    tokens = ask.tokens or (ask.budget / 6 / size if ask.budget else TOKENS_PER_PARAMETER * size)
    total = 6 * size * tokens
    blocks = ask.shape.layers * (ask.shape.matrices + ask.shape.vectors) if ask.shape else size
    return {
        "model": {"parameters": size, "tokens": tokens, "tokens_per_parameter": tokens / size},
        "flops": flops(ask, size, tokens),
        "optimal": optimal(ask.budget or total),
        "loss": losses(size, blocks, tokens),
        "inference": inference(size, tokens, ask.queries),
        "run": run(ask, total),
        **({"memory": memory(ask, ask.shape)} if ask.shape else {}),
    }


def flops(ask: Ask, size: float, tokens: float) -> dict[str, float]:
    """Floating-point operations of training: 6ND, and by product where the shape is known."""
    found = {"6ND": 6 * size * tokens}
    if ask.shape:
        shape, length = ask.shape, ask.length
        products = shape.layers * shape.matrices
        head = shape.rows(ask.vocabulary) * shape.dim
        # Scores and their use: 2 products of T x T x dim; causal, half of them.
        scores = 2 * shape.layers * shape.dim * length
        exact = 6 * (products + head) + 3 * scores
        again = {"full": products + scores / 2, "selective": 0.0, "none": 0.0}[ask.recompute]
        found |= {
            "exact": exact * tokens,
            "by_convention": shape.flops_per_token(ask.vocabulary, length) * tokens,
            "blocks": 6 * products * tokens,
            "head": 6 * head * tokens,
            "attention": 3 * scores * tokens,
            "recomputed": 2 * again * tokens,
        }
    return found


def optimal(budget: float) -> dict[str, float]:
    """Parameters and tokens that spend `budget` FLOPs with 20 tokens a parameter."""
    size = (budget / (6 * TOKENS_PER_PARAMETER)) ** 0.5
    tokens = TOKENS_PER_PARAMETER * size
    loss = chinchilla(size, tokens)
    return {"budget": budget, "parameters": size, "tokens": tokens, "loss": loss}


def losses(size: float, without_embedding: float, tokens: float) -> dict[str, float]:
    """Nats a token that the published fits predict, each for its own text and tokenizer."""
    return {
        "chinchilla": chinchilla(size, tokens),
        "chinchilla_refit": 1.8172 + 482.01 / size**0.3478 + 2085.43 / tokens**0.3658,
        "kaplan": ((6.4e13 / without_embedding) ** (0.076 / 0.103) + 1.8e13 / tokens) ** 0.103,
    }


def chinchilla(size: float, tokens: float) -> float:
    """Loss of Hoffmann et al. (2022), equation 10."""
    return 1.69 + 406.4 / size**0.34 + 410.7 / tokens**0.28


def inference(size: float, tokens: float, queries: float) -> dict[str, float]:
    """The size that reaches the same loss for the least FLOPs of training and answering.

    A token that is answered costs 2 N (Sardana et al., 2024). queries: such tokens.
    """
    rest = chinchilla(size, tokens) - 1.69
    needed = {}
    for other in (size * 1.01**step for step in range(-300, 301)):
        if (by_tokens := rest - 406.4 / other**0.34) > 0:
            needed[other] = (410.7 / by_tokens) ** (1 / 0.28)
    cost = {other: 6 * other * needed[other] + 2 * other * queries for other in needed}
    best = min(cost, key=cost.__getitem__)
    return {
        "queries": queries,
        "parameters": best,
        "tokens": needed[best],
        "flops": cost[best],
        "flops_as_asked": 6 * size * tokens + 2 * size * queries,
    }


def run(ask: Ask, total: float) -> dict[str, float | None]:
    """Time, money, energy and CO2 of `total` FLOPs."""
    gpu = GPUS[ask.gpu]
    ideal = total / (gpu.flops * ask.mfu)  # GPU seconds
    seconds = ideal / (1 - ask.lost)
    hours = seconds / 3600
    kilowatt_hours = hours * gpu.watts / 1000 * ask.load * (1 + ask.others) * ask.pue
    return {
        "gpu_days_at_peak": total / gpu.flops / DAY,
        "gpu_days": seconds / DAY,
        "gpu_hours": hours,
        "days": seconds / DAY / ask.gpus,
        "cost": None if ask.price is None else hours * ask.price,
        "kwh": kilowatt_hours,
        "co2_kg": kilowatt_hours * ask.carbon,
    }


def memory(ask: Ask, shape: Model) -> dict[str, float]:
    """Bytes that one GPU of the mesh holds at most, by part.

    Weights and moments are fp32, and cut over shard, context, tensor and pipe; gathered are two
    blocks and both ends in bf16. Activations are those kept for the backward pass.
    """
    mesh = ask.parallel or Parallel.model_validate({})
    pipe, _, shard, context, tensor = mesh.mesh(ask.gpus)
    cut = shard * context
    whole = shape.num_params(ask.vocabulary) / pipe / tensor
    moments = {"adamw": 2.0, "adam": 2.0, "muon": 1.0, "lion": 1.0, "sgd": 1.0, "adafactor": 0.0}
    block = (shape.matrices + shape.vectors) / tensor
    layers = shape.layers / pipe
    ends = shape.rows(ask.vocabulary) * shape.dim * (1 if shape.tied else 2) / tensor
    gathered = 0.0
    if cut > 1:
        gathered = 2.0 * (ends + block * (layers if mesh.zero == 2 else 2))
    reduced = mesh.reduce_every_pass or cut == 1
    tokens = ask.micro_rows * ask.length / context
    kept = tokens * layers * _kept(shape, ask.recompute, tensor)
    if pipe > 1:  # of the first stage, as many passes are under way as there are stages
        kept *= pipe
    logits = min(tokens, 4096) * shape.rows(ask.vocabulary) / tensor * (2 + 4 + 4)
    parts = {
        "weights": 4 * whole / cut,
        "moments": 4 * whole / cut * moments[ask.optimizer],
        "gradients": 4 * whole / (cut if reduced else 1),
        "gathered": gathered,
        "activations": kept,
        "logits": logits + (4 * ends if shape.tied else 2 * ends),
    }
    total = sum(parts.values())
    return {**parts, "total": total, "of_gpu": total / GPUS[ask.gpu].memory}


def _kept(shape: Model, recompute: str, tensor: int) -> float:
    """Bytes a token of activations in bf16 that a block keeps for its backward pass."""
    wide = shape.dim + 2 * shape.channels * shape.kv_heads  # q, k, v
    gated = 2 if shape.activation == "swiglu" else 1
    products = (wide + shape.dim + gated * shape.hidden) / tensor + 2 * shape.dim
    if recompute == "full":
        return 2 * shape.dim
    if recompute == "selective":
        return 2 * (shape.dim + products)
    # Also inputs of products: two norms (with their fp32 copies), rotated q and k, the gated.
    return 2 * (7 * shape.dim + products + (wide + (gated + 1) * shape.hidden) / tensor)


def of_config(config: Config, **changes: Any) -> Ask:
    """The question a preset asks, with `changes` in place of its own."""
    known = config.reference.model_dump(exclude={"source"}) if config.reference else {}
    if "budget" in changes:
        known.pop("tokens", None)
    own = {name: getattr(config, name) for name in ("parallel", "micro_rows", "recompute")}
    own |= {"shape": config.model, "optimizer": config.optimizer.name}
    return Ask(**{**own, **known, **changes})


class _Number(float):
    """A number that `{:short}` writes as three digits and a unit."""

    def __format__(self, how: str) -> str:
        if how != "short":
            return super().__format__(how)
        for limit, unit in ((1e12, " T"), (1e9, " B"), (1e6, " M"), (1e3, " k")):
            if self >= limit:
                return f"{self / limit:.3g}{unit}"
        return f"{self:.3g}"


def text(ask: Ask, figures: dict[str, Any]) -> str:
    """The figures as a page of plain text."""
    told: dict[str, Any] = {
        section: {key: _Number(value) for key, value in own.items() if value is not None}
        for section, own in figures.items()
    }
    answered, parts = figures["inference"], dict(told.get("memory", {}))
    parts.pop("of_gpu", None)
    told |= {
        "exactly": f", {figures['flops']['exact']:.3g} exactly" if ask.shape else "",
        "losses": ", ".join(f"{value:.3f} ({name})" for name, value in figures["loss"].items()),
        "tonnes": figures["run"]["co2_kg"] / 1000,
        "share": answered["flops"] / answered["flops_as_asked"],
        "parts": ", ".join(f"{name} {value / 1e9:.1f}" for name, value in parts.items()),
    }
    left_out = {"cost": ask.price is None, "inference": not ask.queries, "memory": not parts}
    lines = {name: line for name, line in PAGE.items() if not left_out.get(name)}
    return "\n".join(f"{name:10} {line.format(ask=ask, **told)}" for name, line in lines.items())
