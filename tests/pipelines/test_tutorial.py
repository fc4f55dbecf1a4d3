"""Every command of the tutorial runs, in its order, on the files that it shows."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "pipelines" / "TUTORIAL.md").read_text("utf-8")
BLOCKS = re.findall(r"```(sh|yaml)\n(.*?)```", PAGE, re.DOTALL)
# what a command must have told
SAID = {
    "recipe validate": "my.yaml: a valid recipe",
    "--origin": "mix.weights.web: 94.0",
    "runs/try": "only the first 20 records of each source",
    "run my.yaml --output runs/one": "filter: not for code, papers, books",
    "runs/two --parent": "extract: taken from",
    "recipe diff": "fineweb.lines",
    "query": "few_lines",
}


def test_every_command_of_the_tutorial_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
    told = []
    for kind, block in BLOCKS:
        if kind == "yaml":
            (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
            continue
        for line in block.strip().splitlines():
            program, *words = shlex.split(line.replace("$GRISTMILL", str(REPOSITORY)))
            if program == "gristmill":
                program, words = sys.executable, ["-m", "pipelines.commands.main", *words]
            result = subprocess.run(
                [program, *words],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
            assert result.returncode == 0, (line, result.stderr[-3000:])
            for words_, said in SAID.items():
                if words_ in line:
                    assert said in result.stdout + result.stderr, line
                    told.append(said)
    assert len(told) >= len(SAID)
    assert (tmp_path / "runs/two/report/index.html").is_file()
    assert list((tmp_path / "model").iterdir())
