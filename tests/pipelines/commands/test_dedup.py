"""`gristmill dedup` on real duplicates, and on documents made to be odd."""

import gzip
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.commands.dedup import near_of
from pipelines.engines.runners import Engine
from schemas.problems import Problem
from tests.runs import dedup_files, gristmill

pytestmark = pytest.mark.usefixtures("several_parts")

PAGE = (
    "The committee met on {day} to hear what had been done since the spring, and what was left to "
    "do before the winter. Of the nine bridges that were to be repaired, seven were open again; "
    "the other two wait for stone from the quarry at the lake, which has been flooded twice. The "
    "treasurer said that the money would last, if nothing else broke, and was thanked for it."
)


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def dedup(path: Path, tmp_path: Path, **options) -> tuple[dict[str, dict], Counter]:
    """Rows by id, and how the records ended."""
    output = tmp_path / f"out-{random.random()}.jsonl"
    ends = dedup_files([str(path)], str(output), **options)
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)
    found = {row["id"]: row for row in rows}
    for row in rows:
        assert row["kept"] == (row["level"] is None)
        assert not row["kept"] or row["representative"] == row["id"]
        if row["representative"] is not None:
            assert found[row["representative"]]["kept"]
            assert found[row["representative"]]["cluster"] == row["cluster"]
    return found, ends


@pytest.fixture(scope="module")
def documents(corpus: Path) -> list[dict]:
    with gzip.open(corpus / "dedup" / "documents.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def pairs(corpus: Path) -> list[dict]:
    with gzip.open(corpus / "dedup" / "pairs.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.corpus
def test_real_duplicates(documents, pairs, tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", documents)
    found, ends = dedup(path, tmp_path)
    assert list(found) == [row["id"] for row in documents]
    assert ends.total() == len(documents)
    assert ends == Counter(row["level"] or "kept" for row in found.values())
    near = {row["id"] for row in found.values() if row["level"] == "near"}
    assert len(near) > 500
    size = {row["id"]: len(row["text"].encode()) for row in documents}
    text = {row["id"]: row["text"] for row in documents}
    clusters: dict[tuple[str, str], int] = Counter(
        (row["cluster"], text[id_]) for id_, row in found.items()
    )
    for id_, row in found.items():
        assert size[id_] <= size[row["representative"]]
        assert row["level"] != "exact" or clusters[row["cluster"], text[id_]] > 1
    assert len(set(text.values())) == len(clusters)
    together = [found[p["a"]]["cluster"] == found[p["b"]]["cluster"] for p in pairs]
    high = [same for same, pair in zip(together, pairs, strict=True) if pair["jaccard"] >= 0.95]
    assert all(high)
    # what is in no pair of .5 or more is in no cluster with another
    alone = set(found) - {p[end] for p in pairs if p["jaccard"] >= 0.5 for end in "ab"}
    sizes = Counter(row["cluster"] for row in found.values())
    assert len(alone) > 1000
    assert all(sizes[found[id_]["cluster"]] == 1 for id_ in alone)


@pytest.mark.corpus
def test_the_answer_does_not_depend_on_workers_memory_order_or_format(
    documents, tmp_path: Path
) -> None:
    some = documents[:500]
    whole, ends = dedup(write(tmp_path / "in.jsonl", some), tmp_path)
    for engine in (Engine("local", 2), Engine("local", 1, 600)):
        assert dedup(tmp_path / "in.jsonl", tmp_path, engine=engine)[0] == whole

    def texts(found: dict[str, dict]) -> set:
        """Clusters and representatives by texts."""
        text = {row["id"]: row["text"] for row in some}
        groups: dict[str, set] = {}
        for id_, row in found.items():
            groups.setdefault(text[row["representative"]], set()).add(text[id_])
        return {(kept, frozenset(group)) for kept, group in groups.items()}

    mixed = random.Random(1).sample(some, len(some))
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(3):
        part = mixed[number::3]
        columns = {name: [row[name] for row in part] for name in ("id", "text")}
        pq.write_table(pa.table(columns), folder / f"{number}.parquet")
    other, same = dedup(folder, tmp_path)
    assert same == ends
    assert texts(other) == texts(whole)


def test_short_and_odd_documents(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "text": "Read more"},
        {"id": "b", "text": "READ more!"},
        {"id": "c", "text": "Read less"},
        {"id": "d", "text": ""},
        {"id": "e", "text": ""},
        {"id": "f", "text": "🙂"},
        {"id": "g", "text": "🙁"},
        {"text": PAGE.format(day="Monday")},
        {"text": PAGE.format(day="Monday") + "\n"},
        {"text": PAGE.format(day="Tuesday")},
        {"id": 7, "no": "text"},
    ]
    path = write(tmp_path / "odd.jsonl", rows)
    with path.open("a") as lines:
        lines.write("{broken\n")
    found, ends = dedup(path, tmp_path)
    level = {id_: row["level"] for id_, row in found.items()}
    assert level.pop("a") == "near"
    assert level.pop("b") is None
    assert {level.pop("d"), level.pop("e")} == {None, "exact"}
    assert [level.pop(name) for name in "cfg"] == [None] * 3
    # without an id, by the file and where the row begins
    lines = path.read_bytes().splitlines(keepends=True)
    begins = [sum(map(len, lines[:number])) for number in (7, 8, 9)]
    assert list(level) == [f"odd.jsonl:{begin}" for begin in begins]
    assert sorted(map(str, level.values())) == ["None", "near", "near"]
    assert ends == {"kept": 6, "near": 3, "exact": 1, "damaged_no_text": 1, "damaged_bad_json": 1}
    strict, _ = dedup(path, tmp_path, near="none", normalised=True)
    assert strict["a"]["level"] == "normalised"
    plain, _ = dedup(path, tmp_path, near="none", exact=False)
    assert all(row["kept"] for row in plain.values())


@pytest.mark.parametrize(
    ("near", "by"),
    [("redpajama", "signatures"), ("nemo", "shingles"), ("9,4,3", "shingles")],
)
def test_presets(tmp_path: Path, near: str, by: str) -> None:
    days = ["Monday", "Tuesday", "Friday"]
    rows = [{"id": day, "text": f"{day}. {PAGE} {PAGE}"} for day in days]
    rows.append({"id": "other", "text": " ".join(reversed(PAGE.split()))})
    path = write(tmp_path / "in.jsonl", rows)
    found, ends = dedup(path, tmp_path, near=near, verify_by=by)
    assert ends == {"kept": 2, "near": 2}
    assert found["other"]["kept"]


def test_true_jaccard_decides_exactly(tmp_path: Path) -> None:
    words = [f"{a}{b}" for a in "abcdefghijkl" for b in "mnopqrstu"][:104]
    other = [*words[:94], *(word[::-1] for word in words[:10])]
    rows = [{"id": "a", "text": " ".join(words)}, {"id": "b", "text": " ".join(other)}]
    path = write(tmp_path / "in.jsonl", rows)
    similarity = 90 / 110  # of 100 shingles each
    for verify, kept in ((similarity, 1), (similarity + 1e-9, 2)):
        _, ends = dedup(path, tmp_path, near="50,2,5", verify=verify, verify_by="shingles")
        assert ends["kept"] == kept


def test_ids_of_parquet(tmp_path: Path) -> None:
    texts = ["x y", "x y", "z"]
    pq.write_table(pa.table({"key": [7, 8, 9], "text": texts}), tmp_path / "rows.parquet")
    numbers, _ = dedup(tmp_path / "rows.parquet", tmp_path, near="none", id="key")
    assert set(numbers) == {"7", "8", "9"}
    places, _ = dedup(tmp_path / "rows.parquet", tmp_path, near="none")
    assert list(places) == ["rows.parquet:0", "rows.parquet:1", "rows.parquet:2"]
    pq.write_table(pa.table({"id": [[1]] * 3, "text": texts}), tmp_path / "lists.parquet")
    with pytest.raises(Problem, match="cannot name rows"):
        dedup(tmp_path / "lists.parquet", tmp_path, near="none")


def test_keep_by_a_column_and_by_source(tmp_path: Path) -> None:
    """The best score, whatever its row's length; a preferred source before any score."""
    texts = [PAGE.format(day=day) for day in ("Monday", "Tuesday", "Wednesday")]
    rows = [
        {"id": "worst", "text": texts[2], "meta": {"score": -3}, "score": 1e-9},
        {"id": "best", "text": texts[0], "meta": {"score": "x"}, "score": 0.5},
        {"id": "none", "text": texts[1], "meta": {"score": -5}, "score": None},
    ]
    path = write(tmp_path / "in.jsonl", rows)
    assert [id_ for id_, row in dedup(path, tmp_path, keep="score")[0].items() if row["kept"]] == [
        "best"
    ]
    assert dedup(path, tmp_path, keep="meta.score")[0]["worst"]["kept"]
    columns = {name: [row[name] for row in rows] for name in ("id", "text", "score")}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    assert dedup(tmp_path / "in.parquet", tmp_path, keep="score")[0]["best"]["kept"]
    for word, text in (("short", texts[0]), ("long", texts[2])):
        (tmp_path / word).mkdir()
        write(tmp_path / word / "in.jsonl", [{"id": word, "text": text}])
    paths = [f"one={tmp_path}/short", f"two={tmp_path}/long"]
    for over, kept in (
        ({}, {"long"}),
        ({"prefer": ["one"]}, {"short"}),
        ({"scope": "source"}, {"short", "long"}),
    ):
        output = str(tmp_path / "sources.jsonl")
        dedup_files(paths, output, **over)
        found = [json.loads(line) for line in Path(output).read_text().splitlines()]
        assert {row["id"] for row in found if row["kept"]} == kept


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": "score"}, "keep score: no row has a number"),
        ({"keep": "gopher.words"}, "keep gopher.words: no row has a number"),
        ({"keep": "oldest"}, "keep oldest: no row has a time"),
        ({"url": "best"}, "url best: no row has an address"),
        ({"id": "key"}, "id key: no row has such a column"),
        ({"near": "none", "verify": 0.8}, "near none: leaves nothing to verify"),
        ({"near": "none", "verify_by": "shingles"}, "near none: leaves nothing to verify"),
    ],
)
def test_options_that_would_decide_nothing_are_refused(tmp_path: Path, options, said) -> None:
    path = write(tmp_path / "in.jsonl", [{"id": 1, "text": "x", "score": "high"}])
    with pytest.raises(Problem, match=said):
        dedup(path, tmp_path, **options)
    assert dedup(write(tmp_path / "in.jsonl", []), tmp_path)[1] == {"kept": 0}


def test_mixed_folders_keep_their_ids_and_files_that_cannot_be_read_are_a_loss(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    write(folder / "lines.jsonl", [{"id": "a", "text": "x"}, {"id": 5, "text": "y"}])
    pq.write_table(pa.table({"id": [6], "text": ["z"]}), folder / "rows.parquet")
    (folder / "about.json").write_text("[1, 2]")
    found, ends = dedup(folder, tmp_path, near="none")
    assert set(found) == {"a", "5", "6"}
    assert ends == {"kept": 3, "damaged_unreadable": 1}


def test_urls(tmp_path: Path) -> None:
    rows = [
        {"id": "old", "url": "http://Example.org:80/a", "date": "2020-01-01", "text": "a b " * 20},
        {"id": "new", "url": "http://example.org/a#top", "date": "2024-01-01", "text": "c d"},
        {"id": "copy", "url": "http://other.org/", "date": "2021-01-01", "text": "c d"},
        {"id": "none", "url": None, "date": "2021-01-01", "text": "e f"},
        {"id": "odd", "url": "no address", "date": "2021-01-01", "text": "g h"},
    ]
    path = write(tmp_path / "in.jsonl", rows)
    layout = "fineweb"
    # `url` and `date` are read where they are
    assert (
        dedup(path, tmp_path, url="newest", keep="oldest")[0]
        == (dedup(path, tmp_path, url="newest", columns=layout, keep="oldest")[0])
    )
    newest, ends = dedup(path, tmp_path, url="newest", columns=layout, keep="oldest")
    assert ends == {"kept": 3, "url": 1, "exact": 1}
    # the old page gave way to the new one, which gives way to an older page of the same text
    assert newest["old"]["level"] == "url"
    assert newest["new"]["level"] == "exact"
    assert newest["old"]["representative"] == newest["new"]["representative"] == "copy"
    best, _ = dedup(path, tmp_path, url="best", columns=layout)
    assert best["new"]["level"] == "url"
    assert best["copy"]["kept"]


def test_against_an_index(tmp_path: Path) -> None:
    first = [{"id": "old", "text": PAGE.format(day="Monday")}, {"id": "one", "text": "One."}]
    second = [
        {"id": "again", "text": PAGE.format(day="Tuesday")},
        {"id": "longer", "text": PAGE.format(day="Wednesday") + " The end."},
        {"id": "one", "text": "One."},
        {"id": "new", "text": "Two, three and four are what comes after that."},
    ]
    index = str(tmp_path / "index")
    # documents that stand at the same place in files of one name have one id
    (tmp_path / "old").mkdir()
    dedup(write(tmp_path / "old" / "second.jsonl", first), tmp_path, index=index)
    names = sorted(item.name for item in (tmp_path / "index" / "deduplicate").iterdir())
    assert {"index", "manifest.json", "receipts.parquet"} <= set(names)
    assert not {"near", "candidates", "labels", "drops"} & set(names)
    path = write(tmp_path / "second.jsonl", second)
    found, ends = dedup(path, tmp_path, against=[index])
    assert ends == {"kept": 1, "against": 3}
    assert found["again"]["representative"] is None
    assert found["again"]["cluster"] == found["longer"]["cluster"] != found["one"]["cluster"]
    _, ends = dedup(path, tmp_path)
    assert ends == {"kept": 3, "near": 1}
    with pytest.raises(Problem, match="they must be equal"):
        dedup(path, tmp_path, against=[index], near="nemo")
    with pytest.raises(Problem, match=r"normalised.*was made without"):
        dedup(path, tmp_path, against=[index], normalised=True)
    with pytest.raises(Problem, match="no run that has come to its deduplication"):
        dedup(path, tmp_path, against=[str(tmp_path)])
    with pytest.raises(Problem, match="holds an index"):
        dedup(path, tmp_path, index=index)


@pytest.mark.parametrize("text", ["fineweeb", "14", "14,8", "a,b,c", "14,8,5x", ""])
def test_parameters_that_are_none(text: str) -> None:
    with pytest.raises(Problem, match=r"near .*such as 14,8,5"):
        near_of(text)


def test_the_command(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", [{"id": "a", "text": "x"}, {"id": "b", "text": "x"}])
    result = gristmill("dedup", str(path), "--output", "-", "--near", "none")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    assert "1 exact" in result.stderr
    lines = subprocess.run(
        [sys.executable, "-m", "pipelines.commands.main", "dedup", "-", "--output", "-", "--quiet"],
        input=path.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert [json.loads(line)["id"] for line in lines.stdout.splitlines()] == ["a", "b"]
    # before anything is read
    for words in (["--output", f"{tmp_path}/out.txt"], ["--output", "-", "--against", "nothing"]):
        early = gristmill("dedup", str(path), *words)
        assert early.returncode == 2
        assert "filter" not in early.stderr
    wrong = gristmill("dedup", str(path), "--output", "-", "--verify", "1.5")
    assert wrong.returncode == 2
    assert "deduplicate.near.verify" in wrong.stderr
    assert "Traceback" not in wrong.stderr
