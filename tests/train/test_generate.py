from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from schemas.problems import Problem
from tests.train.conftest import ALONE, Run, feed_of
from train import parallel
from train.cli import main
from train.commands import run as command
from train.config import Config, load
from train.generate import Choice, choose, continuation, generate, open_trained
from train.model import Decoder
from train.tasks import Question, answer, pack, read_questions


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(request: pytest.FixtureRequest, run: Run, small: Config) -> Decoder:
    config = small
    if request.param == "gpt2":
        gpt2 = load("tiny-gpt2", {"model.layers": 2, "model.context": 128}).model
        config = small.model_copy(update={"model": gpt2})
    return parallel.build(config, run.manifest.tokenizer.vocabulary, ALONE)


def test_the_cache_changes_nothing(model: Decoder) -> None:
    prompts = torch.randint(2, 800, (3, 9), generator=torch.Generator().manual_seed(0))
    written = torch.stack(list(generate(model, prompts, 20, Choice(temperature=0))), 1)
    tokens = prompts
    for step in range(20):  # each token with all before it read again
        positions = torch.arange(tokens.shape[1]).expand(3, -1)
        with torch.no_grad():
            logits = model(tokens, positions, torch.zeros_like(tokens))[:, -1]
        likeliest = logits[:, : model.vocabulary].argmax(1)
        assert torch.equal(written[:, step], likeliest)
        tokens = torch.cat([tokens, likeliest[:, None]], 1)


def test_what_is_drawn_keeps_to_the_likeliest() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.5, 0.15, 0.25]]))
    generator = torch.Generator().manual_seed(0)

    def drawn(*options: float | None) -> dict[int, float]:
        ids = choose(logits.expand(4000, -1), Choice(1.0, *options), generator)  # type: ignore[arg-type]
        return {i: n / 4000 for i, n in enumerate(ids.bincount(minlength=4).tolist()) if n}

    assert drawn(None, None) == pytest.approx({0: 0.1, 1: 0.5, 2: 0.15, 3: 0.25}, abs=0.03)
    assert drawn(2, None) == pytest.approx({1: 2 / 3, 3: 1 / 3}, abs=0.03)
    assert drawn(None, 0.7) == pytest.approx({1: 2 / 3, 3: 1 / 3}, abs=0.03)
    assert drawn(None, 0.4) == {1: 1.0}


def test_a_choice_costs_what_it_costs_alone(run: Run, model: Decoder, small: Config) -> None:
    from tokenizers import Tokenizer

    settings = run.manifest.tokenizer
    tokenizer = Tokenizer.from_file(str(run.shards / settings.path))
    texts = ["The for statement is", "", "An object is " + "very " * 300 + "old and"]
    choices = ("used to iterate", "a class", "x", "unicode ☃ é")
    questions = [Question(text, choices, 0) for text in texts]
    costs = []
    for question in questions:
        for choice in question.choices:
            before = tokenizer.encode(question.text).ids or [settings.end_of_text]
            after = tokenizer.encode(" " + choice).ids
            ids = torch.tensor([[*before, *after][-128:]])
            with torch.no_grad():
                logits = model(ids, torch.arange(ids.shape[1])[None], torch.zeros_like(ids))
            chances = logits[0, -len(after) - 1 : -1].log_softmax(-1)
            costs.append(-chances[range(len(after)), after].sum().item())
    sizes = [len(choice.encode()) for choice in choices]
    for start in range(0, len(costs), 4):
        part = costs[start : start + 4]
        for by_length in (False, True):
            scores = [c / s if by_length else c for c, s in zip(part, sizes, strict=True)]
            best = scores.index(min(scores))
            for number in range(4):
                asked = [Question(texts[start // 4], choices, number)]
                task = pack(asked, tokenizer, settings, 128)
                found = answer(model, task, ALONE, feed_of(run, small, 2))
                right = found.accuracy_by_length if by_length else found.accuracy
                assert right == (number == best)


def test_questions_are_read_as_they_are_published(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    lines = [
        {"text": "Which?", "choices": ["a", "b", "c"], "answer": "C", "id": "1"},
        {"text": "He", "choices": ["runs", "sits"], "answer": "0"},
        {"text": "He", "choices": ["runs", "sits"], "answer": 1},
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert [q.answer for q in read_questions(path)] == [2, 0, 1]
    wrong = {
        '{"text": "x"}': "line 1: not a question with choices .no 'choices'",
        '{"text": "x", "choices": ["a", "b"], "answer": "E"}': "answer E is none of 2 choices",
        '{"text": "x", "choices": ["a", "b"], "answer": "-1"}': "answer -1 is none",
        '{"text": 3, "choices": ["a", "b"], "answer": 0}': "must be strings",
        "[1]": "not a question",
        "{": "not a question",
        "": "holds no questions",
    }
    for text, message in wrong.items():
        path.write_text(text)
        with pytest.raises(Problem, match=message):
            read_questions(path)
    with pytest.raises(Problem, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl.gz")


def test_a_trained_model_writes_and_answers(
    run: Run, small_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, questions = tmp_path / "model", tmp_path / "q.jsonl"
    # Endings that code has, and endings that nothing has.
    pairs = [("def __init__(self", ", "), ("import", " "), ("return", " "), ("self", ".")]
    texts = [{"text": a, "choices": ["Ω ≈ ç √", b + "x"], "answer": "B"} for a, b in pairs]
    questions.write_text("\n".join(map(json.dumps, texts)))
    asked = ["--set", f"evaluation.tasks=[{questions}]", "--steps", "30"]
    assert main([str(run.path), "--output", str(output), "--preset", str(small_yaml), *asked]) == 0
    log = [json.loads(line) for line in (output / "steps.jsonl").read_text().splitlines()]
    told = [line for line in log if line["kind"] == "task"][-1]
    assert (told["task"], told["questions"]) == ("q.jsonl", 4)
    capsys.readouterr()
    assert command("answer", [str(output), str(questions)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {key: told[key] for key in found}
    assert found["accuracy"] >= 0.75
    words = [str(output), "--prompt", "The ", "--tokens", "12", "--seed", "3"]
    assert command("generate", words) == 0
    once = capsys.readouterr().out
    assert once.startswith("The ")
    assert len(once) > 8
    assert command("generate", words) == 0
    assert capsys.readouterr().out == once
    trained = open_trained(output)
    whole = "".join(continuation(trained, "The ", 12, Choice(seed=3)))
    assert once == f"The {whole}\n"
    assert command("generate", [str(tmp_path / "nothing")]) == 2
