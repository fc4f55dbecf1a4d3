"""The program of the Flex template: a Dataflow job of one element, which is a `gristmill run`.

A template is one job, and a run gives its engine several, one after another: the job of the
template drives the run, whose jobs appear beside it. What Dataflow gives this program (project,
region, temp, image) is the default of the recipe's `engine`. A driver that is lost is started anew
by Dataflow, and goes on from what is done.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import yaml
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    WorkerOptions,
)

from pipelines.recipes.loading import names, resolve
from pipelines.runs.store import Folder
from schemas.problems import Problem

METADATA = Path(__file__).with_name("metadata.json")
# The recipe travels as text: the machine that drives is not this one.
_DRIVE = """
set -eu
folder=$(mktemp -d)
printf %s "$1" > "$folder/recipe.yaml"
shift
exec gristmill run "$folder/recipe.yaml" "$@"
"""


def command(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command that drives the run, and the words that are left to Beam.

    Raises Problem with all that is wrong with the recipe.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for parameter in json.loads(METADATA.read_text())["parameters"]:
        needed = not parameter.get("isOptional", False)
        parser.add_argument(f"--{parameter['name']}", required=needed)
    asked, rest = parser.parse_known_args(words)
    given = {name: value for name, value in vars(asked).items() if value}
    recipe = _recipe(given.pop("recipe"), PipelineOptions(rest))
    told = [f"--{name}={value}" for name, value in given.items()]
    return ["bash", "-c", _DRIVE, "drive", recipe, *told], rest


def _recipe(name: str, options: PipelineOptions) -> str:
    """The text of a bundled recipe or a file, for Dataflow where it names no other engine."""
    value: dict[str, Any] = {"extends": name}
    if name not in names():
        folder, _, file = name.rpartition("/")
        value = yaml.safe_load(Folder(folder or ".").read(file))
    cloud, workers = options.view_as(GoogleCloudOptions), options.view_as(WorkerOptions)
    found = {
        "runner": "dataflow",
        "project": cloud.project,
        "region": cloud.region,
        "temp": cloud.temp_location,
        "staging": cloud.staging_location,
        "image": workers.sdk_container_image,
    }
    engine = {key: one for key, one in found.items() if one is not None}
    value["engine"] = engine | value.get("engine", {})
    resolve(name, value, "/")
    return yaml.safe_dump(value, sort_keys=False)


def main(words: Sequence[str]) -> None:
    """Build the job, and give it to the engine that Beam's words name."""
    drive, rest = command(words)
    # one machine: it only waits for the jobs of the run
    one = ("--num_workers=1", "--max_num_workers=1", "--no_save_main_session")
    options = PipelineOptions([*rest, *one])
    pipeline = beam.Pipeline(options=options)
    run = pipeline | "run" >> beam.Create([drive], reshuffle=False)
    run | "drive" >> beam.Map(subprocess.check_call)
    pipeline.run()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Problem as problem:
        sys.exit(f"gristmill: {problem}")
