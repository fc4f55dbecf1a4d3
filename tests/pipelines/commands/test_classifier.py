"""`gristmill classifier`, as a person uses it."""

import json

import pytest

from tests.runs import gristmill

GOOD = "The rate at which {} changes depends on temperature, and so does its energy."
BAD = "CLICK HERE for FREE {}!!! Limited offer, act now!!!"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with two sets and a model fitted on them."""
    path = tmp_path_factory.mktemp("classifier")
    for name, form in (("good", GOOD), ("bad", BAD)):
        rows = [
            {"id": f"{name}{book}_{page}", "text": form.format(f"thing {book} {page}")}
            for book in range(30)
            for page in range(3)
        ]
        (path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = [f"--set=good={path}/good.jsonl", f"--set=bad={path}/bad.jsonl"]
    more = ["--survival", ".1", "--group", "id", "--kept", "1000", "--epochs", "10"]
    result = gristmill("classifier", "fit", *sets, *more, "--output", f"{path}/q.ftz")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stderr)["held_out"]["area_under_roc"] == 1
    return path


def test_the_card_tells_of_the_data(folder):
    card = json.loads((folder / "q.json").read_text())
    good, bad = card["data"]
    assert (good["label"], good["texts"], bad["texts"]) == ("good", 90, 90)
    assert good["path"] == f"{folder}/good.jsonl"
    # pages of a book are on one side
    assert all(count % 3 == 0 for count in card["fitted_on"].values())
    assert all(count % 3 == 0 for count in card["held_out"]["texts"].values())
    assert (card["settings"]["epoch"], card["settings"]["kept"]) == (10, 1000)


def test_scores_by_the_cards_threshold(folder):
    out = folder / "scores.jsonl"
    words = [f"{folder}/q.ftz", f"{folder}/good.jsonl", f"{folder}/bad.jsonl", "--spans"]
    result = gristmill("classifier", "score", *words, "--output", str(out))
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows[:2]] == ["good0_0", "good0_1"]
    assert all(row["reaches"] for row in rows[:90])
    assert sum(row["reaches"] for row in rows[90:]) < 0.2 * 90
    assert [(each["start"], each["end"]) for each in rows[0]["spans"]] == [
        (0, len(GOOD.format("thing 0 0")))
    ]
    reach = sum(row["reaches"] for row in rows)
    assert result.stderr.startswith("180 records\n")
    assert f"{reach} of them reach the threshold" in result.stderr


def test_figures_of_a_model_and_of_a_word_list(folder):
    sets = [f"--set=bad={folder}/bad.jsonl", f"--set=good={folder}/good.jsonl"]
    for model, area in ((f"{folder}/q.ftz", 0.0), ("bad_words:en", 0.5)):
        result = gristmill("classifier", "evaluate", model, *sets)
        assert result.returncode == 0, result.stderr
        assert json.loads(result.stdout)["area_under_roc"] == area


def test_importance_weights(folder):
    sets = [f"--set=good={folder}/good.jsonl", f"--set=bad={folder}/bad.jsonl"]
    more = ["--with-length", "--survival", ".1", "--output", f"{folder}/w.npz"]
    result = gristmill("classifier", "fit", *sets, *more)
    assert result.returncode == 0, result.stderr
    assert json.loads((folder / "w.json").read_text())["settings"]["with_length"]
    scored = gristmill(
        "classifier", "score", f"{folder}/w.npz", f"{folder}/good.jsonl", "--output", "-"
    )
    assert all(json.loads(line)["reaches"] for line in scored.stdout.splitlines())
    assert "90 of them reach the threshold" in scored.stderr


def test_what_cannot_be_done(folder):
    good = f"--set=good={folder}/good.jsonl"
    for words, message in (
        (["fit", good, "--output", f"{folder}/m.ftz"], "of one label only"),
        (["fit", good, "--output", f"{folder}/m.txt"], "ends in .ftz or .bin"),
        (["fit", good, "--output", f"{folder}/m.ftz", "--epochs", "-1"], "epoch -1: 0 or more"),
        (["fit", good, "--output", f"{folder}/m.ftz", "--group", "no"], "--group no: no row has"),
        (["fit", good, "--output", f"{folder}/m.ftz", "--format", "x"], "--format x: not known"),
        (["fit", good, "--output", f"{folder}/m.npz", "--kept", "9"], "weights know no kept"),
        (["fit", good, "--output", f"{folder}/m.ftz", "--with-length"], "only importance weights"),
        (["fit", "--set", "x", "--output", f"{folder}/m.ftz"], "--set x: write LABEL=PATH"),
        (
            ["score", "bad_words:en", f"{folder}/bad.jsonl", "--spans", "--output", "-"],
            "--spans: the model's card has",
        ),
        (["evaluate", f"{folder}/none.ftz", good], "none.ftz: not a fastText model"),
    ):
        result = gristmill("classifier", *words)
        assert result.returncode == 2, words
        assert message in result.stderr
