"""Hugging Face's layouts of the decoder: export is renaming, and import too.

Llama's, Qwen 3's (a Llama whose queries and keys are normalised) and GPT-2's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from schemas.problems import Problem
from schemas.shard import TokenizerEntry
from train.shape import Model

FILE_BYTES = 5_000_000_000  # of a file of weights, as transformers cuts them

# Names of the parts of a block, ours and theirs.
LLAMA = {
    "attention_norm": "input_layernorm",
    "attention.q": "self_attn.q_proj",
    "attention.k": "self_attn.k_proj",
    "attention.v": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.q_norm": "self_attn.q_norm",
    "attention.k_norm": "self_attn.k_norm",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.output": "mlp.down_proj",
}
GPT2 = {
    "attention_norm": "ln_1",
    "attention.output": "attn.c_proj",
    "feed_forward_norm": "ln_2",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.output": "mlp.c_proj",
}
GPT2_FUSED = ("attention.q", "attention.k", "attention.v"), "attn.c_attn"


class Layout(NamedTuple):
    """How an architecture of transformers names the parameters."""

    ends: Mapping[str, str]  # of the parts that are no block's
    blocks: str  # the prefix of a block's number
    parts: Mapping[str, str]
    transposed: bool = False  # matrices of blocks are [inputs, outputs]; q, k and v are one

    def turned(self, name: str, value: Tensor) -> Tensor:
        """A parameter of theirs from ours, or ours from theirs."""
        is_matrix = value.ndim == 2 and name.startswith(f"{self.blocks}.")
        return value.T.contiguous() if self.transposed and is_matrix else value


LAYOUTS = {
    "llama": Layout(
        {"embedding": "model.embed_tokens", "norm": "model.norm", "head": "lm_head"},
        "model.layers",
        LLAMA,
    ),
    "gpt2": Layout(
        {"embedding": "transformer.wte", "position": "transformer.wpe", "norm": "transformer.ln_f"},
        "transformer.h",
        GPT2,
        transposed=True,
    ),
}
LAYOUTS["qwen3"] = LAYOUTS["llama"]
CLASSES = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM", "gpt2": "GPT2LMHeadModel"}


def kind_of(shape: Model) -> str:
    """The layout that holds a shape. Raises Problem if none does."""
    chosen = (shape.norm, shape.positions, shape.activation)
    if chosen == ("rms", "rotary", "swiglu"):
        if not shape.qk_norm:
            return "llama"
        if not shape.bias:
            return "qwen3"
    is_plain = shape.tied and shape.kv_heads == shape.heads and not shape.qk_norm
    if chosen == ("layer", "learned", "gelu") and shape.bias and is_plain:
        return "gpt2"
    raise Problem(
        f"no architecture of transformers is written for norm={shape.norm}, "
        f"positions={shape.positions}, activation={shape.activation}, bias={shape.bias}, "
        f"qk_norm={shape.qk_norm}, tied={shape.tied}: Llama's, Qwen 3's and GPT-2's are"
    )


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
        yield f"{part}.weight", f"{theirs}.weight", 0, 1
        if part == "norm" and layer_norm:
            yield f"{part}.bias", f"{theirs}.bias", 0, 1
    fused, into = GPT2_FUSED
    for block in range(shape.layers):
        for part, theirs in layout.parts.items():
            is_norm = part.endswith("norm")
            if part.endswith(("q_norm", "k_norm")) and not shape.qk_norm:
                continue
            kinds = ["weight"] + ["bias"] * (layer_norm if is_norm else shape.bias)
            for kind in kinds:
                name = f"blocks.{block}.{part}.{kind}"
                yield name, f"{layout.blocks}.{block}.{theirs}.{kind}", 0, 1
        if layout.transposed:
            for index, part in enumerate(fused):
                for kind in ("weight", "bias"):
                    theirs = f"{layout.blocks}.{block}.{into}.{kind}"
                    yield f"blocks.{block}.{part}.{kind}", theirs, index, len(fused)


def config(
    shape: Model, rows: int, length: int, tokenizer: TokenizerEntry, dtype: str
) -> dict[str, Any]:
    """`config.json` of a model with `rows` rows of the embedding, trained on `length` tokens."""
    kind = kind_of(shape)
    common = {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        "vocab_size": rows,
        "tie_word_embeddings": shape.tied,
        "initializer_range": shape.init_std,
        "dtype": dtype,
        "torch_dtype": dtype,  # of transformers before 5
        "bos_token_id": tokenizer.begin_of_text,
        "eos_token_id": tokenizer.end_of_text,
        "pad_token_id": tokenizer.padding,
    }
    if kind == "gpt2":
        return common | {
            "n_positions": shape.context,
            "n_embd": shape.dim,
            "n_layer": shape.layers,
            "n_head": shape.heads,
            "n_inner": shape.hidden,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": shape.norm_eps,
            "embd_pdrop": shape.dropout,
            "resid_pdrop": shape.dropout,
            "attn_pdrop": 0.0,
        }
    rope = {"rope_theta": shape.rope_theta}
    biased = {"mlp_bias": shape.bias} if kind == "llama" else {"use_sliding_window": False}
    return common | {
        "hidden_size": shape.dim,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.channels,
        "max_position_embeddings": length,
        "hidden_act": "silu",
        "rms_norm_eps": shape.norm_eps,
        "attention_bias": shape.bias,
        "rope_parameters": {"rope_type": "default"} | rope,
        **rope,  # of transformers before 5
        **biased,
    }


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
    if kind == "gpt2":
        if value.get("activation_function", "gelu_new") != "gelu_new":
            raise Problem(f"{path}: activation_function must be gelu_new")
        width = value["n_embd"]
        return {
            "dim": width,
            "layers": value["n_layer"],
            "heads": value["n_head"],
            "kv_heads": value["n_head"],
            "hidden": value.get("n_inner") or 4 * width,
            "norm": "layer",
            "positions": "learned",
            "context": value.get("n_positions", 1024),
            "activation": "gelu",
            "bias": True,
            "tied": True,
            "norm_eps": value.get("layer_norm_epsilon", 1e-5),
        }
    rope = value.get("rope_parameters") or value.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise Problem(f"{path}: positions that are scaled ({rope}) are not known here")
    heads = value["num_attention_heads"]
    if value.get("head_dim") and value["head_dim"] * heads != value["hidden_size"]:
        raise Problem(f"{path}: head_dim times num_attention_heads must be hidden_size")
    if value.get("attention_bias", False) != value.get("mlp_bias", False):
        raise Problem(f"{path}: attention_bias and mlp_bias must be the same")
    return {
        "dim": value["hidden_size"],
        "layers": value["num_hidden_layers"],
        "heads": heads,
        "kv_heads": value.get("num_key_value_heads") or heads,
        "hidden": value["intermediate_size"],
        "norm": "rms",
        "positions": "rotary",
        "context": None,
        "activation": "swiglu",
        "bias": value.get("attention_bias", False),
        "qk_norm": kind == "qwen3",
        "tied": value.get("tie_word_embeddings", False),
        "rope_theta": rope.get("rope_theta") or value.get("rope_theta") or 10_000.0,
        "norm_eps": value.get("rms_norm_eps", 1e-6),
    }


def write(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write parameters, by their names there, as safetensors of at most FILE_BYTES each."""
    from safetensors.torch import save_file

    files: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in weights.items():
        own = value.numel() * value.element_size()
        if size and size + own > FILE_BYTES:
            files.append({})
            size = 0
        files[-1][name] = value
        size += own
    if len(files) == 1:
        save_file(files[0], folder / "model.safetensors", {"format": "pt"})
        return
    places = {}
    for number, part in enumerate(files, 1):
        path = folder / f"model-{number:05d}-of-{len(files):05d}.safetensors"
        save_file(part, path, {"format": "pt"})
        places.update(dict.fromkeys(part, path.name))
    total = sum(value.numel() * value.element_size() for value in weights.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    write_json(folder / "model.safetensors.index.json", index)


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
    ids = {"bos": entry.begin_of_text, "eos": entry.end_of_text, "pad": entry.padding}
    known = {name: number for name, number in ids.items() if number is not None}
    special = {f"{name}_token": tokenizer.id_to_token(number) for name, number in known.items()}
    bos = special.get("bos_token")
    if bos and tokenizer.encode("a").ids[:1] != [entry.begin_of_text]:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, ids["bos"])]
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
