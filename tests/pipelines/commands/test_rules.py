"""`gristmill rules`."""

import json
import re
from pathlib import Path

import pytest

from curation.chain import Chain
from curation.edits import EDITS
from curation.measures import MEASURES
from curation.rules import chain_names, table_names
from pipelines.commands.filtering import Filtering, chain_of
from pipelines.report import rules
from pipelines.report.rules import explain, listing, show
from pipelines.runs.events import ignore
from pipelines.runs.inputs import Rows, inputs_of
from pipelines.runs.rows import batches
from schemas.problems import Problem
from tests.runs import gristmill


def texts(folder: Path, all_: list[str]) -> str:
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in all_))
    return str(path)


def spread(signal: str, path: str, chain: Chain | None = None) -> str:
    """How a signal is spread over the texts of a file."""
    measuring = rules.measuring(signal, chain)
    every = batches(inputs_of([path], {"columns": Rows()}), lambda row: None, ignore)
    judged = (outcome for batch in every for _, outcome in Filtering(measuring)(batch))
    return rules.spread(signal, [outcome.signals[signal] for outcome in judged], "somewhere")


def test_the_list_has_every_chain_table_edit_and_family():
    lines = listing().splitlines()
    assert max(map(len, lines)) <= 100
    families = {re.sub("(?<=^bad_words_).*", "LANGUAGE", name) for name in MEASURES}
    for name in (*chain_names(), *table_names(), *EDITS, *families):
        assert any(line.startswith(f"  {name} ") for line in lines)
    assert "-" not in {line.split()[-1] for line in lines if line}  # none without a description


@pytest.mark.parametrize("name", [*chain_names(), *table_names()])
def test_a_chain_is_shown_with_every_rule(name):
    text = show(name)
    assert max(map(len, text.splitlines())) <= 100
    for step in chain_of(name)._steps:
        for row in getattr(step, "rules", ()):
            number = f"{row.threshold:.9g}"
            assert f"{row.signal} {row.operator} {number} " in text
            assert row.reason in text


@pytest.mark.parametrize("family", [*MEASURES, *EDITS])
def test_a_family_is_explained_by_its_signals(family):
    text = explain(family)
    owner = MEASURES.get(family) or EDITS[family]
    assert max(map(len, text.splitlines())) <= 100
    assert all(f"\n{signal}\n  " in text for signal in owner.signals)
    assert ("Edit: " in text) is (family in EDITS)


def test_a_chain_that_stops_says_so(tmp_path):
    (tmp_path / "chain.yaml").write_text("exhaustive: false\nchain: [{rules: mc4}]\n")
    assert "exhaustive: false" in show(str(tmp_path / "chain.yaml"))
    assert "exhaustive" not in show("mc4")


def test_groups_and_scopes_are_shown(tmp_path):
    (tmp_path / "chain.yaml").write_text(
        "chain:\n- languages: [de, fr]\n  sources: [news]\n  rules:\n    name: own\n    rules:\n"
        "    - any:\n"
        "      - {signal: gopher.words, operator: '>=', threshold: 5}\n"
        "      - all:\n"
        "        - {signal: gopher.words, operator: '>', threshold: 1}\n"
        "        - {signal: gopher.hash_ratio, operator: '<', threshold: 0.5}\n"
        "      reason: few\n"
    )
    lines = show(str(tmp_path / "chain.yaml")).splitlines()
    assert lines[-4].startswith("rules own (of de, fr; news)")
    assert lines[-3].split() == ["any", "of", "few"]
    assert lines[-2] == "    gopher.words >= 5"
    assert lines[-1] == "    gopher.words > 1 and gopher.hash_ratio < 0.5"


def test_every_signal_is_explained():
    for owner in (*MEASURES.values(), *EDITS.values()):
        for signal, formula in zip(owner.signals, owner.formulas.values(), strict=True):
            text = explain(signal)
            assert max(map(len, text.splitlines())) <= 100
            assert " ".join(formula.split()) in " ".join(text.split())
            assert " ".join(owner.source.split()) in " ".join(text.split())


def test_a_signal_is_explained_with_those_who_judge_by_it():
    lines = explain("gopher.words").splitlines()
    rows = [line.split() for line in lines if line.startswith("  gopher_quality")]
    assert [row[1:4] for row in rows] == [
        [">=", "50", "gopher_short_doc"],
        ["<=", "100000", "gopher_long_doc"],
    ]
    assert all(row[-2:] == ["fineweb,", "gopher"] for row in rows)
    assert "No bundled rule uses it." in explain("redpajama.word_count")


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ("gopher.wrods", "did you mean `words`"),
        ("fineweb.qqqq", "there are lines, line_punct_ratio"),
        ("alpha_words", "there are gopher.alpha_words, fineweb2.alpha_words"),
        ("zzz.zzz", "Signals begin with gopher"),
    ],
)
def test_an_unknown_signal_is_answered_with_the_closest(signal, said):
    with pytest.raises(Problem, match=re.escape(said)):
        explain(signal)


def test_signals_of_a_chains_own_classifiers_are_explained(tmp_path):
    chain = tmp_path / "chain.yaml"
    chain.write_text(
        "classifiers:\n"
        "  books: {model: {file: books.ftz}, label: good, cutoffs: {en: [0.1, 0.2]}}\n"
        "chain:\n"
        "  - rules:\n"
        "      name: own\n"
        "      rules:\n"
        "        - {signal: classifier.books, operator: '>=', threshold: 0.2, reason: no_book}\n"
        "        - {signal: gopher.words, operator: '>=', threshold: 7, reason: short}\n"
    )
    lines = explain("classifier.books", str(chain)).splitlines()
    assert lines[:2] == ["classifier.books", "  Probability of good of the text, by books.ftz."]
    assert f"the model {tmp_path}/books.ftz, named in {chain}" in " ".join(" ".join(lines).split())
    assert lines[-1].split() == ["own", ">=", "0.2", "no_book", "in", str(chain)]
    assert "0 head, 1 middle" in explain("classifier.books.bucket", str(chain))
    assert f">= 7       short             in {chain}" in explain("gopher.words", str(chain))
    with pytest.raises(Problem, match="name that chain's file"):
        explain("classifier.books")
    with pytest.raises(Problem, match="did you mean `books`"):
        explain("classifier.boks", str(chain))


def test_the_spread_counts_every_text(tmp_path):
    # of 1 to 100 words, so that the rule of 50 fails on 49
    path = texts(tmp_path, ["word " * size for size in range(1, 101)])
    text = spread("gopher.words", path)
    assert "Over 100 texts" in text
    assert re.search(r"49\.0% fail >= 50 +gopher_quality", text)
    assert re.search(r"0% fail <= 100,000", text)
    bars = re.findall(r" to \S+ #* +([\d,]+)(?:  <.*)?$", text, re.M)
    assert sum(map(int, bars)) == 100
    quantiles = next(line for line in text.splitlines() if line.split()[:1] == ["1"])
    assert quantiles.split()[0] == "1"
    assert quantiles.split()[-1] == "100"


def test_the_spread_of_a_chain_is_of_its_edited_text(tmp_path):
    path = texts(tmp_path, ["no\n" * 5 + "Three words here. And four more words.\n"] * 3)
    raw = spread("fineweb.lines", path)
    edited = spread("fineweb.lines", path, chain_of("fineweb", languages={}))
    assert [text.splitlines()[4].split() for text in (raw, edited)] == [["6"] * 9, ["1"] * 9]
    # an edit's own signal needs no chain; one that the chain has not is told
    assert "Over 3 texts" in spread("c4_lines.kept_lines", path)
    with pytest.raises(Problem, match="no signal of these rules"):
        spread("nemo.ellipsis", path, chain_of("gopher"))


def test_the_command_says_how_to_get_a_spread(tmp_path):
    result = gristmill("rules", "explain", "gopher.alpha_words")
    assert result.returncode == 0, result.stderr
    assert "--sample pages.jsonl" in result.stdout
    sample = texts(tmp_path, ["a few words"])
    result = gristmill("rules", "explain", "gopher.alpha_words", "--sample", sample)
    assert "Over 1 texts" in result.stdout
