"""Weights that a run begins with, or that are exported: a run's, a checkpoint's, Hugging Face's."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.tensor import DTensor

from schemas.problems import Problem
from schemas.shard import ShardManifest
from train import hf
from train.files import digest_of
from train.job import Record, folder_of, healthy, read_record
from train.local import fill
from train.mesh import World
from train.model import Decoder
from train.shape import Model

# A single process saves and loads without a process group, and means to.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


def find(path: Path) -> Path:
    """The checkpoint or the Hugging Face folder at `path`, which may also be a run's output.

    Of a run, the newest healthy checkpoint, or with `evaluation.patience` the best. Raises Problem
    if there is none.
    """
    if (path / "checkpoint.json").is_file() or is_hf(path):
        return path
    folder = path / "checkpoints"
    if found := healthy(folder):
        best = folder / folder_of(found[-1].best_step)
        by_loss = found[-1].config["evaluation.patience"] is not None and best.exists()
        return best if by_loss else folder / found[-1].name
    raise Problem(
        f"{path}: neither the --output of a training run with a healthy checkpoint, nor a "
        "checkpoint, nor a folder with config.json and *.safetensors"
    )


def is_hf(folder: Path) -> bool:
    """Whether a folder is in Hugging Face's layout."""
    return (folder / "config.json").is_file()


def record_of(checkpoint: Path) -> Record:
    """What a checkpoint says of itself. Raises Problem if it is damaged."""
    record = read_record(checkpoint)
    if record is None:
        raise Problem(f"{checkpoint}: checkpoint.json is missing or damaged")
    return record


def shape_of(origin: Path) -> dict[str, Any]:
    """The keys of the model's shape that the weights have. Raises Problem."""
    if is_hf(origin):
        return hf.shape_of(origin)
    flat = record_of(origin).config
    return {key[6:]: value for key, value in flat.items() if key.startswith("model.")}


def check_tokenizer(origin: Path, manifest: ShardManifest, tokenizer_file: Path) -> None:
    """Raise Problem if the weights were trained with other token ids than the shards have."""
    theirs_file = origin / "tokenizer.json"
    if not is_hf(origin):
        same = record_of(origin).tokenizer.sha256 == manifest.tokenizer.sha256
    elif not theirs_file.is_file():
        return
    else:
        from tokenizers import Tokenizer

        ours, theirs = (
            Tokenizer.from_file(str(path)).get_vocab() for path in (tokenizer_file, theirs_file)
        )
        shared = ours.keys() & theirs.keys()
        same = 2 * len(shared) > len(theirs) and all(ours[t] == theirs[t] for t in shared)
    if not same:
        raise Problem(
            f"{origin}: trained with another tokenizer than the shards were made with: make the "
            "shards with its tokenizer.json (`tokenizer: {load: ...}` in the recipe)"
        )


@torch.no_grad()
def start_from(origin: Path, model: Decoder, world: World) -> None:
    """Fill a model with the weights; each process takes what it holds. Raises Problem.

    Rows of the embedding and the head that the weights lack keep their first values.
    """
    if not is_hf(origin):
        check_whole(origin, record_of(origin), world)
        load_state({"model": model.state_dict()}, origin, alone=world.size == 1)
        return
    read = hf.reader(origin)
    for name, parameter in model.named_parameters():
        value = hf.original(name, read, model.shape).float()
        if name in ("embedding.weight", "head.weight"):
            first = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
            value = torch.cat([value[: len(first)], first[len(value) :].cpu()])
        if value.shape != parameter.shape:
            raise Problem(f"{origin}: {name} has shape {[*value.shape]}, not {[*parameter.shape]}")
        fill(parameter, value)


def damaged(checkpoint: Path, record: Record, world: World) -> list[str]:
    """Files of a checkpoint that are not what was written; each process reads some."""
    names = sorted(record.files)[world.rank :: world.size]
    found = [name for name in names if digest_of(checkpoint / "state" / name) != record.files[name]]
    return sorted(name for part in world.gathered(found) for name in part)


def check_whole(checkpoint: Path, record: Record, world: World) -> None:
    """Raise Problem if a checkpoint is damaged."""
    if files := damaged(checkpoint, record, world):
        raise Problem(f"{checkpoint}: damaged: {', '.join(files)}")


def load_state(state: dict[str, Any], checkpoint: Path, *, alone: bool) -> None:
    """Fill tensors from a checkpoint, whatever mesh wrote it. Raises Problem."""
    try:
        load(state, checkpoint_id=checkpoint / "state", no_dist=alone)
    except CheckpointException as error:
        causes = [cause for cause, _ in error.failures.values()]
        raise Problem(f"{checkpoint}: cannot be loaded ({causes[0]!r})") from None


def weights_of(checkpoint: Path, record: Record) -> dict[str, Tensor]:
    """All parameters of a checkpoint in the host's memory, by name. Raises Problem if damaged."""
    check_whole(checkpoint, record, World(0, 1, torch.device("cpu")))
    found = FileSystemReader(checkpoint / "state").read_metadata().state_dict_metadata
    state = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in found.items()
        if name.startswith("model.") and isinstance(entry, TensorStorageMetadata)
        if name != "model.loss_scale"  # of fp16
    }
    load_state(state, checkpoint, alone=True)
    return {name.removeprefix("model."): value for name, value in state.items()}


def tokenizer_of(checkpoint: Path, record: Record) -> Path:
    """The tokenizer beside a run's checkpoints. Raises Problem if it is another."""
    path = checkpoint.parent.parent / "tokenizer.json"
    if digest_of(path) != record.tokenizer.sha256:
        raise Problem(f"{path}: missing or changed: copy it from the run's tokenizer/")
    return path


def export(path: Path, folder: Path, dtype: str) -> None:
    """Write a checkpoint in Hugging Face's layout into `folder`. Raises Problem.

    path: a run's output or a checkpoint; dtype: float32, bfloat16 or float16.
    """
    from huggingface_hub import save_torch_state_dict

    checkpoint = find(path)
    record, shape = record_of(checkpoint), Model.model_validate(shape_of(checkpoint))
    weights = weights_of(checkpoint, record)
    tokenizer_file = tokenizer_of(checkpoint, record)
    rows, length = len(weights["embedding.weight"]), record.sequence_length
    renamed = hf.renamed(weights, shape)
    if folder.exists() and any(folder.iterdir()):
        raise Problem(f"{folder}: is not empty: give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    given = {name: value.to(getattr(torch, dtype)) for name, value in renamed.items()}
    save_torch_state_dict(given, folder)
    settings = hf.config(shape, rows, length, record.tokenizer, dtype)
    hf.write_json(folder / "config.json", settings)
    hf.write_tokenizer(tokenizer_file, record.tokenizer, length, folder)
