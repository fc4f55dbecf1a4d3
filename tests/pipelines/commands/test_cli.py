import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

HELP = [
    [],
    ["run"],
    ["report"],
    ["train"],
    ["recipe"],
    ["recipe", "list"],
    ["recipe", "show"],
    ["recipe", "validate"],
    ["recipe", "schema"],
    ["recipe", "diff"],
    ["filter"],
    ["rules"],
    ["rules", "list"],
    ["rules", "show"],
    ["rules", "explain"],
]


def gristmill(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from pipelines.commands.main import main; main()", *words],
        capture_output=True, text=True, cwd=cwd, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_has_an_example(words: list[str]) -> None:
    result = gristmill(*words, "--help")
    assert result.returncode == 0
    text = " ".join(result.stdout.split()).lower()
    assert f"example: gristmill {' '.join(words)}".strip() in text


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys, runpy\n"
        "try:\n    {}\n"
        "except SystemExit:\n    pass\n"
        "heavy = {{'apache_beam', 'torch', 'pyarrow', 'numpy', 'trafilatura', 'matplotlib'}}\n"
        "print(heavy & set(sys.modules), file=sys.stderr)\n"
    )
    main = f"from pipelines.commands.main import main; main({[*words, '--help']!r})"
    if words == ["train"]:
        main = "sys.argv[1:] = ['--help']; runpy.run_module('train', run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-c", code.format(main)], capture_output=True, text=True, check=True
    )
    assert result.stderr.strip() == "set()"


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(5):
        start = time.monotonic()
        gristmill("run", "--help")
        times.append(time.monotonic() - start)
    # .2 s on an idle machine; the least of five, so that a busy one does not fail it
    assert min(times) < 0.6


def test_recipe_list_names_fineweb() -> None:
    result = gristmill("recipe", "list")
    assert result.returncode == 0
    assert any(line.startswith("fineweb ") for line in result.stdout.splitlines())


def test_recipe_schema_is_a_json_schema_of_recipes() -> None:
    schema = json.loads(gristmill("recipe", "schema").stdout)
    assert {"inputs", "filter", "mix", "parent"} <= set(schema["properties"])


def test_recipe_validate_tells_every_mistake_in_one_go(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(
        "extends: fineweb\n"
        "filter:\n  chain:\n    - rules: gopher_qualty\n    - edit: c4_line\n"
        "curate: {chain: [{redact: [EMAIL_ADRESS]}]}\n"
        "mix: {tokns: 5, weights: {web: 1}}\n"
        "deduplicate: {keep: biggest}\n"
    )
    result = gristmill("recipe", "validate", "wrong.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    for path, mend in [
        ("filter.chain[0].rules", "gopher_quality"),
        ("filter.chain[1].edit", "c4_lines"),
        ("curate.chain[0].redact[0]", "did you mean `EMAIL_ADDRESS`"),
        ("mix.tokns", "`tokens`"),
        ("mix: ", "give the number of tokens too"),
        ("deduplicate.keep", "'longest', 'oldest' or 'smallest_id'"),
    ]:
        (line,) = [text for text in result.stderr.splitlines() if path in text]
        assert mend in line
    assert "6 mistakes" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "not YAML"),
        ("- a\n- b\n", "a mapping of keys"),
        ("name: x\nname: y\n", "`name` in line 2 stands twice"),
        ("extends: nosuch\n", "nosuch: no such recipe"),
        ("extends: wrong.yaml\n", "extends this recipe in turn"),
        ("name: x\nfilter: {chain: [{rules: !!python/object:os.system x}]}\n", "not YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_so(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)
    result = gristmill("recipe", "validate", "wrong.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_old_words_are_answered_with_the_new_ones(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(
        "extends: fineweb\njudge: gopher\ndeduplicate: {pieces: {lines: true}}\n"
    )
    result = gristmill("recipe", "validate", "old.yaml", cwd=tmp_path)
    assert result.returncode == 2
    assert "judge: is called `filter` now" in result.stderr
    assert "deduplicate.pieces: is called `spans` now" in result.stderr
    result = gristmill("judge", "--rules", "fineweb", "texts.jsonl")
    assert (result.returncode, "`judge` is called `filter` now" in result.stderr) == (2, True)
    result = gristmill("dedup", "x.jsonl", "--output", "-", "--pieces=lines")
    assert (result.returncode, "`--pieces` is called `--spans` now" in result.stderr) == (2, True)


def test_a_parent_may_be_in_a_store(tmp_path: Path) -> None:
    recipe, run = str(REPOSITORY / "tests" / "data" / "demo.yaml"), str(tmp_path / "run")
    result = gristmill("run", recipe, "--output", run, "--parent", "memory://a")
    assert (result.returncode, result.stderr) == (
        2,
        "gristmill: memory://a: no run here (it has no recipe.yaml)\n",
    )
