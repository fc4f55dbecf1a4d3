"""Hugging Face's layouts of the decoder: export is renaming, and import too.

Llama's, Qwen 3's (a Llama whose queries and keys are normalised) and GPT-2's.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml
from torch import Tensor

from schemas.problems import Problem
from schemas.shard import TokenizerEntry
from train.shape import Model


class Layout(NamedTuple):
    """An entry of layouts.yaml."""

    name: str  # of its class
    shape: dict[str, Any]  # what a decoder must be to have it
    keys: dict[str, str]  # ours to those of config.json
    written: dict[str, str]  # keys there that need not be read, to ours
    defaults: dict[str, Any]  # of keys that may be left out there
    fixed: dict[str, Any]  # keys that have this value
    ends: dict[str, str]  # parts that are no block's
    blocks: str  # the prefix of a block's number
    parts: dict[str, str]  # of a block
    fused: str | None = None  # the matrix that is q, k and v there

    def turned(self, name: str, value: Tensor) -> Tensor:
        """A parameter of theirs from ours, or ours from theirs.

        GPT-2's matrices of blocks are [inputs, outputs].
        """
        turns = self.fused and value.ndim == 2 and name.startswith(f"{self.blocks}.")
        return value.T.contiguous() if turns else value


_FILE = Path(__file__).with_name("layouts.yaml")
LAYOUTS = {kind: Layout(**value) for kind, value in yaml.safe_load(_FILE.read_text()).items()}


def kind_of(shape: Model) -> str:
    """The layout that holds a shape. Raises Problem if none does."""
    for kind, layout in LAYOUTS.items():
        shared = layout.keys["heads"] == layout.keys["kv_heads"] and shape.heads != shape.kv_heads
        if not shared and all(getattr(shape, key) == value for key, value in layout.shape.items()):
            return kind
    told = ", ".join(f"{key}={getattr(shape, key)}" for key in LAYOUTS["gpt2"].shape)
    known = "Llama's, Qwen 3's and GPT-2's are"
    raise Problem(f"no architecture of transformers is written for {told}: {known}")


def renamed(weights: Mapping[str, Tensor], shape: Model) -> dict[str, Tensor]:
    """All of our parameters by their names there."""
    layout = LAYOUTS[kind_of(shape)]
    parts: dict[str, list[Tensor]] = {}
    for ours, theirs, _, _ in _pairs(shape, layout):
        parts.setdefault(theirs, []).append(weights[ours])
    return {name: layout.turned(name, torch.cat(own)) for name, own in parts.items()}


def original(name: str, read: Callable[[str], Tensor], shape: Model) -> Tensor:
    """One of our parameters, from theirs, which `read` returns by name."""
    layout = LAYOUTS[kind_of(shape)]
    for ours, theirs, part, parts in _pairs(shape, layout):
        if ours == name:
            return layout.turned(theirs, read(theirs)).chunk(parts)[part]
    raise KeyError(name)


def _pairs(shape: Model, layout: Layout) -> Iterator[tuple[str, str, int, int]]:
    """Our name, their name, and which of how many equal parts of it is ours."""
    layer_norm = shape.norm == "layer"
    for part, theirs in layout.ends.items():
        if part == "head" and shape.tied:
            continue
        for kind in ["weight"] + ["bias"] * (part == "norm" and layer_norm):
            yield f"{part}.{kind}", f"{theirs}.{kind}", 0, 1
    for block in range(shape.layers):
        for part, theirs in layout.parts.items():
            if part.endswith(("q_norm", "k_norm")) and not shape.qk_norm:
                continue
            for kind in ["weight"] + ["bias"] * (layer_norm if "norm" in part else shape.bias):
                ours = f"blocks.{block}.{part}.{kind}"
                yield ours, f"{layout.blocks}.{block}.{theirs}.{kind}", 0, 1
        for index, part in enumerate("qkv" if layout.fused else ""):
            for kind in ("weight", "bias"):
                ours = f"blocks.{block}.attention.{part}.{kind}"
                yield ours, f"{layout.blocks}.{block}.{layout.fused}.{kind}", index, 3


def config(
    shape: Model, rows: int, length: int, tokenizer: TokenizerEntry, dtype: str
) -> dict[str, Any]:
    """`config.json` of a model with `rows` rows of the embedding, trained on `length` tokens."""
    kind = kind_of(shape)
    layout = LAYOUTS[kind]
    common = {
        "architectures": [layout.name],
        "model_type": kind,
        "vocab_size": rows,
        "dtype": dtype,
        "torch_dtype": dtype,  # of transformers before 5
        **{f"{name}_token_id": number for name, number in _ids(tokenizer).items()},
        **layout.fixed,
        **{theirs: getattr(shape, ours) for ours, theirs in layout.keys.items()},
        **{theirs: getattr(shape, ours) for theirs, ours in layout.written.items()},
    }
    if layout.fused:
        return common | {"attn_pdrop": 0.0}
    rope = {"rope_type": "default", "rope_theta": shape.rope_theta}
    return common | {"max_position_embeddings": length, "rope_parameters": rope}


def _ids(entry: TokenizerEntry) -> dict[str, int | None]:
    return {"bos": entry.begin_of_text, "eos": entry.end_of_text, "pad": entry.padding}


def shape_of(folder: Path) -> dict[str, Any]:
    """The keys of `config.Model` that `config.json` in a folder says. Raises Problem."""
    path = folder / "config.json"
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Problem(f"{path}: cannot be read: {error}") from None
    kind = value.get("model_type")
    if kind not in LAYOUTS:
        raise Problem(f"{path}: model_type {kind}: {', '.join(sorted(LAYOUTS))} can be read")
    layout = LAYOUTS[kind]
    rope = value.get("rope_parameters") or value.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise Problem(f"{path}: positions that are scaled ({rope}) are not known here")
    value = {**layout.defaults, **value, **rope}
    for key, wanted in layout.fixed.items():
        if value.get(key, wanted) != wanted:
            raise Problem(f"{path}: {key} must be {wanted}")
    if value.get("attention_bias", False) != value.get("mlp_bias", False):
        raise Problem(f"{path}: attention_bias and mlp_bias must be the same")
    if missing := [theirs for theirs in layout.keys.values() if theirs not in value]:
        raise Problem(f"{path}: has no {missing[0]}")
    found: dict[str, Any] = {ours: value[theirs] for ours, theirs in layout.keys.items()}
    if value.get("head_dim") and value["head_dim"] * found["heads"] != found["dim"]:
        raise Problem(f"{path}: head_dim times the heads must be hidden_size")
    found["kv_heads"] = found["kv_heads"] or found["heads"]
    found["hidden"] = found["hidden"] or 4 * found["dim"]
    return {"context": None, **found, **layout.shape}


def reader(folder: Path) -> Callable[[str], Tensor]:
    """Reads a parameter of the safetensors in a folder by its name. Raises Problem."""
    from safetensors import SafetensorError, safe_open

    try:
        files: list[Any] = [safe_open(path, "pt") for path in sorted(folder.glob("*.safetensors"))]
    except (SafetensorError, OSError) as error:
        raise Problem(f"{folder}: {error}") from None
    places = {name: file for file in files for name in file.keys()}  # noqa: SIM118
    if not places:
        raise Problem(f"{folder}: no *.safetensors here")

    def read(name: str) -> Tensor:
        # GPT-2 is also written without the prefix, and a tied head may be left out or kept.
        for known in (name, name.removeprefix("transformer.")):
            if known in places:
                value: Tensor = places[known].get_tensor(known)
                return value
        raise Problem(f"{folder}: has no {name}")

    return read


def write_json(path: Path, value: Any) -> None:
    """A file of JSON as transformers writes it."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def write_tokenizer(source: Path, entry: TokenizerEntry, length: int, folder: Path) -> None:
    """The tokenizer with its special tokens; it puts begin-of-text first if documents have it."""
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_file(str(source))
    known = {name: number for name, number in _ids(entry).items() if number is not None}
    special = {f"{name}_token": tokenizer.id_to_token(number) for name, number in known.items()}
    bos = special.get("bos_token")
    if bos and tokenizer.encode("a").ids[:1] != [entry.begin_of_text]:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, known["bos"])]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": length,
        "clean_up_tokenization_spaces": False,
        **special,
    }
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "special_tokens_map.json", special)
    numbers = {f"{name}_token_id": number for name, number in known.items()}
    write_json(folder / "generation_config.json", numbers)
