"""Kubernetes files against the schemas that kubernetes-validate bundles; their commands run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.commands.main import parser
from pipelines.engines.processes import free_port
from tests.runs import REPOSITORY
from train.options import parser as train_parser

FILES = sorted((REPOSITORY / "deploy" / "kubernetes").glob("*.yaml"))


def objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file, and those that a ConfigMap holds."""
    for each in yaml.safe_load_all(path.read_text()):
        yield each
        if each["kind"] == "ConfigMap":
            yield from map(yaml.safe_load, each["data"].values())


def pod(name: str) -> dict[str, Any]:
    """The pod of the Job in the file `name`."""
    file = REPOSITORY / "deploy" / "kubernetes" / f"{name}.yaml"
    (job,) = (each for each in objects(file) if each["kind"] == "Job")
    return job["spec"]["template"]["spec"]


def words(name: str) -> list[str]:
    """The command of the Job's container."""
    (container,) = pod(name)["containers"]
    return [*container["command"], *container["args"]]


@pytest.mark.engine
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_of_their_schemas(path: Path) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="`make test-engines` installs it")
    for each in objects(path):
        if each["kind"] == "Pod":  # what a template leaves to Spark
            each["metadata"] = {"name": "executor"}
        schemas.validate(each, schemas.latest_version(), strict=True)
        with pytest.raises(schemas.ValidationError, match="'speck' was unexpected"):
            schemas.validate({**each, "speck": {}}, schemas.latest_version(), strict=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_pods_mount_is_there(path: Path) -> None:
    spec = pod(path.stem)
    volumes = {each["name"] for each in spec["volumes"]}
    (container,) = spec["containers"]
    assert {each["name"] for each in container["volumeMounts"]} == volumes
    kinds = {each["kind"]: each["metadata"]["name"] for each in objects(path) if "metadata" in each}
    if "ServiceAccount" in kinds:
        assert spec["serviceAccountName"] == kinds["ServiceAccount"]
    if "subdomain" in spec:
        assert spec["subdomain"] == kinds["Service"]


def test_commands_are_ours() -> None:
    curate = words("curate")
    assert curate[:2] == ["gristmill", "run"]
    parser().parse_args(curate[1:])
    spark = words("spark")
    parser().parse_args(["run", *spark[spark.index("--") + 1 :]])
    train = words("train")
    train_parser("train").parse_args(train[train.index("train") + 1 :])


def test_pods_train_together(finished: Path, tmp_path: Path) -> None:
    """The command of two pods, whose names are those of this machine."""
    changed = {
        "--nnodes=4": "--nnodes=2",
        "--nproc-per-node=8": "--nproc-per-node=1",
        "--rdzv-endpoint=train-0.train:29500": f"--rdzv-endpoint=localhost:{free_port()}",
        "/data/runs/mine": str(finished),
        "--output=/data/models/mine": f"--output={tmp_path}/model",
        "--preset=1b": "--preset=tiny",
    }
    told = words("train")
    assert set(changed) <= set(told)
    command = [sys.executable, *(changed.get(word, word) for word in told[1:]), "--steps=2"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    pods = [
        subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=300)[1] for each in pods]
    assert [each.returncode for each in pods] == [0, 0], said
    lines = (tmp_path / "model" / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if '"kind": "step"' in line] == [1, 2]
