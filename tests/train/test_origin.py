"""Weights go out in Hugging Face's layouts, come in again, and runs begin with others' weights."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests.train.conftest import ALONE, SMALL, Run
from train import hf, metrics, parallel
from train.cli import main
from train.commands import run as command
from train.config import load
from train.data import ShardReader
from train.mesh import World
from train.model import Decoder
from train.origin import find, start_from

GPT2 = {
    "kv_heads": 4,
    "norm": "layer",
    "positions": "learned",
    "context": 128,
    "activation": "gelu",
    "bias": True,
    "tied": True,
}
SHAPES: dict[str, dict[str, Any]] = {
    "llama": {"rope_theta": 5000.0},
    "llama-tied-biased": {"tied": True, "bias": True},
    "qwen3": {"qk_norm": True},
    "gpt2": GPT2,
}


@pytest.fixture(scope="module")
def trained(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Some steps of each shape."""
    folder, found = tmp_path_factory.mktemp("origins"), {}
    for name, shape in SHAPES.items():
        config = {**SMALL, "steps": 6, "model": {**SMALL["model"], **shape}}  # type: ignore[dict-item]
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        words = ["--output", str(folder / name), "--preset", str(folder / f"{name}.yaml")]
        assert main([str(run.path), *words]) == 0
        found[name] = folder / name
    return found


def logits(model: Decoder, rows: torch.Tensor) -> torch.Tensor:
    positions = torch.arange(rows.shape[1]).expand(rows.shape)
    with torch.no_grad():
        found = model.eval()(rows, positions, torch.zeros_like(rows))
    assert isinstance(found, torch.Tensor)
    return found


def ours(path: Path, run: Run, world: World = ALONE) -> Decoder:
    config = yaml.safe_load((path / "config.yaml").read_text())
    (path / "again.yaml").write_text(yaml.safe_dump(config))
    model = parallel.build(load(str(path / "again.yaml")), run.manifest.tokenizer.vocabulary, world)
    start_from(find(path), model, world)
    return model


@pytest.mark.parametrize("name", SHAPES)
def test_transformers_gives_the_same_logits_and_its_weights_come_back(
    name: str, trained: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    assert command("export-hf", [str(trained[name]), str(tmp_path)]) == 0
    rows = ShardReader(run.shards, run.manifest, "validation").read(0, 4)
    ids = torch.from_numpy(rows.ids.astype("int64"))
    model = ours(trained[name], run)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        found = theirs(ids).logits
    torch.testing.assert_close(found, logits(model, ids), atol=1e-5, rtol=1e-4)
    assert hf.LAYOUTS[hf.kind_of(model.shape)].name == type(theirs).__name__

    shape = hf.shape_of(tmp_path)
    assert {**model.shape.model_dump(), **shape} == model.shape.model_dump()
    again = parallel.build(load("tiny", {f"model.{k}": v for k, v in shape.items()}), 1024, ALONE)
    start_from(tmp_path, again, ALONE)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_transformers_itself_writes_is_read(tmp_path: Path, run: Run) -> None:
    for kind, sizes in {
        "llama": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2},
        "gpt2": {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128},
    }.items():
        more = {"num_attention_heads": 4, "num_key_value_heads": 2} if kind == "llama" else {}
        # An untied head, and fewer rows than the shards' vocabulary needs.
        config = AutoConfig.for_model(kind, vocab_size=1000, **sizes, **more)
        torch.manual_seed(0)
        theirs = AutoModelForCausalLM.from_config(config).eval()
        theirs.save_pretrained(tmp_path / kind, max_shard_size="100KB")
        assert len(list((tmp_path / kind).glob("*.safetensors"))) > 1
        shape = {f"model.{key}": value for key, value in hf.shape_of(tmp_path / kind).items()}
        model = parallel.build(load("tiny", shape), 1024, ALONE)
        start_from(tmp_path / kind, model, ALONE)
        ids = torch.randint(0, 1000, (2, 40))
        with torch.no_grad():
            found = theirs(ids).logits
        torch.testing.assert_close(logits(model, ids)[..., :1000], found, atol=1e-5, rtol=1e-4)


def test_the_exported_tokenizer_is_the_run_s(
    trained: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    assert command("export-hf", [str(trained["llama"]), str(tmp_path), "--dtype", "bfloat16"]) == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    entry = run.manifest.tokenizer
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (entry.end_of_text, entry.padding)
    text = run.held_out["docs"][0]
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert model.dtype == torch.bfloat16
    assert model.generation_config.eos_token_id == entry.end_of_text
    ids = tokenizer("import json", return_tensors="pt").input_ids
    assert model.generate(ids, max_new_tokens=4, do_sample=False).shape[1] > ids.shape[1]
    # With begin-of-text, which documents then begin with.
    begun = entry.model_copy(update={"begin_of_text": entry.end_of_text})
    hf.write_tokenizer(trained["llama"] / "tokenizer.json", begun, 128, tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)("a").input_ids[0] == entry.end_of_text


def test_large_weights_are_cut_into_files(
    trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = huggingface_hub.save_torch_state_dict
    monkeypatch.setattr(
        huggingface_hub, "save_torch_state_dict", functools.partial(save, max_shard_size="200KB")
    )
    assert command("export-hf", [str(trained["llama"]), str(tmp_path)]) == 0
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    AutoModelForCausalLM.from_pretrained(tmp_path)


def test_a_run_begins_with_the_weights_of_another(
    trained: dict[str, Path], run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def losses(output: Path) -> list[float]:
        lines = metrics.read(output / "steps.jsonl")
        return [line["loss"] for line in lines if line["kind"] == "step"]

    words = [str(run.path), "--preset", str(trained["llama"].with_suffix(".yaml"))]
    assert command("export-hf", [str(trained["llama"]), str(tmp_path / "hf")]) == 0
    checkpoint = trained["llama"] / "checkpoints" / "step-00000006"
    for number, weights in enumerate((trained["llama"], checkpoint, tmp_path / "hf")):
        output = tmp_path / str(number)
        assert main([*words, "--output", str(output), "--from", str(weights)]) == 0
        assert losses(output)[0] < losses(trained["llama"])[0] - 0.3
        assert losses(output) == losses(tmp_path / "0")
    # The shape comes along, whatever the preset; what it is trained with comes from the preset.
    more = ["--output", str(tmp_path / "gpt2"), "--from", str(trained["gpt2"])]
    assert main([*words, *more]) == 0
    assert load(str(tmp_path / "gpt2" / "config.yaml")).model.norm == "layer"

    capsys.readouterr()
    for weights, message in (
        (tmp_path, "neither the --output of a training run"),
        (other_tokenizer(tmp_path / "hf"), "trained with another tokenizer"),
        (damaged(checkpoint, tmp_path), "damaged: __0_0.distcp"),
    ):
        output = tmp_path / "refused"
        assert main([*words, "--output", str(output), "--from", str(weights)]) == 2
        assert message in capsys.readouterr().err


def other_tokenizer(folder: Path) -> Path:
    path = folder / "tokenizer.json"
    value = json.loads(path.read_text())
    ids = value["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    path.write_text(json.dumps(value))
    return folder


def damaged(checkpoint: Path, folder: Path) -> Path:
    shutil.copytree(checkpoint, folder / checkpoint.name)
    (file,) = (folder / checkpoint.name / "state").glob("*.distcp")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    return folder / checkpoint.name


def test_what_has_no_layout_there_is_refused(
    trained: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Exception, match="no architecture of transformers is written for norm=rms"):
        hf.kind_of(load("tiny", {"model.activation": "gelu"}).model)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(Exception, match="gpt2, llama, qwen3 can be read"):
        hf.shape_of(tmp_path)
    for change, message in (
        ({}, "has no hidden_size"),
        ({"hidden_act": "gelu"}, "hidden_act must be silu"),
        ({"rope_scaling": {"type": "linear"}}, "positions that are scaled"),
        ({"mlp_bias": True}, "must be the same"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **change}))
        with pytest.raises(Exception, match=message):
            hf.shape_of(tmp_path)
    assert command("export-hf", [str(trained["llama"]), str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert command("export-hf", [str(tmp_path / "none"), str(tmp_path / "out")]) == 2
    assert "neither the --output" in capsys.readouterr().err
