"""`gristmill tokenizer`: three kinds are trained, measured, and loaded by Transformers."""

import json
from pathlib import Path

import pytest
import tokenizers

from pipelines.run import Run
from pipelines.stages.tokenizer import Sample, reserved
from schemas.tokenizer import TrainTokenizer
from tests.runs import gristmill

TEXTS = [
    "The mill grinds 12345 sacks.",
    "ψ中文🌾 e\u0301 ▂",
    "\n\n\t  a  b\n",
    "def f(x):\n    return x",
]


@pytest.fixture(scope="module")
def trained(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each kind."""
    found = {}
    for model in ("bpe", "unigram", "wordpiece"):
        found[model] = tmp_path_factory.mktemp("tokenizers") / model
        words = ["--model", model, "--vocabulary", "1024", "--special", "<|user|>"]
        result = gristmill(
            "tokenizer", "train", str(finished), "--output", str(found[model]), *words
        )
        assert result.returncode == 0, result.stderr
    return found


def test_transformers_load_what_was_trained(trained: dict[str, Path]) -> None:
    transformers = pytest.importorskip("transformers")
    for model, folder in trained.items():
        loaded = transformers.AutoTokenizer.from_pretrained(str(folder))
        assert len(loaded) % 128 == 0
        assert loaded.eos_token == "<|end_of_text|>"
        assert loaded.pad_token == "<|padding|>"
        assert loaded.convert_tokens_to_ids("<|user|>") not in (None, loaded.unk_token_id)
        for text in TEXTS if model != "wordpiece" else ():
            assert loaded.decode(loaded.encode(text, add_special_tokens=False)) == text


def test_what_was_trained_is_told(trained: dict[str, Path], finished: Path) -> None:
    for model, name in (("bpe", "BPE"), ("unigram", "Unigram"), ("wordpiece", "WordPiece")):
        out = gristmill("tokenizer", "show", str(trained[model])).stdout
        assert f"model       {name}\nvocabulary  1,024\n" in out
        assert ("tiktoken" in out) == (model == "bpe")
    out = gristmill("tokenizer", "show", str(finished), "--text", "a <|end_of_text|>").stdout
    assert "'<|end_of_text|>'" not in out


def test_the_measures_are_those_of_the_texts(trained: dict[str, Path], finished: Path) -> None:
    run = Run.open(str(finished))
    texts = [text for batch in run.documents() for text in batch["text"].to_pylist()]
    for model, folder in trained.items():
        words = ("tokenizer", "evaluate", str(folder), str(finished), "--json")
        rows = [json.loads(line) for line in gristmill(*words).stdout.splitlines()]
        (total,) = [row for row in rows if row["source"] == "all"]
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
        size = sum(len(text.encode()) for text in texts)
        assert total["documents"] == len(texts)
        assert total["bytes_per_token"] == pytest.approx(size / tokens)
        assert total["fertility"] == pytest.approx(tokens / sum(len(t.split()) for t in texts))
        assert total["round_trip"] == (model != "wordpiece")
        assert {row["language"] for row in rows} == {"", "en"}
    few = gristmill("tokenizer", "evaluate", str(finished), str(finished), "--documents", "9")
    assert 0 < int(few.stdout.splitlines()[1].split()[2]) < 30


def test_a_sentencepiece_model_is_imported(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    transformers = pytest.importorskip("transformers")
    with (tmp_path / "own.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 50), model_writer=file, vocab_size=400,
            byte_fallback=True, hard_vocab_limit=False, minloglevel=2,
        )  # fmt: skip
    own, folder = str(tmp_path / "own.model"), str(tmp_path / "folder")
    result = gristmill("tokenizer", "import", own, "--output", folder, "--begin", "<s>")
    assert result.returncode == 0, result.stderr
    assert "model       Unigram\n" in result.stdout
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    assert (loaded.bos_token, loaded.eos_token, loaded.unk_token) == ("<s>", "</s>", "<unk>")
    theirs = sentencepiece.SentencePieceProcessor(model_file=own)
    for text in TEXTS:
        assert loaded.encode(text, add_special_tokens=False) == theirs.encode(text)
    assert "  'h'\n" in gristmill("tokenizer", "show", own, "--text", "The").stdout
    (tmp_path / "own.model").write_bytes(b"\n\xff\xff")
    for words in (("import", own, "--output", str(tmp_path / "other")), ("show", own)):
        result = gristmill("tokenizer", *words)
        assert result.returncode == 2
        assert "own.model: not a SentencePiece model, or damaged" in result.stderr
    assert not (tmp_path / "other").exists()


def test_what_is_held_out_trains_no_tokenizer(finished: Path) -> None:
    run = Run.open(str(finished))
    limits = reserved(run.context)
    columns = ("source", "holdout", "text")
    rows = [row for batch in run.documents(columns=columns) for row in batch.to_pylist()]
    held = [row["text"] for row in rows if row["holdout"] < limits[row["source"]]]
    whole = Sample(run.context, TrainTokenizer())
    texts = list(whole)
    assert held
    assert sorted([*held, *texts]) == sorted(row["text"] for row in rows)
    assert list(whole) == texts
    assert whole.bytes == {"web": sum(len(text.encode()) for text in texts)}
    part = list(Sample(run.context, TrainTokenizer(sample_bytes=100_000)))
    assert 50_000 < sum(len(text.encode()) for text in part) < 200_000
    assert set(part) < set(texts)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vocabulary", "1000"], "multiple of 128"),
        (["--weight", "web"], "write SOURCE=SHARE"),
        (["--weight", "books=1"], "the run has no such source"),
        (["--special", "<|padding|>"], "choose different names"),
    ],
)
def test_what_cannot_be_trained_is_told(
    finished: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    output = str(tmp_path / "out")
    result = gristmill("tokenizer", "train", str(finished), "--output", output, *words)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_is_written_over(trained: dict[str, Path], finished: Path, tmp_path: Path) -> None:
    result = gristmill("tokenizer", "train", str(finished), "--output", str(trained["bpe"]))
    assert result.returncode == 2
    assert "holds a tokenizer" in result.stderr
    result = gristmill("tokenizer", "show", str(tmp_path))
    assert "no tokenizer here" in result.stderr
