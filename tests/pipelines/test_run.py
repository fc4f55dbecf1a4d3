"""What must hold of a run, on real pages, through the command line."""

import gzip
import json
import random
import shutil
import time
import zlib
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from pipelines.engines.runners import Engine
from pipelines.recipes.loading import load
from pipelines.run import Run
from pipelines.stages.mix import stage as mix
from tests.conftest import SAMPLE
from tests.runs import (
    DEMO,
    balanced,
    count_receipts,
    gristmill,
    kill_group,
    mill,
    receipts,
    shards,
    start,
    wait_for,
)

STAGES = ["extract", "filter", "deduplicate", "curate", "tokenize", "mix"]


def members(path: Path) -> int:
    """gzip members in a file, those that do not inflate too; one a record."""
    data, count = path.read_bytes(), 0
    while data:
        count += 1
        try:
            inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            inflate.decompress(data)
            data = inflate.unused_data
        except zlib.error:
            data = data[data.index(b"\x1f\x8b\x08", 1) :]
    return count


def parts(run: Path) -> set[str]:
    """Names of all Parquet files of a run."""
    return {str(path.relative_to(run)) for path in run.rglob("*.parquet")}


def write_recipe(folder: Path, text: str, root: Path = SAMPLE) -> Path:
    """A recipe that lays `text` over the demo's, in another folder."""
    inputs = f"inputs: [{{source: web, root: {root}, files: ['*.warc.gz']}}]"
    path = folder / "other.yaml"
    path.write_text(f"extends: {DEMO}\n{inputs}\n{text}\n")
    return path


def test_every_record_of_the_sample_is_accounted_for(finished: Path) -> None:
    ledger = balanced(finished)
    assert list(ledger) == STAGES
    files = sorted(SAMPLE.glob("*.warc.gz"))
    assert ledger["extract"]["records"] == sum(members(path) for path in files)
    assert ledger["extract"]["rejected"]["damaged_corrupt_gzip"] == 1
    for stage in ("extract", "filter", "deduplicate"):
        assert ledger[stage]["rejected"], f"{stage} rejects nothing of the sample"
    assert {"exact", "near"} == set(ledger["deduplicate"]["rejected"])


def test_rows_of_the_files_are_what_the_ledger_says(finished: Path) -> None:
    ledger = balanced(finished)
    rows: dict[tuple[str, str], int] = {}
    for path, receipt in receipts(finished).items():
        for file in receipt["files"]:
            key = (path.split("/")[0], file["kind"])
            if file["path"].endswith(".parquet"):
                found = pq.ParquetFile(finished / file["path"]).metadata.num_rows
                assert found == file["rows"]
                rows[key] = rows.get(key, 0) + found
    extract, spec = ledger["extract"], ledger["filter"]
    assert rows["extract", "documents"] == extract["kept"]
    assert rows["extract", "rejections"] == sum(extract["rejected"].values())
    assert rows["filter", "signals"] == spec["records"]
    assert rows["filter", "signatures"] == spec["kept"]
    assert rows["curate", "text"] == ledger["curate"]["kept"]
    assert rows["tokenize", "tokens"] == ledger["tokenize"]["kept"]


def test_tokens_are_accounted_for(finished: Path) -> None:
    manifest = json.loads((finished / "shards/manifest.json").read_text())
    (receipt,) = [r for p, r in receipts(finished).items() if p == "mix/receipts/manifest.json"]
    (entry,) = receipt["counts"]["sources"].values()
    for what in ("tokens", "documents"):
        parts = [entry[f"{p}_{what}"] for p in ("train", "validation", "not_sampled")]
        assert entry[what] == sum(parts)
    train = manifest["splits"]["train"]
    assert train["tokens"] == entry["train_tokens"] + entry["repeated_tokens"]
    assert train["tokens"] + train["padding"] == train["rows"] * manifest["sequence_length"]
    validation = manifest["splits"]["validation"]["tokens"]
    assert validation == entry["validation_tokens"]
    assert validation >= 8192


@pytest.mark.parametrize("runner", ["local", "direct"])
def test_two_workers_make_the_same_shards(finished: Path, tmp_path: Path, runner: str) -> None:
    mill(tmp_path / "run", "--workers", "2", "--runner", runner)
    assert shards(tmp_path / "run") == shards(finished)
    # and the same of everything else: names of parts hold the checksums of their bytes
    assert parts(tmp_path / "run") == parts(finished)


def test_a_run_goes_on_after_its_folder_was_moved(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "copy")
    for stage in ("mix", "shards", "tokenize", "report"):
        shutil.rmtree(tmp_path / "copy" / stage)
    (tmp_path / "copy").rename(tmp_path / "elsewhere")
    mill(tmp_path / "elsewhere")
    assert shards(tmp_path / "elsewhere") == shards(finished)


def test_inputs_in_another_order_and_four_workers_make_the_same_shards(tmp_path: Path) -> None:
    names = [f"web-0000{number}.warc.gz" for number in range(3)]
    two = [{"source": "a", "files": names[:1]}, {"source": "b", "files": names[1:]}]
    other = [two[1] | {"files": names[:0:-1]}, two[0]]
    for folder, inputs, workers in (("one", two, 1), ("other", other, 4)):
        over = {"inputs": [{**each, "root": str(SAMPLE)} for each in inputs]}
        Run.create(load(str(DEMO), over), str(tmp_path / folder)).go(Engine(workers=workers))
    assert shards(tmp_path / "one") == shards(tmp_path / "other")
    assert balanced(tmp_path / "one") == balanced(tmp_path / "other")


def test_the_memory_of_an_engine_never_changes_the_answer(finished: Path, tmp_path: Path) -> None:
    """With next to none: a pass for each band, and rounds of stars for the components."""
    mill(tmp_path / "run", "--memory", "600")
    assert (tmp_path / "run/deduplicate/round-00/manifest.json").exists()
    assert not (tmp_path / "run/deduplicate/labels").exists()
    assert shards(tmp_path / "run") == shards(finished)


def test_merging_token_parts_never_changes_the_answer(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mix, "MOST_READS", 2)
    monkeypatch.setattr(mix, "FAN_IN", 2)
    shutil.copytree(finished, tmp_path / "run")
    for stage in ("mix", "shards", "report"):
        shutil.rmtree(tmp_path / "run" / stage)
    Run.create(load(str(DEMO)), str(tmp_path / "run")).go()
    assert (tmp_path / "run/mix/merge-1/manifest.json").exists()
    assert shards(tmp_path / "run") == shards(finished)


def test_a_finished_run_is_left_alone_in_seconds(finished: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.name != ".lock"}
    begun = time.monotonic()
    result = gristmill("run", str(DEMO), "--output", str(finished))
    assert time.monotonic() - begun < 30
    assert "this run is finished; nothing to do" in result.stderr
    assert "104 in              99 kept, beside 211 requests and metadata\n" in result.stderr
    after = {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.name != ".lock"}
    assert {p for p in before if before[p] != after.get(p)} <= {finished}
    assert set(before) == set(after)


def test_a_changed_recipe_is_refused_with_what_differs(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        f"extends: {DEMO}\nseed: 7\ninputs: [{{source: web, root: {SAMPLE}, files: ['*.gz']}}]\n"
    )
    result = gristmill("run", str(tmp_path / "other.yaml"), "--output", str(finished))
    assert result.returncode == 2
    assert "seed: 1 there, 7 now" in result.stderr
    assert "inputs[0].files[0]: '*.warc.gz' there, '*.gz' now" in result.stderr
    assert "].root" not in result.stderr
    assert "Traceback" not in result.stderr


def test_a_parent_lends_its_equal_stages(finished: Path, tmp_path: Path) -> None:
    recipe = write_recipe(
        tmp_path, f"parent: {finished}\nfilter: {{chain: [{{rules: gopher_quality}}]}}"
    )
    words = ("run", str(recipe), "--output", str(tmp_path / "run"))
    assert f"extract: taken from {finished}" in gristmill(*words).stderr
    assert not (tmp_path / "run/extract/receipts").exists()
    assert (tmp_path / "run/filter/receipts").exists()
    ledger, old = balanced(tmp_path / "run"), balanced(finished)
    assert ledger["extract"] == old["extract"]
    assert ledger["filter"]["kept"] > old["filter"]["kept"]
    again = mill(tmp_path / "run", recipe=recipe)
    assert "nothing to do" in again.stderr


def test_a_parent_lends_all_but_the_shards_to_another_mixture(
    finished: Path, tmp_path: Path
) -> None:
    recipe = write_recipe(tmp_path, "mix: {tokens: 30000, sequence_length: 128}")
    mill(tmp_path / "run", "--parent", str(finished), recipe=recipe)
    stages = Run.open(str(tmp_path / "run")).stages
    for stage in ("extract", "filter", "deduplicate", "curate", "tokenizer", "tokenize"):
        assert stages[stage].home == str(finished)
    manifest = json.loads((tmp_path / "run/shards/manifest.json").read_text())
    entry = receipts(tmp_path / "run")["mix/receipts/manifest.json"]["counts"]["sources"]["web"]
    assert manifest["splits"]["train"]["tokens"] >= 30000
    assert entry["not_sampled_tokens"] > 0
    old = json.loads((finished / "shards/manifest.json").read_text())
    # what is held out does not depend on the mixture
    held = [item["splits"]["validation"]["sources"]["web"] for item in (manifest, old)]
    for key in ("tokens", "documents", "bytes"):
        assert held[0][key] == held[1][key]


def test_repeated_epochs_reach_the_budget(finished: Path, tmp_path: Path) -> None:
    old = json.loads((finished / "shards/manifest.json").read_text())["splits"]["train"]["tokens"]
    recipe = write_recipe(tmp_path, f"mix: {{tokens: {old * 5 // 2}, max_epochs: 3}}")
    mill(tmp_path / "run", "--parent", str(finished), recipe=recipe)
    entry = receipts(tmp_path / "run")["mix/receipts/manifest.json"]["counts"]["sources"]["web"]
    written = entry["train_tokens"] + entry["repeated_tokens"]
    assert entry["train_tokens"] == old
    assert old * 5 // 2 <= written < old * 5 // 2 + old // 4


def test_killed_at_ten_points_and_resumed(finished: Path, tmp_path: Path) -> None:
    """SIGKILL to the whole group when so many receipts are there; each time the run goes on."""
    total = len(receipts(finished))
    points = sorted(random.Random(1).sample(range(1, total - 1), 10))
    output = tmp_path / "run"
    kept: dict[str, tuple[str, int]] = {}
    stages = set()
    for point in points:
        process = start("run", str(DEMO), "--output", str(output), "--quiet")
        wait_for(
            lambda point=point, process=process: (
                count_receipts(output) >= point or process.poll() is not None
            ),
            120,
            f"receipt {point}",
        )
        kill_group(process)
        for path, (attempt, written) in kept.items():
            assert receipts(output)[path]["attempt"] == attempt
            assert (output / path).stat().st_mtime_ns == written
        found = receipts(output)
        kept = {p: (r["attempt"], (output / p).stat().st_mtime_ns) for p, r in found.items()}
        stages.add(max(found, key=lambda p: (output / p).stat().st_mtime_ns).split("/")[0])
    assert len(stages) >= 4, f"the points fell into {stages} only"
    mill(output)
    assert shards(output) == shards(finished)
    assert balanced(output) == balanced(finished)
    assert Run.open(str(output)).verify().faults == []
    assert set(receipts(output)) == set(receipts(finished))
    assert not [p for p in output.rglob("*") if p.name.startswith(".part-")]


@pytest.mark.parametrize(
    ("runner", "program", "depth"),
    [("local", "pipelines.engines.local", 2), ("direct", "SdkHarness", 3)],
)
def test_a_killed_worker_is_told_and_the_run_goes_on(
    finished: Path, tmp_path: Path, runner: str, program: str, depth: int
) -> None:
    output = tmp_path / "run"
    words = ["--workers", "2", "--runner", runner]
    process = start("run", str(DEMO), "--output", str(output), *words)

    def workers() -> list[psutil.Process]:
        """The children of what starts them; they have children themselves."""
        children = [psutil.Process(process.pid)]
        for _ in range(depth):
            children = [child for each in children for child in each.children()]
        return [child for child in children if program in " ".join(child.cmdline())]

    wait_for(lambda: count_receipts(output) >= 1 and workers(), 60, "a first receipt")
    done = receipts(output)
    workers()[0].kill()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "a worker process died: the job begins again" in err
    assert "Traceback" not in err
    assert shards(output) == shards(finished)
    assert balanced(output) == balanced(finished)
    for path, receipt in done.items():
        assert receipts(output)[path]["attempt"] == receipt["attempt"]


def test_a_second_driver_in_one_run_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "run"
    process = start("run", str(DEMO), "--output", str(output), "--quiet")
    wait_for(lambda: (output / "recipe.yaml").exists(), 60, "a recipe in the run")
    result = gristmill("run", str(DEMO), "--output", str(output), "--quiet")
    kill_group(process)
    assert result.returncode == 2
    assert "another gristmill is at work in this run" in result.stderr


def corrupt(tmp_path: Path, name: str, data: bytes) -> str:
    (tmp_path / name).write_bytes(data)
    return str(tmp_path / name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input", "web={tmp}/none.warc.gz"], "none.warc.gz: no such file or folder"),
        (["--input", "web={tmp}/nowhere"], "nowhere: no such file or folder"),
        (["--input", "web={tmp}/empty"], "empty: holds no file"),
        (["--input", "web={tmp}/*.warc.zst"], "no file matches `*.warc.zst`"),
        (["--input", "web={tmp}/page.warc"], "page.warc"),
        (["--input", "web"], "write SOURCE=PATH"),
        (["--runner", "flonk"], "--runner flonk: not known"),
        (["--workers", "0"], "--workers: must be greater than or equal to 1; this is 0"),
        (["--parent", "{tmp}/empty"], "no run here"),
    ],
)
def test_bad_input_is_named_in_one_message(tmp_path: Path, words: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    corrupt(tmp_path, "page.warc", b"<!doctype html><p>not a WARC" * 100)
    words = [word.format(tmp=tmp_path) for word in words]
    recipe = "fineweb" if words[0] == "--input" else str(DEMO)
    result = gristmill("run", recipe, "--output", str(tmp_path / "run"), *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr
    # not even a recipe: the folder can be used for another run
    assert not [p for p in (tmp_path / "run").rglob("*") if p.name != ".lock"]


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = corrupt(tmp_path, "file", b"")
    result = gristmill("run", str(DEMO), "--output", f"{file}/run")
    assert result.returncode == 2
    assert f"{file}/run: cannot be written to" in result.stderr


def test_a_folder_with_other_things_in_it_is_not_taken_for_a_run(tmp_path: Path) -> None:
    corrupt(tmp_path, "thesis.tex", b"x")
    result = gristmill("run", str(DEMO), "--output", str(tmp_path))
    assert result.returncode == 2
    assert "is not empty and holds no run" in result.stderr
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.parametrize("content", [b"{}", b"\x00\xff", b'{"model": {"type": "Unigram"}}'])
def test_a_tokenizer_file_that_is_none_is_named(
    finished: Path, tmp_path: Path, content: bytes
) -> None:
    name = corrupt(tmp_path, "tokenizer.json", content)
    recipe = write_recipe(tmp_path, f"tokenizer: {{load: {{file: {name}}}}}")
    words = ["--output", str(tmp_path / "run"), "--parent", str(finished), "--quiet"]
    result = gristmill("run", str(recipe), *words)
    assert result.returncode == 2
    assert "tokenizer.json" in result.stderr
    assert "Traceback" not in result.stderr
    # found out before any work was done
    assert not list((tmp_path / "run").rglob("receipts"))


def test_the_runs_own_tokenizer_can_be_loaded_by_another(finished: Path, tmp_path: Path) -> None:
    file = finished / "tokenizer/tokenizer.json"
    recipe = write_recipe(tmp_path, f"tokenizer: {{load: {{file: {file}}}}}")
    mill(tmp_path / "run", "--parent", str(finished), recipe=recipe)
    assert shards(tmp_path / "run") == shards(finished)


def test_a_language_model_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    model = f"{{file: lid.176.ftz, sha256: {'a' * 64}}}"
    recipe = write_recipe(tmp_path, f"extract: {{language_model: {model}}}")
    result = gristmill("run", str(recipe), "--output", str(tmp_path / "run"))
    assert result.returncode == 2
    assert "extract.language_model.sha256: lid.176.ftz has the checksum" in result.stderr


def test_a_file_that_changes_after_planning_is_noticed(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "sample")
    shutil.copytree(finished, tmp_path / "run")
    for stage in ("extract/receipts", "extract/manifest.json"):
        path = tmp_path / "run" / stage
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    file = tmp_path / "sample" / "web-00000.warc.gz"
    file.write_bytes(file.read_bytes() + gzip.compress(b"more"))
    recipe = write_recipe(tmp_path, "", tmp_path / "sample")
    result = gristmill("run", str(recipe), "--output", str(tmp_path / "run"))
    assert result.returncode == 2
    assert "web-00000.warc.gz: has changed since the run was planned" in result.stderr


def test_a_finished_run_says_that_its_inputs_are_others(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "sample")
    shutil.copytree(finished, tmp_path / "run")
    recipe = write_recipe(tmp_path, "", tmp_path / "sample")
    words = ("run", str(recipe), "--output", str(tmp_path / "run"), "--quiet")
    for path in (tmp_path / "sample").glob("*.warc.gz"):
        path.touch()  # the time of a file says nothing of what is in it
    assert "since this run read its inputs" not in gristmill(*words).stderr
    file = tmp_path / "sample" / "web-00000.warc.gz"
    shutil.copy(file, file.with_name("web-00009.warc.gz"))
    file.write_bytes(file.read_bytes() + gzip.compress(b"more"))
    result = gristmill(*words)
    assert result.returncode == 0
    for each in (file, file.with_name("web-00009.warc.gz")):
        assert f"{each}: is new or has changed since this run read its inputs" in result.stderr
    shutil.rmtree(tmp_path / "sample")  # what was read is in the run
    result = gristmill(*words)
    assert "nothing to do" in result.stderr
    assert "since this run read its inputs" not in result.stderr


@pytest.mark.corpus
def test_every_response_of_the_larger_set_is_accounted_for(corpus: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "web.yaml"
    recipe.write_text(
        f"extends: fineweb\nname: web\n"
        f"inputs: [{{source: web, root: {corpus}/web, files: ['*.warc.gz']}}]\n"
        "splits: {bytes: 8388608}\n"
        "tokenizer: {train: {vocabulary: 8192}}\n"
        "mix: {validation: {tokens: 10000}}\n"
    )
    mill(tmp_path / "run", "--workers", "2", recipe=recipe)
    ledger = balanced(tmp_path / "run")
    records = sum(members(path) for path in sorted((corpus / "web").glob("*.warc.gz")))
    assert ledger["extract"]["records"] == records
    others = ledger["extract"]["rejected"].pop("not_a_page")
    assert records - others == 2234
