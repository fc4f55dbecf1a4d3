"""A damaged run is found out, whichever bit it is; and only what nothing names is removed."""

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.run import Run
from schemas.parquet import open_parquet
from schemas.problems import Problem
from tests.conftest import REPOSITORY
from tests.runs import gristmill, mill, shards

LOGS = {".lock", "workers.log"}


@pytest.fixture(scope="module")
def copy(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, which tests leave as it was."""
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("verify") / "run"))


def kind(run: Path, path: Path) -> str:
    """Files of one kind differ in what names them: digits."""
    return re.sub(r"[0-9a-f]{12,}|\d+", "N", str(path.relative_to(run)))


def files(run: Path) -> Iterator[tuple[str, Path]]:
    """All files of a run but its logs and notes of its users, with their kinds, shuffled."""
    found = [
        path
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in LOGS and path.parent.name != "users"
    ]
    yield from ((kind(run, path), path) for path in random.Random(3).sample(found, len(found)))


def test_a_whole_run_has_nothing_wrong(copy: Path) -> None:
    found = Run.open(str(copy)).verify()
    assert (found.faults, found.left_over, found.unknown) == ([], {}, [])
    assert found.files == len(list(files(copy)))


def test_a_flipped_bit_is_found_in_every_kind_of_file(copy: Path) -> None:
    run, chance = Run.open(str(copy)), random.Random(5)
    flipped = dict(files(copy))
    assert len(flipped) > 60
    for path in flipped.values():
        data = path.read_bytes()
        if not data:
            continue
        bit = chance.randrange(8 * len(data))
        path.write_bytes(
            data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]
        )
        found = run.verify()
        path.write_bytes(data)
        stage = path.relative_to(copy).parts[0]
        assert any(stage in str(fault) for fault in found.faults), f"bit {bit} of {path}"


def test_a_missing_file_is_found_whatever_it_is(copy: Path, tmp_path: Path) -> None:
    run = Run.open(str(copy))
    for path in dict(files(copy)).values():
        away = path.rename(tmp_path / "away")
        found, is_finished = run.verify(), (copy / "index/manifest.json").exists()
        away.rename(path)
        # a list of checksums, and the manifest of the last stage, are all that tell of themselves
        is_list = path.name == "SHA256SUMS" and found.unknown
        assert found.faults or is_list or not is_finished, path


def test_what_the_fault_says_mends_it(copy: Path, finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(copy, tmp_path / "run"))
    part = next((run / "filter/signals").iterdir())
    part.write_bytes(part.read_bytes()[:-1])
    result = gristmill("verify", str(run))
    assert result.returncode == 1
    mend = f"remove {run}/filter; the same run makes it again"
    assert f"{part}: is not what its receipt says: {mend}" in result.stdout
    shutil.rmtree(run / "filter")
    mill(run)
    assert gristmill("verify", str(run)).returncode == 0
    assert shards(run) == shards(finished)


def test_only_what_no_receipt_names_is_removed(copy: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(copy, tmp_path / "run"))
    before = {p.relative_to(run) for p in run.rglob("*") if p.is_file()}
    part = next((run / "curate/text").iterdir())
    left = [
        part.with_name("000000-0123456789ab.parquet"),
        run / "filter/.part-abc/signals.parquet",
        run / f"filter/receipts/.000000.json.{'0' * 32}",
        run / "shards/train/train-000000-0123456789ab.parquet",
    ]
    mine = [run / "notes.txt", run / "curate/looked-at.parquet"]
    for path in left + mine:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    damaged = part.read_bytes()
    part.write_bytes(damaged[1:])
    with pytest.raises(Problem, match="nothing is removed of a damaged run"):
        Run.open(str(run)).verify(clean=True)
    assert all(path.exists() for path in left)
    part.write_bytes(damaged)
    result = gristmill("verify", str(run), "--clean")
    assert result.returncode == 0
    assert "4 files of killed attempts" in result.stderr
    assert all(f"{path}: is none of the run's files" in result.stderr for path in mine)
    after = {p.relative_to(run) for p in run.rglob("*") if p.is_file()}
    assert after == before | {path.relative_to(run) for path in mine}


def test_the_stages_of_a_parent_are_looked_at_where_they_are(copy: Path, tmp_path: Path) -> None:
    mill(tmp_path / "child", "--parent", str(copy))
    child = Run.open(str(tmp_path / "child"))
    assert child.verify().faults == []
    for path in [
        *(
            dict(files(copy))[kind(copy, next((copy / step).iterdir()))]
            for step in ("curate/text", "tokenize/tokens")
        ),
        tmp_path / "child/tokenizer/tokenizer.json",
        tmp_path / "child/curate/manifest.json",
    ]:
        data = path.read_bytes()
        path.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
        assert child.verify().faults, path
        path.write_bytes(data)


def test_a_run_that_is_not_finished_can_be_looked_at(copy: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(copy, tmp_path / "run"))
    for name in ("index", "mix", "shards", "tokenize/manifest.json", "ledger.json"):
        path = run / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    mill(run, "--until", "tokenizer")  # which writes the ledger
    assert Run.open(str(run)).verify().faults == []
    part = next((run / "tokenize/tokens").iterdir())
    part.unlink()
    (fault,) = Run.open(str(run)).verify().faults
    assert "is not there" in str(fault)


def test_every_reader_of_parquet_checks_pages(copy: Path, tmp_path: Path) -> None:
    part = max((copy / "curate/text").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(part.read_bytes())
    start = open_parquet(part).metadata.row_group(0).column(3)
    assert start.path_in_schema == "text"
    data[start.data_page_offset + start.total_compressed_size // 2] ^= 1
    (tmp_path / "x.parquet").write_bytes(data)
    with pytest.raises(OSError, match="CRC checksum"):
        open_parquet(tmp_path / "x.parquet").read()
    opens = re.compile(
        r"pq\.(ParquetFile\(|read_table|ParquetDataset|read_pandas)"
        r"|ds\.dataset\((?!parts|REJECTION)"
    )
    for folder in ("schemas", "curation", "pipelines", "train"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            if path.name != "parquet.py" or folder != "schemas":
                assert not opens.search(path.read_text("utf-8")), path
