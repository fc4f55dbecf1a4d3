"""The steps `redact` and `decontaminate` in a run, before and after deduplication."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import spacy

from curation.chain import Chain
from curation.rules import load_chain
from pipelines.commands.decontaminate import index_sets
from pipelines.engines.runners import Engine
from pipelines.recipes.loading import resolve
from pipelines.recipes.mistakes import RecipeError
from pipelines.recipes.saving import with_models
from pipelines.report.collect import collect
from pipelines.run import Run
from pipelines.runs import steps
from pipelines.runs.store import Folder
from pipelines.stages import chains
from schemas.problems import Problem

MAIL = "jane.roe@mail-of-jane.org"
QUESTION = "Why does moss grow mostly on the shaded side of old stone walls in the north?"
OTHER = "Which of the seven ferries crosses the wide river of the north before noon in winter?"
BODY = "The miller opens the sluice before dawn and lets the water run over the wheel in {}. "
ROWS = {
    "web": [
        {"text": BODY.format("March") * 2 + f"Write to {MAIL} or to bob@mill-river.org. 8.8.4.4"},
        {"text": BODY.format("April") * 2 + f"Nobody writes. Staff M-1234. {MAIL}"},
        {"text": BODY.format("May") * 2 + f"“{QUESTION.upper()}”" + BODY.format("June")},
    ],
    "mail": [
        {"text": BODY.format("July") * 2 + f"Answer {MAIL} soon, says M-9876."},
        {"text": BODY.format("August") * 2 + f"Nothing. {QUESTION} {OTHER} {QUESTION}"},
        {"text": BODY.format("Autumn") * 2 + "a@mill-b.org c@mill-d.org e@mill-f.org"},
    ],
}
# what becomes of it differs by type and source
POLICIES = {
    "types": ["EMAIL_ADDRESS", "IP_ADDRESS"],
    "policies": {"IP_ADDRESS": "keep", "EMPLOYEE": "placeholder"},
    "patterns": [{"type": "EMPLOYEE", "regex": r"M-\d{4}", "words": ["staff", "says"]}],
    "key": {"file": "key"},
    "sources": {"mail": {"policy": "hash", "policies": {"EMPLOYEE": "fake"}, "drop_above": 2}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for source, rows in ROWS.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{source}.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "key").write_bytes(b"a key of sixteen")
    quiz = [{"id": "m", "question": QUESTION}, {"id": "f", "question": OTHER}]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(row) + "\n" for row in quiz))
    index_sets([str(tmp_path / "quiz.jsonl")], str(tmp_path / "index"))
    return tmp_path


def recipe(folder: Path, **more: Any) -> Any:
    inputs = [
        {"source": source, "root": str(folder), "files": [f"{source}.jsonl"]} for source in ROWS
    ]
    value = {"inputs": inputs, "deduplicate": {"near": None}, "seed": 7, **more}
    return resolve("test", value, folder)


def curated(folder: Path, name: str = "run", **more: Any) -> tuple[Run, dict[str, dict[str, Any]]]:
    """A run up to `curate`, and its curated documents by the month in them."""
    run = Run.create(recipe(folder, **more), str(folder / name))
    run.go(until="curate")
    columns = ("id", "source", "text", "personal_data", "pii_replaced")
    rows = [row for batch in run.documents("curate", columns) for row in batch.to_pylist()]
    return run, {row["text"].split(" in ")[1].split(".")[0]: row for row in rows}


@pytest.mark.parametrize("section", ["filter", "curate"])
def test_policies_by_type_and_source_before_and_after_deduplication(
    folder: Path, section: str
) -> None:
    chains_ = {"filter": {"chain": []}, "curate": {"chain": []}}
    run, found = curated(folder, **chains_ | {section: {"chain": [{"redact": POLICIES}]}})
    march, april, july = found["March"], found["April"], found["July"]
    assert march["text"].endswith("Write to email@example.com or to email@example.com. 8.8.4.4")
    assert "Staff <EMPLOYEE>. email@example.com" in april["text"]
    assert "Answer <EMAIL_ADDRESS:" in july["text"]
    assert "says <EMPLOYEE>" in july["text"]  # no range is reserved for a type of one's own
    assert "Autumn" not in found
    (lost,) = [row for batch in run.rejections(section) for row in batch.to_pylist()]
    assert (lost["reason"], lost["value"], lost["detail"]) == (
        "personal_data",
        "3",
        "pii.count <= 2",
    )
    # types and places, never the values
    for row in found.values():
        for each in row["personal_data"]:
            value = row["text"][each["start"] : each["end"]]
            assert value.startswith(("<", "email@example", "8.8.4.4"))
    kinds = [[each["type"] for each in row["personal_data"]] for row in (march, april, july)]
    assert kinds[0] == ["EMAIL_ADDRESS", "EMAIL_ADDRESS", "IP_ADDRESS"]
    assert kinds[1] == ["EMPLOYEE", "EMAIL_ADDRESS"]
    assert march["pii_replaced"] == (2 if section == "curate" else 0)
    report = collect(run)["personal_data"]
    assert report["found"] == {"EMAIL_ADDRESS": 4, "EMPLOYEE": 2, "IP_ADDRESS": 1}
    assert report["replaced"]["IP_ADDRESS"] == 0
    assert report["touched"]["EMAIL_ADDRESS"] == 3
    assert MAIL not in json.dumps(report)
    files = sorted((folder / "run" / section / "signals").glob("*.parquet"))
    signals = [
        number for path in files for number in pq.read_table(path)["pii.employee"].to_pylist()
    ]
    assert sorted(signals) == [0, 0, 0, 0, 1, 1]
    # the key is nowhere in the run; the digest decides
    files = [path for path in (folder / "run").rglob("*") if path.is_file()]
    assert not any(b"a key of sixteen" in path.read_bytes() for path in files)


def test_places_after_the_text_was_changed_again_are_not_told(folder: Path) -> None:
    redact = {"redact": ["EMAIL_ADDRESS"]}
    cut = {"decontaminate": {"index": "index", "policy": "cut", "least_words": 1}}
    mail = f"{BODY.format('Winter')}{MAIL} {QUESTION} Goodbye to all of you."
    (folder / "web.jsonl").write_text(json.dumps({"text": mail}) + "\n")
    for name, filter_, curate in (("a", [redact, cut], []), ("b", [redact], [cut])):
        _, found = curated(folder, name, filter={"chain": filter_}, curate={"chain": curate})
        (each,) = found["Winter"]["personal_data"]
        assert each == {"type": "EMAIL_ADDRESS", "start": None, "end": None, "score": 1.0}
        (each,) = found["July"]["personal_data"]
        assert found["July"]["text"][each["start"] : each["end"]] == "email@example.com"


def test_fakes_are_of_the_recipes_seed_and_decide(folder: Path) -> None:
    fake = {"chain": [{"redact": {"policy": "fake"}}]}
    one, first = curated(folder, "one", curate=fake)
    two, second = curated(folder, "two", curate=fake, seed=8)
    word = first["July"]["text"].split("Answer ")[1].split()[0]
    assert word in first["April"]["text"]
    assert word in first["March"]["text"]
    assert word not in second["July"]["text"]
    assert chains.relevant(one.recipe, "curate") != chains.relevant(two.recipe, "curate")


def test_the_digest_of_a_key_decides_and_another_key_stops_the_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"policy": "hash", "key": {"variable": "MILL_KEY"}}
    hashed = {"curate": {"chain": [{"redact": asked}]}}
    with pytest.raises(Problem, match=r"curate\.chain\[0\]\.redact\.key: variable MILL_KEY: holds"):
        Run.create(recipe(folder, **hashed), str(folder / "run"))
    monkeypatch.setenv("MILL_KEY", "one")
    run = Run.create(recipe(folder, **hashed), str(folder / "run"))
    run.go(until="deduplicate")
    monkeypatch.setenv("MILL_KEY", "two")
    other = Run.create(recipe(folder, **hashed), str(folder / "other"))
    assert chains.relevant(run.recipe, "curate") != chains.relevant(other.recipe, "curate")
    with pytest.raises(Problem, match="another recipe"):
        Run.create(recipe(folder, **hashed), str(folder / "run"))
    with pytest.raises(Problem, match="variable MILL_KEY: holds another key than the run began"):
        run.go(until="curate")
    monkeypatch.setenv("MILL_KEY", "one")
    run.go(until="curate")
    # where the key is decides nothing
    (folder / "here").write_text("one")
    moved = {"policy": "hash", "key": {"file": "here"}}
    again = recipe(folder, curate={"chain": [{"redact": moved}]})
    assert Run.create(again, str(folder / "run")).stages.keys() >= {"curate"}
    assert run.verify().faults == []


@pytest.mark.parametrize("section", ["filter", "curate"])
def test_test_items_are_dropped_cut_or_flagged(folder: Path, section: str) -> None:
    def run(policy: str, *more: dict[str, Any], **asked: Any) -> Any:
        step = {"decontaminate": {"index": "index", "policy": policy, **asked}}
        empty = {"filter": {"chain": []}, "curate": {"chain": []}}
        name = f"{policy}-{len(more)}-{asked.get('least_words', 0)}"
        return curated(folder, name, **empty | {section: {"chain": [step, *more]}})

    made, found = run("drop")
    assert found.keys().isdisjoint({"May", "August"})
    lost = [row for batch in made.rejections(section) for row in batch.to_pylist()]
    assert [(row["reason"], row["detail"]) for row in lost] == [
        ("contaminated", "contamination.score < 1")
    ] * 2
    assert {row["value"] for row in lost} <= {"1 of quiz m", "1 of quiz f"}
    (report,) = collect(made)["contamination"]
    assert report["documents"] == 2
    assert report["benchmarks"] == [{"name": "quiz", "items": 2, "seen": 2, "documents": 2}]
    assert report["top"][0] == {"benchmark": "quiz", "item": "m", "documents": 2, "score": 1.0}

    _, found = run("cut", least_words=5)
    assert "wheel in May. “" in found["May"]["text"]
    assert "wheel in June." in found["May"]["text"]
    assert "MOSS" not in found["May"]["text"]
    assert "moss" not in found["August"]["text"].lower()  # though it is there twice
    assert "ferries" not in found["August"]["text"]
    assert "Nothing." in found["August"]["text"]
    made, found = run("cut", least_words=60)
    reasons = {row["reason"] for batch in made.rejections(section) for row in batch.to_pylist()}
    assert reasons == {"cut_short"}

    made, found = run("flag")
    assert QUESTION in found["August"]["text"]
    files = (folder / "flag-0-0" / section / "contamination").glob("*.parquet")
    rows = [row for path in sorted(files) for row in pq.read_table(path).to_pylist()]
    texts = {row["id"]: row["text"] for row in found.values()}
    assert {row["item"] for row in rows} == {"m", "f"}
    for row in rows:
        place = texts[row["id"]][row["start"] : row["end"]].lower()
        assert place.startswith(("why does moss", "which of the seven"))
    rule = {"signal": "contamination.score", "operator": "<", "threshold": 1, "reason": "known"}
    made, found = run("flag", {"rules": {"name": "own", "rules": [rule]}})
    assert found.keys().isdisjoint({"May", "August"})
    assert made.ledger[section]["rejected"] == {"known": 2}


def test_an_index_is_a_copy_in_the_run_and_of_some_benchmarks(folder: Path) -> None:
    (folder / "few.jsonl").write_text(json.dumps({"question": OTHER}) + "\n")
    sets = [str(folder / "quiz.jsonl"), f"few={folder / 'few.jsonl'}"]
    index_sets(sets, str(folder / "two"))
    step = {"decontaminate": {"index": "two", "benchmarks": ["few"]}}
    run = Run.create(recipe(folder, curate={"chain": [step]}), str(folder / "run"))
    for path in (folder / "two").iterdir():
        path.unlink()
    run.go(until="curate")
    assert run.ledger["curate"]["rejected"] == {"contaminated": 1}
    wrong = {"decontaminate": {"index": "index", "benchmarks": ["quizz"]}}
    with pytest.raises(RecipeError, match=r"benchmarks\[0\]: the index has no `quizz`.*`quiz`"):
        Run.create(recipe(folder, filter={"chain": [wrong]}), str(folder / "wrong"))
    none = {"decontaminate": {"index": "none"}}
    with pytest.raises(Problem, match=r"filter\.chain\[0\]\.decontaminate\.index: .*none"):
        Run.create(recipe(folder, filter={"chain": [none]}), str(folder / "none-run"))
    (copy,) = (folder / "run" / "models").glob("*-two")
    (copy / "words.npy").write_bytes(b"x" + (copy / "words.npy").read_bytes()[1:])
    chains._compiled.cache_clear()
    steps._folder.cache_clear()  # a worker is another process
    with pytest.raises(Problem, match="does not have the digest that the run knows it by"):
        chains._folder(run.folder.url, run.recipe.curate.chain[0].decontaminate.index)


@pytest.mark.parametrize(
    ("asked", "path", "said"),
    [
        ({"types": ["EMAIL"]}, r"redact\.types\[0\]", "EMAIL_ADDRESS"),
        (["EMAIL"], r"redact\[0\]", "EMAIL_ADDRESS"),
        ({"policies": {"US_SSN": "keep"}}, r"redact\.policies\.US_SSN", "not looked for"),
        ({"policy": "hash"}, "redact", "needs `key`"),
        ({"policy": "mask"}, r"redact\.policy", "placeholder"),
        ({"key": {"file": "a", "variable": "b"}}, r"redact\.key", "give `file` or `variable`"),
        (
            {"patterns": [{"type": "A", "regex": "("}]},
            r"redact\.patterns\[0\]\.regex",
            "no regular",
        ),
        ({"patterns": [{"type": "a", "regex": "b"}]}, r"redact\.patterns\[0\]\.type", "pattern"),
        ({"sources": {"wbe": {}}}, r"redact\.sources\.wbe", "did you mean `web`"),
        ({"typs": []}, r"redact\.typs", "did you mean `types`"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(
    folder: Path, asked: Any, path: str, said: str
) -> None:
    with pytest.raises(RecipeError, match=rf"curate\.chain\[0\]\.{path}.*{said}"):
        recipe(folder, curate={"chain": [{"redact": asked}]})


def test_a_signal_that_a_step_does_not_give_is_a_mistake(folder: Path) -> None:
    rule = {"signal": "pii.us_ssn", "operator": "<", "threshold": 1, "reason": "ssn"}
    table = {"rules": {"name": "own", "rules": [rule]}}
    with pytest.raises(RecipeError, match=r"`pii\.us_ssn` is a signal of `redact`, .* not asked"):
        recipe(folder, curate={"chain": [{"redact": ["EMAIL_ADDRESS"]}, table]})
    step = {"redact": {"patterns": [{"type": "STAFF", "regex": "M-"}], "policy": "keep"}}
    own = {**rule, "signal": "pii.staff"}
    table = {"rules": {"name": "own", "rules": [own]}}
    made, _ = curated(folder, curate={"chain": [step, table]})
    assert made.ledger["curate"]["rejected"] == {"ssn": 2}


@pytest.fixture
def names(folder: Path) -> Path:
    """A pipeline of spaCy that knows two people and a place."""
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns(
        [
            {"label": "PERSON", "pattern": "Jane Roe"},
            {"label": "PERSON", "pattern": [{"LOWER": "bob"}, {"LOWER": "mill"}]},
            {"label": "GPE", "pattern": "Millbrook"},
        ]
    )
    pipeline.to_disk(folder / "names")
    return folder / "names"


def test_names_by_a_model_that_is_a_copy_in_the_run(folder: Path, names: Path) -> None:
    text = BODY.format("Spring") + f"Jane Roe of Millbrook and BOB Mill wrote to {MAIL}."
    (folder / "web.jsonl").write_text(json.dumps({"text": text}) + "\n")
    asked = {
        "names": {"model": "names", "types": ["PERSON"]},
        "policies": {"PERSON": "placeholder"},
    }
    rule = {"signal": "pii.person", "operator": ">=", "threshold": 1, "reason": "no_person"}
    table = {"rules": {"name": "own", "rules": [rule]}}
    step = {"curate": {"chain": [{"redact": asked}, table]}}
    made = Run.create(recipe(folder, **step), str(folder / "run"))
    shutil.rmtree(names)
    made.go(until="curate")
    (row,) = [row for batch in made.documents("curate", ["text"]) for row in batch.to_pylist()]
    written = "<PERSON> of Millbrook and <PERSON> wrote to email@example.com."
    assert row["text"].endswith(written)
    assert made.ledger["curate"]["rejected"] == {"no_person": 3}
    found = made.verify()
    assert (found.faults, found.unknown) == ([], [])
    (copy,) = (folder / "run" / "models").glob("*-names")
    (copy / "meta.json").write_text("{}")
    (fault,) = made.verify().faults
    assert fault.where == str(copy / "meta.json")
    with pytest.raises(Problem, match=r"curate\.chain\[0\]\.redact\.names\.model: .*names"):
        Run.create(recipe(folder, **step), str(folder / "other"))


def test_samples_of_the_report_leave_out_what_the_recipe_looks_for(
    folder: Path, names: Path
) -> None:
    text = f"Jane Roe has the badge M-1234 and writes from {MAIL}, says Bob Mill."
    (folder / "web.jsonl").write_text(json.dumps({"text": text}) + "\n")
    rule = {"signal": "gopher.words", "operator": ">=", "threshold": 20, "reason": "short"}
    redact = {
        "patterns": [{"type": "BADGE", "regex": r"M-\d{4}"}],
        "names": {"model": "names"},
        "policy": "keep",
    }
    table = {"rules": {"name": "own", "rules": [rule]}}
    # what rejects is in front of what redacts, and the policy is to keep
    chains_ = {"filter": {"chain": [table]}, "curate": {"chain": [{"redact": redact}]}}
    made, _ = curated(folder, **chains_)
    report = collect(made)
    (sample,) = [each for group in report["rejected_samples"] for each in group["samples"]]
    assert sample["text"] == (
        "<PERSON> has the badge <BADGE> and writes from email@example.com, says <PERSON>."
    )


def test_a_chain_in_a_file_names_what_is_beside_it(folder: Path) -> None:
    (folder / "chain.yaml").write_text(
        "chain:\n- decontaminate: {index: index, policy: cut, least_words: 1}\n"
        "- redact: {policy: hash, key: {file: key}}\n"
    )
    chain = Chain(load_chain("chain.yaml", folder))
    text = f"Ask {MAIL}. {QUESTION} No more."
    found = chain.apply(pa.RecordBatch.from_pydict({"text": [text, "Nothing."]}))
    assert found.texts[0].startswith("Ask <EMAIL_ADDRESS:")
    assert "moss" not in found.texts[0]
    assert found.texts[1] == "Nothing."
    assert found.signals["contamination.items"].to_pylist() == [1, 0]
    assert found.signals["contamination.characters"].to_pylist()[0] >= len(QUESTION) - 1
    assert [hit["item"] for hit in found.hits[0]] == ["m"]


@pytest.mark.slow
def test_workers_share_an_index_and_give_the_same(folder: Path, several_parts: None) -> None:
    sequence = [
        {"decontaminate": {"index": "index", "policy": "cut", "least_words": 5}},
        {"redact": {"policy": "fake", "names": {"model": "names"}}},
    ]
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Nobody"}])
    pipeline.to_disk(folder / "names")
    asked = recipe(folder, filter={"chain": sequence[:1]}, curate={"chain": sequence[1:]})
    digests = []
    for name, engine in (("one", Engine()), ("two", Engine("local", 2))):
        run = Run.create(asked, str(folder / name))
        done = run.go(engine, until="curate")
        digests.append({stage: manifest.digest for stage, manifest in done.items()})
    assert digests[0] == digests[1]


def test_a_folder_in_a_run_elsewhere_is_fetched_once_for_a_machine(folder: Path) -> None:
    (folder / "index" / ".hidden").write_text("left behind")
    run = Folder("memory://elsewhere")
    asked = recipe(folder, filter={"chain": [{"decontaminate": {"index": "index"}}]})
    frozen = with_models(asked, run).filter.chain[0].decontaminate.index
    place = steps.folder_path(run, frozen.sha256)
    try:
        kept = {path.name for path in place.iterdir()} - {"SHA256SUMS"}
        assert kept == {path.name for path in (folder / "index").iterdir()} - {".hidden"}
        steps._folder.cache_clear()  # another process of this machine
        assert steps.folder_path(run, frozen.sha256) == place
    finally:
        shutil.rmtree(place)
