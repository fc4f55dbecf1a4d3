"""The Flex template: its parameters are those of `gristmill run`, and its job drives one."""

import base64
import bz2
import json
import os
import re
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from apache_beam.portability.api import beam_runner_api_pb2 as proto
from apache_beam.portability.common_urns import primitives

from pipelines.commands.main import parser
from pipelines.runs.store import Folder
from schemas.engine import EngineSettings
from schemas.problems import Problem
from tests.runs import DEMO, REPOSITORY, shards
from tests.stores import environment, gcs

LAUNCHER = REPOSITORY / "deploy" / "dataflow" / "launcher.py"
PARAMETERS = json.loads(LAUNCHER.with_name("metadata.json").read_text())["parameters"]
EXAMPLES = {
    "recipe": ("fineweb", "gs://bucket/mine.yaml"),
    "output": ("gs://bucket/runs/mine",),
    "input": ("web=gs://bucket/crawl", "papers:papers=gs://bucket/*.jsonl"),
    "limit": ("100",),
    "parent": ("gs://bucket/runs/before",),
    "until": ("filter",),
    "workers": ("64",),
    "memory": ("4G", "1.5T"),
}
# of a terminal, or the recipe's `engine`
NOT_THERE = {
    *("help", "progress", "quiet", "dry_run"),
    *("runner", "master", "job_endpoint", "job_server_jar"),
}


@pytest.fixture(scope="module")
def launcher() -> ModuleType:
    spec = spec_from_file_location("launcher", LAUNCHER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parameters_are_what_run_takes() -> None:
    run = parser()._subparsers._group_actions[0].choices["run"]  # type: ignore[union-attr, index]
    taken = {action.dest: action.required for action in run._actions}
    required = {each["name"]: not each.get("isOptional", False) for each in PARAMETERS}
    assert required == {name: must for name, must in taken.items() if name not in NOT_THERE}


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda each: each["name"])
def test_parameters_are_as_dataflow_wants_them(parameter: dict) -> None:
    known = {"name", "label", "helpText", "isOptional", "regexes", "paramType"}
    assert {"name", "label", "helpText"} <= set(parameter) <= known
    for value in EXAMPLES[parameter["name"]]:
        words = {"recipe": "r", "output": "o", parameter["name"]: value}
        recipe = words.pop("recipe")
        parser().parse_args(["run", recipe, *(f"--{name}={one}" for name, one in words.items())])
        assert all(re.fullmatch(regex, value) for regex in parameter["regexes"]), value


def test_what_dataflow_knows_is_the_recipe_s_engine(launcher: ModuleType, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("extends: fineweb\nname: mine\nengine: {region: asia-east1, processes: 4}\n")
    words = [f"--recipe={mine}", "--output=gs://b/run", "--limit=5", "--runner=DataflowRunner"]
    cloud = ["--project=p1", "--region=us-east1", "--temp_location=gs://b/tmp"]
    image = ["--sdk_container_image=IMAGE"]
    command, rest = launcher.command([*words, *cloud, *image])
    assert command[-2:] == ["--output=gs://b/run", "--limit=5"]
    engine = EngineSettings.model_validate(yaml.safe_load(command[4])["engine"])
    assert (engine.runner, engine.project, engine.temp) == ("dataflow", "p1", "gs://b/tmp")
    assert (engine.region, engine.image, engine.processes) == ("asia-east1", "IMAGE", 4)
    assert rest == ["--runner=DataflowRunner", *cloud, *image]
    mine.write_text("extends: fineweb\nname: mine\nfiltre: {}\n")
    with pytest.raises(Problem, match="did you mean `filter`"):
        launcher.command(words)


@pytest.fixture(scope="module")
def python() -> Path:
    """Python where the image's step of installation was done."""
    folder = os.environ.get("GRISTMILL_WHEEL")
    if not folder:
        pytest.skip("no GRISTMILL_WHEEL: `make test-wheel` installs one")
    return Path(folder) / "bin" / "python"


def launched(python: Path, folder: Path, *words: str) -> None:
    """Run the launcher as Dataflow does in the image: from a folder without our sources."""
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [python, LAUNCHER, *words], cwd=folder, env={**os.environ, "PATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.wheel
def test_the_template_becomes_a_job_of_one_run(python: Path, tmp_path: Path) -> None:
    with gcs() as store, environment(store.settings(store.port)):
        bucket = Folder(store.bucket)
        bucket.replace("mine.yaml", DEMO.read_bytes())
        launched(
            python, tmp_path, f"--recipe={store.bucket}/mine.yaml", "--workers=8",
            f"--output={store.bucket}/runs/mine", "--runner=DataflowRunner", "--project=gristmill",
            "--region=europe-west1", f"--temp_location={store.bucket}/tmp", "--job_name=mine",
            f"--template_location={store.bucket}/job", "--sdk_container_image=IMAGE", "--no_auth",
        )  # fmt: skip
        job = json.loads(bucket.read("job"))
        (pool,) = job["environment"]["workerPools"]
        assert (pool["numWorkers"], pool["autoscalingSettings"]["maxNumWorkers"]) == (1, 1)
        assert pool["sdkHarnessContainerImages"][0]["containerImage"] == "IMAGE"
        (name,) = [name for name, _ in bucket.walk() if name.endswith("/pipeline.pb")]
        graph = proto.Pipeline.FromString(bucket.read(name))
    transforms = graph.components.transforms.values()
    specs = [each.spec for each in transforms if each.spec.urn == primitives.PAR_DO.urn]
    functions = [proto.ParDoPayload.FromString(each.payload).do_fn.payload for each in specs]
    said = b"".join(bz2.decompress(base64.b64decode(each)) for each in functions)
    for word in (b"--output=gs://mill/runs/mine", b"--workers=8", b"region: europe-west1"):
        assert word in said, word
    names = {each.unique_name for each in transforms}
    assert "drive" in names
    assert not any("GroupByKey" in each for each in names)


@pytest.mark.wheel
def test_the_job_mills(python: Path, tmp_path: Path, finished: Path) -> None:
    recipe = yaml.safe_load(DEMO.read_text())
    recipe["inputs"][0]["root"] = str(DEMO.parent / "sample")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**recipe, "engine": {"runner": "local"}}))
    words = (f"--recipe={tmp_path}/mine.yaml", f"--output={tmp_path}/run", "--workers=2")
    launched(python, tmp_path, *words, "--runner=FnApiRunner")
    assert shards(tmp_path / "run") == shards(finished)
