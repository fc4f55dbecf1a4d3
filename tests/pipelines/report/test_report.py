import gzip
import html
import json
import shutil
import unicodedata
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers

from curation.urls import registered_domain
from pipelines.look import display
from pipelines.recipes.loading import resolve
from pipelines.report import duplicates, formats, reading, samples, schema
from pipelines.report.collect import collect
from pipelines.report.report import _inert, write_report
from pipelines.run import Run
from pipelines.runs.store import Folder
from schemas.problems import Problem
from tests.pipelines.report.conftest import MAIL, RECIPE, MakeRun, Pages, html_page, write_warc


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[int] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        if tag not in ("meta", "br", "wbr", "img", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def written(run: str, folder: Path) -> tuple[dict[str, Any], str]:
    write_report(run, str(folder))
    page = (folder / "index.html").read_text("utf-8")
    return json.loads((folder / "report.json").read_bytes()), page


@pytest.fixture(scope="module")
def report(finished: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    return written(finished, tmp_path_factory.mktemp("report"))


def test_numbers_are_those_of_the_ledger(
    report: tuple[dict[str, Any], str], ledger: dict[str, Any]
) -> None:
    value, page = report
    assert {
        stage["name"]: {key: stage[key] for key in ("records", "kept", "rejected")}
        for stage in value["stages"]
    } == ledger
    balance = dict(value["balance"])
    assert balance["records"] == ledger["extract"]["records"] == 19
    assert balance.pop("no_pages") == {}
    assert balance["records"] == sum(balance.values()) - balance["records"]
    assert "19 records came in; every one is accounted for" in " ".join(page.split())
    assert {group["reason"]: group["count"] for group in value["rejected_samples"]} == {
        reason: count
        for stage in ("extract", "filter", "deduplicate")
        for reason, count in ledger[stage]["rejected"].items()
    }
    assert ledger["deduplicate"]["rejected"] == {"exact": 2, "near": 1}
    assert value["duplicates"]["sizes"][-1] == {"smallest": 4, "largest": 4, "clusters": 1}
    largest = value["duplicates"]["largest"][0]
    assert largest["dropped"]["near"] == 1
    assert Counter(sample["level"] for sample in largest["samples"]) == largest["dropped"]
    for sample in largest["samples"]:
        assert sample["text"] in html.unescape(page)
    compared = value["duplicates"]["compared"]
    assert compared["compared"] >= compared["verified"] > 0
    assert (compared["divided"], compared["given_up"]) == (0, 0)
    assert f"of {compared['compared']} comparisons between documents" in page
    for rates in (value["duplicates"]["sources"], value["duplicates"]["domains"]):
        assert sum(item["dropped"] for item in rates) == 3
        assert sum(item["documents"] for item in rates) == ledger["filter"]["kept"]


def test_sources_add_up(report: tuple[dict[str, Any], str], finished: str) -> None:
    value, page = report
    shards = json.loads(Folder(finished).read("shards/manifest.json"))["splits"]["train"]
    assert sum(source["records"] for source in value["sources"]) == value["balance"]["records"]
    assert [source["files"] for source in value["sources"]] == [2, 2]
    portions = {item["source"]: item for item in value["mixture"]["portions"]}
    for mix in value["mixture"]["sources"]:
        assert portions[mix["source"]]["tokens"] == shards["sources"][mix["source"]]["tokens"]
        assert mix["documents"] == (
            mix["train_documents"] + mix["not_sampled_documents"] + mix["validation_documents"]
        )
    for source in ("documents", "tokens"):
        assert sum(item[source] for item in value["sources"]) == sum(
            item[source] for item in value["mixture"]["sources"]
        )
    assert (portions["web"]["planned"], portions["other-web_2.0"]["planned"]) == (30_000, 10_000)
    assert portions["web"]["planned_share"] == 0.75
    # the small source reaches its limit, and the page says so
    assert portions["other-web_2.0"]["epochs"] == 2
    assert "is short of its share" in page
    web, other = value["mixture"]["sources"]
    short = min(web["validation_tokens"], other["validation_tokens"])
    assert ("is too small for its validation" in page) == (short < 256)


def test_reasons_agree_with_signals(report: tuple[dict[str, Any], str], finished: str) -> None:
    outcome = report[0]["filtering"]
    failing = {item["reason"]: item["failing"] for item in outcome["reasons"]}
    for panel in outcome["panels"]:
        counted = sum(panel["passing"]) + sum(panel["failing"]) + panel["missing"]
        assert counted == outcome["coverage"]["looked_at"]
        # no document fails both rules of a signal: one asks for more, the other for less
        assert sum(panel["failing"]) == sum(failing[item["reason"]] for item in panel["thresholds"])
    folder, lists = Folder(finished), []
    for path, _ in folder.glob("filter/signals/*.parquet"):
        lists += pq.read_table(folder.open(path))["reasons"].to_pylist()
    for item in outcome["reasons"]:
        assert item["failing"] == sum(item["reason"] in reasons for reasons in lists)
        assert item["alone"] == sum([item["reason"]] == reasons for reasons in lists)


def rows(run: str, pattern: str, *columns: str) -> list[dict[str, Any]]:
    """Rows of the files of a run."""
    folder = Folder(run)
    tables = [pq.read_table(folder.open(path), columns=list(columns) or None)
              for path, _ in folder.glob(pattern)]  # fmt: skip
    return [row for table in tables for row in table.to_pylist()]


def test_bytes_of_what_was_kept_and_lost(report: tuple[dict[str, Any], str], finished: str) -> None:
    stages = {stage["name"]: stage for stage in report[0]["stages"]}
    verdicts = rows(finished, "filter/signals/*.parquet", "id", "kept", "reasons", "bytes")
    size = {row["id"]: row["bytes"] for row in verdicts}
    lost: dict[str, Counter[str]] = {name: Counter() for name in stages}
    for row in rows(finished, "extract/rejections/*.parquet"):
        lost["extract"][row["reason"]] += row["length"]
    for row in verdicts:
        lost["filter"].update({row["reasons"][0]: row["bytes"]} if row["reasons"] else {})
    dropped = rows(finished, "deduplicate/rejections/*.parquet", "id", "reason")
    for row in dropped:
        lost["deduplicate"][row["reason"]] += size[row["id"]]
    assert {name: stage["rejected_bytes"] for name, stage in stages.items()} == lost
    texts = rows(finished, "extract/documents/*.parquet", "text")
    assert stages["extract"]["bytes"] == sum(len(row["text"].encode()) for row in texts)
    kept = sum(row["bytes"] for row in verdicts if row["kept"])
    assert stages["filter"]["bytes"] == kept
    assert stages["deduplicate"]["bytes"] == kept - sum(size[row["id"]] for row in dropped)
    curated = rows(finished, "curate/text/*.parquet", "bytes")
    assert stages["curate"]["bytes"] == sum(row["bytes"] for row in curated)
    assert stages["mix"]["bytes"] is None


def test_what_a_rule_costs_by_source(report: tuple[dict[str, Any], str], finished: str) -> None:
    tokens, sizes = Counter[str](), Counter[str]()
    for row in rows(finished, "tokenize/tokens/*.parquet", "source", "bytes", "tokens"):
        tokens[row["source"]] += len(row["tokens"])
        sizes[row["source"]] += row["bytes"]
    verdicts = rows(finished, "filter/signals/*.parquet", "source", "reasons", "bytes")
    costs = 0
    for item in report[0]["filtering"]["reasons"]:
        for cost in item["costs"]:
            asked = cost["source"], [item["reason"]]
            own = [r["bytes"] for r in verdicts if (r["source"], r["reasons"]) == asked]
            assert (cost["documents"], cost["bytes"]) == (len(own), sum(own))
            rate = tokens[cost["source"]] / sizes[cost["source"]]
            assert cost["tokens"] == round(sum(own) * rate)
            costs += len(own)
    assert costs == sum(len(row["reasons"]) == 1 for row in verdicts) > 0


def test_kept_and_rejected_of_each_signal(
    report: tuple[dict[str, Any], str], finished: str
) -> None:
    verdicts = rows(finished, "filter/signals/*.parquet")
    for panel in report[0]["filtering"]["panels"]:
        edges = panel["edges"]
        own = [row for row in verdicts if row[panel["signal"]] is not None]
        values = [min(max(row[panel["signal"]], edges[0]), edges[-1]) for row in own]
        kept = [value for value, row in zip(values, own, strict=True) if row["kept"]]
        every = [a + b for a, b in zip(panel["passing"], panel["failing"], strict=True)]
        for counts, numbers in ((panel["kept"], kept), (every, values)):
            assert counts == np.histogram(numbers, edges)[0].tolist()


def test_what_the_data_is_made_of(report: tuple[dict[str, Any], str], finished: str) -> None:
    found = report[0]["composition"]
    curated = rows(finished, "curate/text/*.parquet")
    segments = rows(finished, "index/segments/*.parquet")
    manifest = json.loads(Folder(finished).read("shards/manifest.json"))["splits"]
    assert sum(s["tokens"] for s in segments) == sum(s["tokens"] for s in manifest.values())

    def said(row: dict[str, Any], name: str) -> str:
        if name == "length":
            return str(row["bytes"])
        if name == "domain":
            return registered_domain(row["url"])
        if name == "licence":
            return ", ".join(row["licences"])
        return (row["published"] or "")[:4] if name == "year" else str(row[name] or "")

    def numbers(own: list[dict[str, Any]]) -> dict[str, int]:
        ids = {row["id"] for row in own}
        there = [each for each in segments if each["id"] in ids]
        train = [each for each in there if each["split"] == "train"]
        return {
            "documents": len(own),
            "bytes": sum(row["bytes"] for row in own),
            "train_tokens": sum(each["tokens"] for each in train),
            "train_bytes": sum(each["bytes"] for each in train),
            "validation_tokens": sum(e["tokens"] for e in there if e["split"] == "validation"),
        }

    assert [part["name"] for part in found["parts"]] == [
        "source", "language", "licence", "year", "length", "domain",
    ]  # fmt: skip
    for part in found["parts"]:
        for item in part["rows"]:
            if part["name"] == "length":
                low, high = (int(edge.replace(",", "")) for edge in item["value"].split(" to "))
                own = [row for row in curated if low <= row["bytes"] < high]
            else:
                own = [row for row in curated if said(row, part["name"]) == item["value"]]
            assert item == {"value": item["value"], **numbers(own)}
        assert sum(item["documents"] for item in part["rows"]) == len(curated)
    assert (
        sum(item["train_tokens"] for item in found["parts"][0]["rows"])
        == (manifest["train"]["tokens"])
    )
    for site in found["sites"]:
        asked = site["source"], site["domain"]
        own = [row for row in curated if (row["source"], said(row, "domain")) == asked]
        assert site == {"source": asked[0], "domain": asked[1], **numbers(own)}


def test_tokens_of_the_tokenizer(report: tuple[dict[str, Any], str], finished: str) -> None:
    found = report[0]["vocabulary"]
    counts: Counter[int] = Counter()
    for row in rows(finished, "shards/train/*.parquet", "input_ids", "length"):
        counts.update(row["input_ids"][: row["length"]])
    assert found["tokens"]["looked_at"] == counts.total() == found["tokens"]["rows"]
    tokenizer = tokenizers.Tokenizer.from_file(f"{finished}/tokenizer/tokenizer.json")
    special = set(tokenizer.get_added_tokens_decoder())
    plain = set(range(tokenizer.get_vocab_size())) - special
    assert (found["size"], found["special"]) == (len(plain), len(special))
    assert found["unused"] == len(plain - set(counts))
    lengths = sorted((len(tokenizer.decode([number])) for number in plain), reverse=True)
    for token in [*found["longest"], *found["frequent"], *found["odd"]]:
        assert token["count"] == counts[token["id"]]
        text = tokenizer.decode([token["id"]]).replace(" ", "␣").replace("\n", "⏎")
        assert token["text"] == text.replace("\t", "⇥")
    assert [len(token["text"]) for token in found["longest"]] == lengths[: len(found["longest"])]
    most = [counts[number] for number in sorted(plain, key=lambda number: -counts[number])]
    assert [token["count"] for token in found["frequent"]] == most[: len(found["frequent"])]


def test_damage_by_file(tmp_path: Path) -> None:
    pages = [html_page(f"https://site{n}.example/", f"{SENTENCE} {n}" * 9) for n in range(4)]
    for name in ("good", "bad"):
        write_warc(tmp_path / f"in/{name}.warc.gz", pages)
    whole = (tmp_path / "in/bad.warc.gz").read_bytes()
    (tmp_path / "in/bad.warc.gz").write_bytes(whole[:-40])
    value = {
        "inputs": [{"source": "web", "root": str(tmp_path / "in"), "files": ["*.gz"]}],
        "deduplicate": {"near": None},
    }
    Run.create(resolve("d", value, tmp_path), str(tmp_path / "run")).go(until="filter")
    report, page = written(str(tmp_path / "run"), tmp_path / "report")
    lost = Counter((row["file"], row["reason"]) for row in
                   rows(str(tmp_path / "run"), "extract/rejections/*.parquet"))  # fmt: skip
    assert {
        (item["file"], f"damaged_{kind}"): number
        for item in report["damage"]["top"]
        for kind, number in item["kinds"].items()
    } == lost
    assert (report["damage"]["files"], report["damage"]["records"]) == (1, lost.total())
    assert "1 record of 1 file could not be read" in " ".join(page.split())


def test_another_run_is_compared(
    finished: str, make_run: MakeRun, inputs: dict[str, Pages], tmp_path: Path
) -> None:
    rule = {"signal": "gopher.words", "operator": ">=", "threshold": 400, "reason": "short"}
    root = Run.open(finished).recipe.inputs[0].root
    same = {"inputs": [item.model_dump(exclude_none=True) for item in
                       Run.open(finished).recipe.inputs]}  # fmt: skip
    value = {**RECIPE, **same, "name": "other", "parent": finished,
             "filter": {"chain": [{"rules": {"name": "t", "rules": [rule]}}]}}  # fmt: skip
    other = f"{tmp_path}/other"
    Run.create(resolve("other", value, root), other).go()
    write_report(finished, str(tmp_path / "report"), other)
    report = json.loads((tmp_path / "report/report.json").read_bytes())
    jsonschema.validate(report, json.loads(schema.FILE.read_text("utf-8")))
    found = report["comparison"]

    def fates(run: str) -> dict[str, str]:
        gone = {
            row["id"]: f"{row['stage']}: {row['reason']}"
            for stage in ("extract", "filter", "deduplicate", "curate")
            # `extract` is taken over
            for row in rows(
                finished if stage == "extract" and run == other else run,
                f"{stage}/rejections/*.parquet",
                *("id", "stage", "reason"),
            )
        }
        kept = {row["id"]: "kept" for row in rows(run, "curate/text/*.parquet", "id")}
        return gone | kept

    left, right = fates(finished), fates(other)
    assert left.keys() == right.keys()
    moved = Counter((left[id_], right[id_]) for id_ in left if left[id_] != right[id_])
    assert {(item["left"], item["right"]): item["documents"] for item in found["moves"]} == moved
    assert found["same"] == len(left) - moved.total()
    assert (found["only_left"], found["only_right"], found["more_moves"]) == (0, 0, 0)
    assert any("kept" in pair for pair in moved)
    for item in found["moves"]:
        assert len(item["samples"]) == min(3, item["documents"])
        for each in item["samples"]:
            assert (left[each["id"]], right[each["id"]]) == (item["left"], item["right"])
            assert each["why"].startswith(item["left"])
    ledgers = [json.loads(Folder(run).read("ledger.json")) for run in (finished, other)]
    for item in found["losses"]:
        sides = [ledger[item["stage"]] for ledger in ledgers]
        if item["reason"]:
            counts = [side["rejected"].get(item["reason"], 0) for side in sides]
        else:
            counts = [side["kept"] for side in sides]
        assert [item["left"], item["right"]] == counts
    for number, run in enumerate((finished, other)):
        splits = json.loads(Folder(run).read("shards/manifest.json"))["splits"]["train"]
        assert {item["source"]: item[("left", "right")[number]] for item in found["mixture"]} == {
            source: counts["tokens"] for source, counts in splits["sources"].items()
        }
    changed = {item["reason"]: (item["left"], item["right"]) for item in found["rules"]}
    assert changed["gopher_short_doc / short"] == ("gopher.words >= 50", "gopher.words >= 400")
    assert MAIL not in json.dumps(report)
    # runs over other sources have no document in common
    alone = make_run({"elsewhere": inputs["other-web_2.0"]}, mix={"sequence_length": 64})
    found = collect(Run.open(finished), Run.open(alone))["comparison"]
    assert found is not None
    assert (found["same"], found["moves"]) == (0, [])
    assert (found["only_left"], found["only_right"]) == (len(left), 2)


def test_what_more_records_would_take(report: tuple[dict[str, Any], str]) -> None:
    whole = [item for item in report[0]["usage"] if not item["step"]]
    scaled = report[0]["scaled"]
    assert [item["factor"] for item in scaled] == [1, 10, 100, 1000]
    assert scaled[0]["cpu_seconds"] == pytest.approx(
        sum(item["cpu_seconds"] for item in whole), abs=0.02
    )
    assert scaled[0]["file_bytes"] == sum(item["file_bytes"] for item in whole)
    assert scaled[0]["records"] == report[0]["balance"]["records"]
    for item in scaled:
        assert item["unknown_seconds"] <= item["cpu_seconds"]
        assert item["records"] == item["factor"] * scaled[0]["records"]
        assert item["error_seconds"] == pytest.approx(
            item["factor"] * scaled[0]["error_seconds"], rel=0.2, abs=0.002 * item["factor"]
        )


@pytest.mark.parametrize(
    ("asked", "marked"),
    [
        ("gopher_repetition.dup_line_frac <= 0.3", ["a b c"]),
        ("gopher_repetition.top_2_gram <= 0.2", ["a b", "a b", "a b"]),
        ("gopher_repetition.dup_3_gram <= 0.1", ["a b c"]),
        ("gopher.words >= 50", []),
    ],
)
def test_repetitions_are_marked(asked: str, marked: list[str]) -> None:
    text = "a b c\nd e f\na b c\nx a b"
    assert [text[start:end] for start, end in samples.repeats(text, asked)] == marked


def test_evidence_keeps_its_place() -> None:
    """Marks stand where the evidence and what replaced personal data are, in what is shown."""
    before = f"   Write to {MAIL} now.\n\n  \u202eSecond line.  "
    text = before + "w " * 3000 + "the evidence\nand the end. " + MAIL
    shown, cut, marks = display.evidence(text, 600)
    assert cut
    assert [shown[start:end] for start, end in marks] == ["email@example.com"]
    assert "⟨U+202E⟩Second line." in shown
    at = text.index("the evidence")
    shown, _, marks = display.evidence(text, 300, [(at, at + len("the evidence"))])
    assert [shown[start:end] for start, end in marks] == ["the evidence", "email@example.com"]
    whole, cut, marks = display.evidence("One line.", 300, [(4, 8)])
    assert (whole, cut, marks) == ("One line.", False, [(4, 8)])
    assert display.evidence("", 10) == ("", False, [])


def test_the_report_follows_its_schema(report: tuple[dict[str, Any], str]) -> None:
    published = json.loads(schema.FILE.read_text("utf-8"))
    assert schema.FILE.read_text("utf-8") == schema.to_json(), "python -m pipelines.report.schema"
    jsonschema.Draft202012Validator.check_schema(published)
    validator = jsonschema.Draft202012Validator(published)
    validator.validate(report[0])
    assert report[0]["schema"] == published["$id"]
    wrong = {**report[0], "balance": {**report[0]["balance"], "train": "many"}}
    assert [error.json_path for error in validator.iter_errors(wrong)] == ["$.balance.train"]


def test_numbers_of_plots_cannot_end_their_element(report: tuple[dict[str, Any], str]) -> None:
    assert "</script><!--" not in str(_inert({"name": "</script><!--\u2028&"}))
    assert json.loads(_inert({"</script>": "\u2028<!--"})) == {"</script>": "\u2028<!--"}
    carried = report[1].split('id="plots">')[1].split("</script>")[0]
    plots = json.loads(carried)
    nodes = {node["id"]: node["value"] for node in plots["flow"]["nodes"]}
    stages = {stage["name"]: stage for stage in report[0]["stages"]}
    assert nodes["in"] == report[0]["balance"]["records"]
    assert nodes["extract"] == stages["extract"]["kept"]
    inflow: Counter[str] = Counter()
    for link in plots["flow"]["links"]:
        inflow[link["target"]] += link["value"]
    assert {name: value for name, value in nodes.items() if name != "in"} == inflow


def test_hostile_text_stays_text(report: tuple[dict[str, Any], str]) -> None:
    value, text = report
    page = Page(text)
    assert not page.open
    assert not page.tags.keys() & {"img", "iframe", "object", "link", "form", "base"}
    assert page.tags["script"] == 3  # the numbers, and two scripts of ours
    assert page.tags["h1"] == 1
    for tag, name, content in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action", "style", "formaction")
        if name == "href":
            assert (tag, content[0]) == ("a", "#")
    assert "http-equiv" in {name for _, name, _ in page.attributes}
    # it is there, to be read
    assert "{{ 7 * 7 }}" in text
    assert "&lt;script&gt;alert(document.cookie)&lt;/script&gt;" in text
    assert "⟨U+202E⟩gnp.exe" in text
    for form in (text, json.dumps(value, ensure_ascii=False)):
        assert not [
            char
            for char in form
            if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and char != "\n"
        ]


def test_personal_data_is_replaced_though_the_recipe_replaces_none(
    report: tuple[dict[str, Any], str], finished: str
) -> None:
    value, page = report
    folder = Folder(finished)
    raw = [
        row["url"] + row["title"] + row["text"]
        for path, _ in folder.glob("extract/documents/*.parquet")
        for row in pq.read_table(folder.open(path)).to_pylist()
    ]
    assert sum(MAIL in text for text in raw) == 3
    samples = [item for group in value["rejected_samples"] for item in group["samples"]]
    assert sum("evil.example" in item["url"] for item in samples) >= 4
    for text in (page, json.dumps(value)):
        assert "jane.roe" not in text
        assert "mail-of-jane" not in text


def test_the_same_run_gives_the_same_bytes(
    report: tuple[dict[str, Any], str], finished: str, tmp_path: Path
) -> None:
    assert written(finished, tmp_path / "again") == report
    # the run was moved, and the report goes to a file system that is not a disk
    moved = tmp_path / "moved"
    shutil.copytree(finished, moved)
    write_report(str(moved), "memory://report-of-a-moved-run")
    elsewhere = Folder("memory://report-of-a-moved-run")
    assert elsewhere.read("index.html").decode() == report[1]
    assert elsewhere.read("report.json") == (tmp_path / "again/report.json").read_bytes()


def test_page_can_be_read_by_structure(report: tuple[dict[str, Any], str]) -> None:
    page = Page(report[1])
    levels = page.headings
    assert levels[0] == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert ("html", "lang", "en") in page.attributes
    assert page.tags["table"] >= 5
    # every head of a column or row says of what
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags["th"]
    ids = [value for _, name, value in page.attributes if name == "id"]
    links = [value[1:] for _, name, value in page.attributes if name == "href"]
    assert len(set(ids)) == len(ids)
    assert set(links) <= set(ids)
    # plots are told in words beside them
    hidden = [
        value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-hidden")
    ]
    assert hidden == ["true"] * page.tags["svg"]


def test_stages_of_a_parent(
    report: tuple[dict[str, Any], str],
    finished: str,
    make_run: MakeRun,
    inputs: dict[str, Pages],
    tmp_path: Path,
) -> None:
    mix = {"sequence_length": 32, "validation": {"tokens": 256}}
    child = make_run(inputs, parent=finished, mix=mix)
    value, page = written(child, tmp_path)
    assert {stage["name"]: stage["from_parent"] for stage in value["stages"]} == {
        "extract": True,
        "filter": True,
        "deduplicate": True,
        "curate": True,
        "tokenize": Run.open(child).stages["tokenize"].home != "",
        "mix": False,
    }
    assert "in the parent run" in page
    assert value["rejected_samples"] == report[0]["rejected_samples"]
    assert value["kept_samples"] == report[0]["kept_samples"]
    assert value["shards"]["sequence_length"] == 32
    # everything once: what is planned is what there is
    assert {item["epochs"] for item in value["mixture"]["portions"]} == {1.0}


def test_repeated_spans(make_run: MakeRun, texts: list[str], tmp_path: Path) -> None:
    shared = [
        f"<script>alert(1)</script> <img src=x> Write to {MAIL} about this page of the site.",
        "This line stands on all of the pages of a site, and says so at some length.",
    ]
    web = [
        html_page(f"https://site{n}.example/", "\n".join([shared[0], text, shared[1]]))
        for n, text in enumerate(texts[:6])
    ]
    # of this one hardly a line is left
    lines = [line for text in texts[:3] for line in text.splitlines()[:12]]
    web.append(html_page("https://copy.example/", "\n".join([*lines, "A word."])))
    run = make_run(
        {"web": web},
        deduplicate={"near": None, "spans": {"lines": True, "bloom": {}, "substring": {}}},
        filter={"chain": []},
        curate={"chain": [{"cut": {"least_words": 40}}]},
        mix={"sequence_length": 64, "validation": {"tokens": 0}},
    )
    value, page = written(run, tmp_path)
    ledger = json.loads(Folder(run).read("ledger.json"))["curate"]
    assert ledger == {"records": 7, "kept": 6, "rejected": {"cut_short": 1}}
    spans = value["spans"]
    assert (spans["documents"], spans["short"]) == (7, 1)
    (cut, *others) = spans["cut"]
    assert (cut["source"], cut["level"]) == ("web", "lines")
    assert cut["documents"] >= 6
    found = [
        pq.read_table(Folder(run).open(path)).to_pylist()
        for path, _ in Folder(run).glob("deduplicate/cuts/*.parquet")
    ]
    rows_cut = [row for rows in found for row in rows]
    for item in spans["cut"]:
        own = [row for row in rows_cut if row["level"] == item["level"]]
        assert item["characters"] == sum(row["end"] - row["start"] for row in own)
        assert item["documents"] == len({row["id"] for row in own})
    assert sum(item["characters"] for item in (cut, *others)) < spans["characters"] / 2
    # what is left has each shared line once, and nothing that was not there
    tables = [
        pq.read_table(Folder(run).open(path))["text"].to_pylist()
        for path, _ in Folder(run).glob("curate/text/*.parquet")
    ]
    curated = "\n".join(text for own in tables for text in own)
    assert curated.count(shared[1]) == 1
    # strangers' text is shown as text, without personal data
    samples = [item["text"] for item in spans["samples"]]
    assert any("<script>" in text for text in samples)
    assert MAIL not in json.dumps(value)
    assert MAIL not in page
    tags = Page(page)
    assert tags.tags["script"] == 3
    assert not tags.tags["img"]
    assert "Repeated spans" in page
    (short,) = [group for group in value["rejected_samples"] if group["stage"] == "curate"]
    assert (short["reason"], short["count"]) == ("cut_short", 1)
    assert short["samples"][0]["url"] == "https://copy.example/"
    assert short["samples"][0]["why"].startswith("must be words left >= 40, is ")


def test_a_parent_that_is_gone(finished: str, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    manifest = tmp_path / "run/filter/manifest.json"
    moved = {**json.loads(manifest.read_bytes()), "home": str(tmp_path / "was-here")}
    manifest.write_text(json.dumps(moved), "utf-8")
    with pytest.raises(Problem, match=r"was-here: holds the stage `filter` .* is gone"):
        collect(Run.open(str(tmp_path / "run")))


def test_a_run_that_kept_nothing(make_run: MakeRun, tmp_path: Path) -> None:
    pages = [("https://a.example/", "404 Not Found", "text/html", "gone")] * 3
    run = make_run({"web": pages}, mix={})
    value, page = written(run, tmp_path)
    assert value["balance"]["records"] == value["balance"]["rejected"] == 3
    assert not value["kept_samples"]
    assert "No document was kept" in page
    assert Page(page).tags["h1"] == 1


@pytest.mark.parametrize("last", ["extract", "filter", "curate"])
def test_a_run_that_is_not_finished(
    last: str, finished: str, report: tuple[dict[str, Any], str], tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    names = list(Run.open(finished).stages)
    after = names[names.index(last) + 1 :]
    for name in after:
        shutil.rmtree(tmp_path / "run" / name)
    value, page = written(str(tmp_path / "run"), tmp_path / "report")
    assert value["unfinished"] == after
    assert value["balance"]["records"] == report[0]["balance"]["records"]
    assert value["balance"]["kept"] == value["stages"][-1]["kept"]
    assert value["shards"] is None
    assert "This run is not finished." in page
    assert Page(page).tags["h1"] == 1


def test_no_run(tmp_path: Path, finished: str) -> None:
    with pytest.raises(Problem, match="no run here"):
        write_report(str(tmp_path), str(tmp_path / "report"))
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("manifest.json"))
    with pytest.raises(Problem, match="nothing to report"):
        write_report(str(tmp_path / "run"), str(tmp_path / "report"))
    assert not (tmp_path / "report").exists()


def test_large_run_is_sampled(finished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = collect(Run.open(finished))
    monkeypatch.setattr(reading, "MOST_ROWS", 5)
    monkeypatch.setattr(duplicates, "MOST_DROPS", 1)
    value = collect(Run.open(finished))
    assert value == collect(Run.open(finished))
    assert value["filtering"] is not None
    assert whole["filtering"] is not None
    coverage = value["filtering"]["coverage"]
    assert coverage["rows"] == whole["filtering"]["coverage"]["rows"]
    assert 5 <= coverage["looked_at"] < coverage["rows"]
    # what receipts count stays exact; what is looked at is of the sample
    assert value["balance"] == whole["balance"]
    assert value["stages"] == whole["stages"]
    assert [item["failing"] for item in value["filtering"]["reasons"]] == [
        item["failing"] for item in whole["filtering"]["reasons"]
    ]
    for panel in value["filtering"]["panels"]:
        counted = sum(panel["passing"]) + sum(panel["failing"]) + panel["missing"]
        assert counted == coverage["looked_at"]
    assert value["duplicates"] is not None
    assert value["duplicates"]["one_in"] == 4
    assert sum(value["duplicates"]["dropped"].values()) == 3
    # scaled up to all documents
    assert sum(item["extracted"] for item in value["languages"]["top"]) == pytest.approx(
        coverage["rows"], abs=1
    )


def test_requests_and_metadata_are_told_apart(tmp_path: Path) -> None:
    """Numbers of the report are of what can hold a page or a text, and add up."""
    pages = [html_page(f"https://site{n}.example/", f"{SENTENCE} {n}" * 9) for n in range(5)]
    write_warc(tmp_path / "in/a.warc.gz", pages)
    with (tmp_path / "in/a.warc.gz").open("ab") as out:
        for kind in ("request", "request", "metadata", "warcinfo", "<b>odd</b>"):
            head = (
                f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: https://site0.example/\r\n"
                "WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000000>\r\n"
                "WARC-Date: 2024-05-01T12:00:00Z\r\nContent-Length: 4\r\n\r\nx: y\r\n\r\n"
            )
            out.write(gzip.compress(head.encode()))
    value = {
        "inputs": [{"source": "web", "root": str(tmp_path / "in"), "files": ["*.gz"]}],
        "deduplicate": {"near": None},
    }
    run = Run.create(resolve("kinds", value, tmp_path), str(tmp_path / "run"))
    run.go(until="filter")
    report, page = written(str(tmp_path / "run"), tmp_path / "report")
    balance = report["balance"]
    assert balance["no_pages"] == {"request": 2, "metadata": 1, "other": 1, "warcinfo": 1}
    assert balance["records"] == 5 == report["sources"][0]["records"]
    (lost,) = pq_rows(tmp_path / "run", "extract/rejections/*.parquet", ["reason"])
    assert lost == Counter({"not_a_page": 5})
    assert run.ledger["extract"]["records"] == 10
    extract = report["stages"][0]
    assert (extract["records"], extract["kept"], extract["rejected"]) == (5, 5, {})
    said = (
        "Beside them came 2 request records, 1 metadata record, 1 other record, 1 warcinfo record."
    )
    assert said in " ".join(page.split())


def pq_rows(run: Path, pattern: str, columns: list[str]) -> list["Counter[Any]"]:
    """Values of each column over the files of a run, with their numbers."""
    tables = [pq.read_table(path, columns=columns) for path in sorted(run.glob(pattern))]
    return [Counter(v for table in tables for v in table[name].to_pylist()) for name in columns]


SENTENCE = "The miller opens the sluice before dawn and lets the water run over the wheel."


@pytest.mark.parametrize("exhaustive", [True, False])
def test_rates_are_of_what_a_rule_is_for(tmp_path: Path, exhaustive: bool) -> None:
    """A rule for one source has the rate that Parquet gives of that source."""
    for source, texts in {
        "notes": [f"{SENTENCE} {n}" * (1 + n % 4) for n in range(12)],
        "verse": [f"Grind {n}, grind, o mill!" * (1 + n % 3) for n in range(30)],
    }.items():
        lines = [json.dumps({"text": text}) for text in texts]
        (tmp_path / f"{source}.jsonl").write_text("\n".join(lines))
    rule = {"operator": ">=", "threshold": 20, "signal": "gopher.words"}
    later = {"operator": "<=", "threshold": 0.1, "signal": "gopher_repetition.top_2_gram"}
    value = {
        "inputs": [
            {"source": source, "root": str(tmp_path), "files": [f"{source}.jsonl"]}
            for source in ("notes", "verse")
        ],
        "extract": {"language_model": None, "second_opinion": None},
        "filter": {
            "exhaustive": exhaustive,
            "chain": [
                {
                    "rules": {"name": "long", "rules": [{**rule, "reason": "short"}]},
                    "sources": ["notes"],
                },
                {"rules": {"name": "varied", "rules": [{**later, "reason": "repeats"}]}},
            ],
        },
        "deduplicate": {"near": None},
    }
    run = tmp_path / "run"
    Run.create(resolve("scopes", value, tmp_path), str(run)).go(until="filter")
    report, page = written(str(run), tmp_path / "report")
    outcome = report["filtering"]
    rows = pa.concat_tables(map(pq.read_table, run.glob("filter/signals/*.parquet"))).to_pylist()
    found = {item["reason"]: item for item in outcome["reasons"]}
    notes = [row for row in rows if row["source"] == "notes"]
    short = [row for row in notes if "short" in row["reasons"]]
    assert 0 < len(short) < len(notes) == 12
    assert (found["short"]["tested"], found["short"]["failing"]) == (12, len(short))
    # what a table that is not exhaustive rejects does not come to the next one
    came = [row for row in rows if exhaustive or row not in short]
    assert found["repeats"]["tested"] == len(came) == (42 if exhaustive else 42 - len(short))
    measured = [row for row in rows if row["gopher_repetition.top_2_gram"] is not None]
    assert len(measured) == len(came)
    assert found["repeats"]["failing"] == sum("repeats" in row["reasons"] for row in rows)
    for panel in outcome["panels"]:
        reason = found[panel["thresholds"][0]["reason"]]
        failing, passing = sum(panel["failing"]), sum(panel["passing"])
        assert (failing, failing + passing) == (reason["failing"], reason["tested"])
    flat = " ".join(page.split())
    assert "by every rule, so that all failures are known" not in flat
    assert ("each by every rule that is for it" in flat) == exhaustive


def test_time_and_memory_are_those_of_the_receipts(
    report: tuple[dict[str, Any], str], finished: str
) -> None:
    value, page = report
    steps = {(item["stage"], item["step"]): item for item in value["usage"]}
    assert {stage for stage, _ in steps} >= {"extract", "filter", "tokenizer", "mix"}
    assert {("deduplicate", "exact"), ("deduplicate", "deduplicate")} <= set(steps)
    assert ("extract", "extract") not in steps
    for (stage, step), item in steps.items():
        below = "**" if not step else "." if step == stage else step
        receipts = [
            json.loads(path.read_text())["usage"]
            for path in Path(finished, stage).glob(f"{below}/receipts/*.json".removeprefix("./"))
        ]
        assert item["tasks"] == len(receipts) > 0
        assert item["wall_seconds"] == pytest.approx(
            sum(r["wall_seconds"] for r in receipts), abs=0.01
        )
        assert item["cpu_seconds"] == pytest.approx(
            sum(r["cpu_seconds"] for r in receipts), abs=0.01
        )
        assert item["longest_seconds"] == max(r["wall_seconds"] for r in receipts)
        assert item["peak_bytes"] == max(r["peak_bytes"] for r in receipts) > 1 << 20
    assert "What tasks took" in page


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "40 ms"), (9.94, "9.9 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert formats.duration(seconds) == shown
