"""Raw text taken out of a run: what stays, and what says that it is gone."""

import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.look.why import stories, text_of
from pipelines.recipes.loading import resolve
from pipelines.report.collect import collect
from pipelines.report.report import write_report
from pipelines.run import Run
from pipelines.runs.pruning import _strip
from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.runs import DEMO, gristmill, shards
from train.trace import find_origins


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def digests(run: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in run.rglob("*") if path.is_file()}


def has_text(run: Path) -> bool:
    """Whether some raw text is there, in whatever file."""
    names = {"text", "title", "author"}
    return any(
        names & set(pq.read_schema(path).names)
        for stage in ("extract", "filter")
        for path in (run / stage).rglob("*.parquet")
    )


def test_without_yes_it_only_tells(run: Path) -> None:
    before = digests(run)
    done = gristmill("prune", str(run))
    assert done.returncode == 0
    assert re.search(r"raw text: \d+ files, [\d,]{6,} bytes", done.stdout)
    assert "give --yes" in done.stdout
    assert digests(run) == before


def test_what_stays_and_what_says_that_it_is_gone(run: Path, tmp_path: Path) -> None:
    before, made = collect(Run.open(str(run))), shards(run)
    found = Run.open(str(run)).prune()
    assert found.bytes > 0
    assert not has_text(run)
    pruned = Run.open(str(run))
    assert pruned.is_finished
    assert pruned.go().keys() == pruned.stages.keys()
    assert shards(run) == made
    after = collect(pruned)
    assert after["pruned"]
    for key in ("balance", "stages", "languages", "filtering", "personal_data", "kept_samples"):
        assert after[key] == before[key], key
    counts = [
        [(each["reason"], each["count"]) for each in side["rejected_samples"]]
        for side in (before, after)
    ]
    assert counts[0] == counts[1]
    assert any(each["samples"] for each in before["rejected_samples"] if each["stage"] == "filter")
    write_report(str(run), str(tmp_path / "report"))
    assert "Raw text was taken away by prune." in (tmp_path / "report/index.html").read_text()
    for stage in ("extract", "filter", "deduplicate"):
        with pytest.raises(Problem, match="`gristmill prune` has taken its raw text away"):
            list(pruned.documents(stage))
    ids = [id_ for batch in pruned.documents("curate", ["id"]) for id_ in batch["id"].to_pylist()]
    assert find_origins(run, set(ids)).keys() == set(ids)
    lost = next(id_ for batch in pruned.rejections("filter") for id_ in batch["id"].to_pylist())
    (story,) = stories(pruned, lost)
    assert story.end.startswith("rejected by filter")
    with pytest.raises(Problem, match="has taken its raw text away"):
        text_of(pruned, story)
    assert pruned.verify().faults == []
    # again: nothing is left to do
    assert (pruned.prune().files, pruned.prune().bytes) == (0, 0)


def test_a_child_takes_what_is_equal_and_says_what_it_lacks(run: Path, tmp_path: Path) -> None:
    Run.open(str(run)).prune()
    child = {"extends": str(DEMO), "parent": str(run)}
    late = resolve("late", {**child, "mix": {"sequence_length": 64}}, DEMO.parent)
    assert Run.create(late, str(tmp_path / "late")).go().keys() >= {"curate", "mix"}
    told = Run.open(str(tmp_path / "late")).raw_text()
    assert (told.folders, told.elsewhere) == ((), (str(run),))
    for section in ({"filter": {"chain": []}}, {"curate": {"chain": []}}):
        early = resolve("early", {**child, **section}, DEMO.parent)
        made = Run.create(early, str(tmp_path / next(iter(section))))
        with pytest.raises(Problem, match=r"run: `gristmill prune` has taken .* as its parent"):
            made.go()


def test_a_child_with_fewer_inputs_extracts_anew(run: Path, tmp_path: Path) -> None:
    Run.open(str(run)).prune()
    inputs = [{"source": "web", "root": "sample", "files": ["web-00000.warc.gz"]}]
    value = {"extends": str(DEMO), "parent": str(run), "inputs": inputs}
    child = Run.create(resolve("few", value, DEMO.parent), str(tmp_path / "few"))
    child.go(until="filter")
    assert next(child.documents("filter")).num_rows > 0


def test_raw_text_that_is_still_needed_stays(run: Path) -> None:
    shutil.rmtree(run / "curate")
    done = gristmill("prune", str(run), "--yes")
    assert done.returncode == 2
    assert "`curate` is not finished: finish the run" in done.stderr
    assert has_text(run)


def test_a_prune_that_was_killed_goes_on(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stripped = []

    def strip(folder: Folder, name: str) -> None:
        if stripped:
            raise KeyboardInterrupt
        stripped.append(name)
        _strip(folder, name)

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.runs.pruning._strip", strip)
        with pytest.raises(KeyboardInterrupt):
            Run.open(str(run)).prune()
    assert has_text(run)
    assert any("half pruned" in str(each) for each in Run.open(str(run)).verify().faults)
    done = gristmill("prune", str(run), "--yes")
    assert done.returncode == 0, done.stderr
    assert not has_text(run)
    assert Run.open(str(run)).verify().faults == []
    # a bit that changes is found
    path = next((run / "extract" / "documents").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert [each.where for each in Run.open(str(run)).verify().faults] == [str(path)]
