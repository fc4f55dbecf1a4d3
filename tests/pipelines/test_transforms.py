"""The steps as Beam transforms, on Beam's own runner here, and on Prism."""

import os
import random
import shutil
from pathlib import Path

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.testing.util import assert_that, equal_to

from curation.tokenization import load_tokenizer
from curation.training import train_tokenizer
from pipelines.transforms import (
    Decontaminate,
    Document,
    ExtractText,
    Filter,
    NearDuplicates,
    Page,
    Redact,
    Rejection,
    TokenizeToShards,
    Verdict,
)
from pipelines.transforms.names import packed
from schemas.mix import Mix
from schemas.problems import Problem
from schemas.shard import read_manifest
from schemas.tokenizer import TrainTokenizer

END = "<|endoftext|>"
WORDS = [
    "mill",
    "grain",
    "stone",
    "water",
    "wheel",
    "flour",
    "sack",
    "river",
    "baker",
    "oven",
    "bread",
    "crust",
]


def sentence(seed: int, words: int = 120) -> str:
    draw = random.Random(seed)
    return " ".join(f"{draw.choice(WORDS)}{draw.randrange(500)}" for _ in range(words)) + "."


DOCUMENTS = [Document(f"{at:032x}", sentence(at), "books" if at % 3 else "web") for at in range(60)]


def on(engine: str):
    """A pipeline on an engine, with coders checked."""
    if engine == "prism":
        binary = os.environ.get("GRISTMILL_PRISM") or shutil.which("prism")
        if not binary:
            pytest.skip("no prism: `make test-engines` installs it")
        words = [f"--prism_location={binary}", "--environment_type=LOOPBACK"]
        return beam.Pipeline(runner=PrismRunner(), options=PipelineOptions(words))
    return beam.Pipeline(runner=FnApiRunner())


@pytest.fixture(params=["direct", pytest.param("prism", marks=pytest.mark.engine)])
def engine(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    spec = TrainTokenizer(vocabulary=512)
    path.write_bytes(train_tokenizer((each.text for each in DOCUMENTS), spec, END, None))
    return path


def test_the_example_of_the_docs(engine, tmp_path, tokenizer, monkeypatch):
    """The code in the README beside the transforms, as it stands there."""
    readme = Path(__file__).parents[2] / "pipelines" / "transforms" / "README.md"
    code = readme.read_text("utf-8").split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    monkeypatch.chdir(tmp_path)
    shutil.copy(tokenizer, "tokenizer.json")
    text = "The mill at the river grinds grain of all the farms around it. " * 12
    pages = "".join(f"<p>{sentence(at, 40)} It is said of the mill. {text}</p>" for at in range(3))
    html = f"<html><body><article>{pages}</article></body></html>".encode()
    given = [Page(f"page {at}", html, f"https://mill.example/{at}") for at in range(3)]
    given.append(Page("nothing", b"<html></html>"))
    names = {"pages": given, "pipeline": on(engine)}
    exec(code, names)
    manifest = read_manifest(tmp_path / "tokens")
    assert manifest.splits["train"].sources["web"].documents == 1
    rejected = [
        line for path in tmp_path.glob("rejected*") for line in path.read_text().splitlines()
    ]
    assert len(rejected) == 1
    assert "nothing" in rejected[0]


def test_pages_become_documents_or_rejections():
    paragraph = "The mill at the river grinds the grain of all the farms around it, day and night. "
    good = Page(
        "good", f"<body><article><p>{paragraph * 9}</article>".encode(), "https://a.example/"
    )
    with on("direct") as pipeline:
        documents, rejected = pipeline | beam.Create([good, Page("empty", b"")]) | ExtractText()
        assert_that(
            documents | beam.Map(lambda d: (d.id, d.text, d.url, d.language)),
            equal_to([("good", (paragraph * 9).strip(), "https://a.example/", "en")]),
        )
        assert_that(
            rejected | "why" >> beam.Map(lambda r: (r.id, r.stage, r.reason)),
            equal_to([("empty", "extract", "empty_body")]),
            label="rejected",
        )


def test_a_chain_keeps_and_rejects():
    rules = {
        "name": "few",
        "rules": [{"signal": "gopher.words", "operator": ">=", "threshold": 20, "reason": "short"}],
    }
    given = [Document("long", sentence(1)), Document("short", "a few words")]
    with on("direct") as pipeline:
        kept, rejected = pipeline | beam.Create(given) | Filter([{"rules": rules}])
        assert_that(kept, equal_to(given[:1]))
        want = Rejection("short", "web", "Filter", "short", "3", "gopher.words >= 20")
        assert_that(rejected, equal_to([want]), label="rejected")


def test_bundled_chains_are_known_and_mistakes_are_told():
    assert Filter("fineweb")
    with pytest.raises(Problem, match="finewep"):
        Filter("finewep")
    with pytest.raises(Problem, match="filter"):
        Filter([{"rulez": "gopher_quality"}])


def test_personal_data_is_replaced():
    given = [Document("a", "Write to jane.roe@mill-company.com about the flour.")]
    with on("direct") as pipeline:
        kept, _ = pipeline | beam.Create(given) | Redact(["EMAIL_ADDRESS"])
        found = kept | beam.Map(lambda d: "jane.roe" in d.text)
        assert_that(found, equal_to([False]))


def test_test_items_are_taken_out(tmp_path):
    from curation.decontamination import Item, build, save

    item = Item("quiz", "1", sentence(3, 40))
    save(build([item]), tmp_path / "index")
    given = [Document("clean", sentence(1)), Document("leak", sentence(2) + " " + item.text)]
    with on("direct") as pipeline:
        kept, rejected = pipeline | beam.Create(given) | Decontaminate(str(tmp_path / "index"))
        assert_that(kept | beam.Map(lambda d: d.id), equal_to(["clean"]))
        assert_that(
            rejected | "why" >> beam.Map(lambda r: (r.id, r.reason)),
            equal_to([("leak", "contaminated")]),
            label="rejected",
        )


@pytest.mark.parametrize("partitions", [1, 7])
def test_near_duplicates_are_in_one_cluster(engine, partitions):
    copies = [
        Document(f"{1000 + 100 * nth + at:032x}", f"{each.text} {WORDS[nth]}")
        for at, each in enumerate(DOCUMENTS[:20])
        for nth in range(1 + at % 3)
    ]
    given = [*DOCUMENTS, *copies]
    random.Random(partitions).shuffle(given)
    want = []
    for at, each in enumerate(DOCUMENTS):
        own = [c for c in copies if c.text.startswith(each.text)] if at < 20 else []
        want += [Verdict(d.id, each.id, d.id == each.id) for d in [each, *own]]
    with on(engine) as pipeline:
        found = pipeline | beam.Create(given) | NearDuplicates(partitions=partitions)
        assert_that(found, equal_to(want))


def test_an_id_that_comes_twice_fails_the_pipeline():
    pipeline = on("direct")
    given = [Document("twice", sentence(at)) for at in range(2)]
    pipeline | beam.Create(given) | NearDuplicates()
    with pytest.raises(Exception, match="2 documents have the id twice"):
        pipeline.run()


def shards(engine: str, output: Path, given, tokenizer: Path, **options) -> dict[str, bytes]:
    """By name, the shard files that a pipeline wrote, and the manifest."""
    with on(engine) as pipeline:
        mix = Mix(sequence_length=64)
        to_shards = TokenizeToShards(str(output), tokenizer, mix=mix, buckets=3, **options)
        pipeline | beam.Create(given) | to_shards
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted((output / "shards").rglob("*"))
        if path.is_file()
    }


def test_shards_hold_every_document_and_follow_from_them_alone(engine, tmp_path, tokenizer):
    first = shards(engine, tmp_path / "a", DOCUMENTS, tokenizer)
    again = shards("direct", tmp_path / "b", DOCUMENTS[::-1], tokenizer)
    assert first == again
    assert len(first) == 4  # three buckets and the manifest
    assert not (tmp_path / "a" / "tokens").exists()
    manifest = read_manifest(tmp_path / "a")
    assert manifest.splits["train"].sources["books"].documents == 40
    tokens = load_tokenizer(tokenizer.read_bytes(), "", END, None)
    texts: dict[str, list[tuple[int, list[int]]]] = {}
    for name in first:
        if name.endswith(".parquet"):
            for row in pq.read_table(tmp_path / "a" / name).to_pylist():
                starts = [part["start"] for part in row["segments"]]
                for part, end in zip(row["segments"], [*starts[1:], row["length"]], strict=True):
                    ids = row["input_ids"][part["start"] : end]
                    held = texts.setdefault(part["document_id"].hex(), [])
                    held.append((part["document_offset"], ids))
    for each in DOCUMENTS:
        ids = [one for _, some in sorted(texts.pop(each.id)) for one in some]
        assert tokens.tokenizer.decode(ids[:-1]) == each.text
        assert ids[-1] == tokens.end_of_text
    assert not texts


def test_shards_are_never_overwritten(tmp_path, tokenizer):
    (tmp_path / "shards").mkdir()
    with pytest.raises(Problem, match="holds shards already"):
        TokenizeToShards(str(tmp_path), tokenizer)
    with pytest.raises(Problem, match="cannot be read"):
        TokenizeToShards(str(tmp_path / "new"), tmp_path / "none.json")


def test_any_string_is_an_id():
    assert packed("0f" * 16) == bytes.fromhex("0f" * 16)
    assert len(packed("my own id")) == 16
    assert packed("my own id") != packed("my own ID")
