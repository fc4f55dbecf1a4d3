"""The index: every record by id and address, every segment of the shards by its document."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.recipes.loading import load
from pipelines.run import Run
from pipelines.runs import index
from pipelines.runs.parts import read_table
from pipelines.stages import index as stage
from pipelines.stages.index import merged
from schemas.problems import Problem
from schemas.shard import read_manifest
from tests.runs import DEMO


def records(run: Run) -> dict[str, str | None]:
    """By id of all records, their URLs."""
    tables = [*run.rejections("extract"), *run.documents("extract", ["id", "url"])]
    return {row["id"]: row["url"] for table in tables for row in table.to_pylist()}


def test_every_record_is_found_by_its_id_and_url(finished: Path) -> None:
    run = Run.open(str(finished))
    known = records(run)
    assert len(known) == run.ledger["extract"]["records"]
    found = index.places(run.context, known)
    assert found.keys() == known.keys()
    assert set(found.values()) <= {task.key for task in run.plan()}
    for id_, url in known.items():
        if url is not None:
            assert id_ in index.at_url(run.context, url)
    assert index.places(run.context, ["0" * 32]) == {}
    assert index.at_url(run.context, "https://nowhere.example/") == {}


def test_a_domain_has_the_hosts_below_it_and_no_other(finished: Path) -> None:
    run = Run.open(str(finished))
    hosts = {id_: url.split("/")[2] for id_, url in records(run).items() if url}
    for domain in ("libsyn.com", "directory.libsyn.com", "reader.example", "example"):
        own = {i for i, host in hosts.items() if host == domain or host.endswith("." + domain)}
        assert own
        assert index.below(run.context, domain.upper()).keys() == own
    assert index.below(run.context, "syn.com") == {}
    with pytest.raises(Problem, match="without a scheme"):
        index.below(run.context, "https://libsyn.com/")


def test_every_token_of_the_shards_is_in_one_segment(finished: Path) -> None:
    run = Run.open(str(finished))
    ids = [row for b in run.documents("curate", ["id"]) for row in b["id"].to_pylist()]
    table = index.segments(run.context, ids)
    manifest = read_manifest(finished)
    for name, split in manifest.splits.items():
        own = table.filter(pa.compute.equal(table["split"], name))
        assert pa.compute.sum(own["tokens"]).as_py() == split.tokens
        rows = [
            row for file in split.files
            for row in read_table(run.folder, f"shards/{file.path}").to_pylist()
        ]  # fmt: skip
        found = {(each["row"], each["start"]): each for each in own.to_pylist()}
        assert len(found) == sum(len(row["segments"]) for row in rows)
        for number, row in enumerate(rows):
            for segment in row["segments"]:
                each = found[number, segment["start"]]
                assert each["id"] == segment["document_id"].hex()
                assert each["source"] == row["source"]
                assert each["bytes"] == segment["bytes"]


def test_many_files_of_many_runs_find_the_same(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also without an index, and after a crash between two tasks."""
    run = Run.open(str(finished))
    known = records(run)
    before = index.places(run.context, known), index.below(run.context, "example")
    rows = index.segments(run.context, known).sort_by(
        [("split", "ascending"), ("row", "ascending")]
    )
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/index")
    copy = Run.open(str(tmp_path / "run"))
    assert not copy.is_finished
    assert (index.places(copy.context, known), index.below(copy.context, "example")) == before
    for name, size in (("RUN_ROWS", 50), ("FILE_ROWS", 20), ("_SAMPLED", 10), ("GROUP_ROWS", 5)):
        monkeypatch.setattr(stage, name, size)
    copy.go()
    again = Run.open(str(tmp_path / "run"))
    receipts = again.context.receipts("index")
    assert len(receipts) > 20
    for kind, schema in index.KINDS.items():
        files = [r.file(kind).path for r in receipts if r.counts["kind"] == kind]
        keys = [k for f in files for k in read_table(again.folder, f)[schema.names[0]].to_pylist()]
        assert keys == sorted(keys)
    assert (index.places(again.context, known), index.below(again.context, "example")) == before
    segments = index.segments(again.context, known)
    assert segments.sort_by([("split", "ascending"), ("row", "ascending")]).equals(rows)
    # what a killed driver left is gone on with
    names = parts_of(tmp_path / "run/index")
    lost = receipts[3]
    (tmp_path / "run/index/manifest.json").unlink()
    (tmp_path / f"run/index/receipts/{lost.task}.json").unlink()
    Run.create(load(str(DEMO)), str(tmp_path / "run")).go()
    assert parts_of(tmp_path / "run/index") == names


def parts_of(folder: Path) -> set[str]:
    """Names of the Parquet files, which hold checksums."""
    return {str(p.relative_to(folder)) for p in folder.rglob("*-*.parquet")}


def test_sorted_streams_are_merged_within_bounds() -> None:
    streams = [[["a", "c"], ["c", "c", "x"]], [["b"], ["c"], ["d", "z"]], [["c"]]]
    tables = [iter([pa.table({"k": keys}) for keys in stream]) for stream in streams]
    found = list(merged(tables, "k"))
    assert [key for table in found for key in table["k"].to_pylist()] == sorted(
        key for stream in streams for keys in stream for key in keys
    )
    assert max(table.num_rows for table in found) <= 5


def test_a_very_long_key_is_found(tmp_path: Path) -> None:
    """Of which Parquet keeps no statistics."""
    keys = sorted(["a", "b" * 10_000, "c"])
    pq.write_table(pa.table({"k": keys}), tmp_path / "t.parquet", row_group_size=1)
    metadata = pq.ParquetFile(tmp_path / "t.parquet").metadata
    for number, key in enumerate(keys):
        assert number in index.overlapping(metadata, [(key, key + "\0")])
    assert 0 not in index.overlapping(metadata, [("c", None)])
