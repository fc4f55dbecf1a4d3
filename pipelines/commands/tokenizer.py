"""`gristmill tokenizer`: train one on the curated text of a run, import, measure, look at it."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

from pipelines.commands.parsing import Add, adder, bytes_of
from schemas.problems import Problem

if TYPE_CHECKING:
    import tokenizers

    from pipelines.runs.store import Folder


def add_tokenizer(add: Add) -> None:
    """Add `tokenizer` and its actions."""
    tokenizer = add(
        "tokenizer",
        "Train, import, measure or show a tokenizer.",
        "gristmill tokenizer train runs/one --output tokenizers/one",
        lambda _: 0,
    )
    act = adder(tokenizer, "ACTION")
    train = act(
        "train",
        "Train a tokenizer on a sample of the curated text of a run, without what is held out.",
        "gristmill tokenizer train runs/one --output tokenizers/one --vocabulary 65536",
        _train,
    )
    train.add_argument("run", metavar="RUN", help="a run up to its stage `curate`, or further")
    train.add_argument("--output", required=True, metavar="FOLDER", help="for Hugging Face")
    train.add_argument(
        "--model",
        choices=("bpe", "unigram", "wordpiece"),
        default="bpe",
        help="bpe (default): by bytes; unigram: as SentencePiece, with bytes for what it does not "
        "know; wordpiece: as BERT",
    )
    train.add_argument("--vocabulary", type=int, default=32_768, help="ids, x 128 (default 32768)")
    train.add_argument(
        "--sample", type=bytes_of, default=1 << 30, help="bytes of text, such as 4G (default 1G)"
    )
    train.add_argument(
        "--weight",
        action="append",
        default=[],
        metavar="SOURCE=SHARE",
        help="share of a source in the sample; without, as much as there is",
    )
    train.add_argument("--digits", type=int, choices=(1, 3), default=3, help="in a token at most")
    train.add_argument("--nfc", action="store_true", help="compose characters first")
    train.add_argument(
        "--special", action="append", default=[], metavar="NAME", help="a further special token"
    )
    train.add_argument("--begin", metavar="NAME", help="token that opens a document")
    import_ = act(
        "import",
        "Write a SentencePiece model, or a tokenizer.json, as a folder for Hugging Face.",
        "gristmill tokenizer import spiece.model --output tokenizers/theirs --end '</s>'",
        _import,
    )
    import_.add_argument("file", metavar="FILE", help="a `.model` (unigram or BPE), or JSON")
    import_.add_argument("--output", required=True, metavar="FOLDER", help="for Hugging Face")
    import_.add_argument("--end", default="</s>", metavar="NAME", help="end of text (default </s>)")
    import_.add_argument("--begin", metavar="NAME", help="token that opens a document")
    evaluate = act(
        "evaluate",
        "Measure a tokenizer on the curated text of a run, by source and language.",
        "gristmill tokenizer evaluate tokenizers/one runs/one",
        _evaluate,
    )
    evaluate.add_argument("tokenizer", help="a folder, a tokenizer.json, a .model, or a run")
    evaluate.add_argument("run", metavar="RUN", help="a run up to its stage `curate`, or further")
    evaluate.add_argument(
        "--documents", type=int, default=10_000, help="about so many, by a hash (default 10000)"
    )
    evaluate.add_argument("--json", action="store_true", help="an object a line, no table")
    show = act(
        "show",
        "Show what a tokenizer is, or how it cuts a text.",
        "gristmill tokenizer show tokenizers/one --text 'The mill'",
        _show,
    )
    show.add_argument("tokenizer", help="a folder, a tokenizer.json, a .model, or a run")
    show.add_argument("--text", help="encode this")


def _train(options: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from curation.training import hugging_face, train_tokenizer
    from pipelines.commands.progress import say
    from pipelines.run import Run
    from pipelines.stages.tokenizer import Sample
    from schemas.tokenizer import TrainTokenizer

    weights = {}
    for text in options.weight:
        source, _, share = text.partition("=")
        try:
            weights[source] = float(share)
        except ValueError:
            raise Problem("write SOURCE=SHARE, such as web=3", f"--weight {text}") from None
    try:
        spec = TrainTokenizer(
            model=options.model,
            vocabulary=options.vocabulary,
            sample_bytes=options.sample,
            weights=weights or None,
            digits=options.digits,
            nfc=options.nfc,
            special=tuple(options.special),
        )
    except ValidationError as error:
        raise Problem(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    home = _new(options.output)
    run = Run.open(options.run)
    if "curate" not in run.stages:
        raise Problem("has no curated text yet", options.run, "`gristmill run ... --until curate`")
    if unknown := set(weights) - {item.source for item in run.recipe.inputs}:
        raise Problem("the run has no such source", f"--weight {min(unknown)}")
    home.make()
    end = run.recipe.tokenizer.end_of_text
    texts = Sample(run.context, spec)
    data = train_tokenizer(texts, spec, end, options.begin)
    home.write_listed(hugging_face(data, end, options.begin))
    for source, size in sorted(texts.bytes.items()):
        say(f"{source:<12}{size:>15,} bytes of text")
    print(_about(_read(options.output)))
    return 0


def _import(options: argparse.Namespace) -> int:
    from curation.sentencepiece import as_json
    from curation.tokenization import load_tokenizer
    from curation.training import hugging_face

    home = _new(options.output)
    try:
        with open(options.file, "rb") as stream:
            data = as_json(stream.read(), options.file)
    except OSError as error:
        raise Problem(str(error.strerror), options.file) from None
    load_tokenizer(data, options.file, options.end, options.begin)
    home.make()
    home.write_listed(hugging_face(data, options.end, options.begin))
    print(_about(_read(options.output)))
    return 0


def _new(output: str) -> Folder:
    """The folder for a tokenizer. Raises Problem if it holds one."""
    from pipelines.runs.store import Folder

    home = Folder(output)
    if home.exists("tokenizer.json"):
        raise Problem("holds a tokenizer", output, "give a new folder")
    return home


def _evaluate(options: argparse.Namespace) -> int:
    from curation.keys import key64
    from curation.token_measures import Measures, measure
    from pipelines.run import Run

    tokenizer, run = _read(options.tokenizer), Run.open(options.run)
    if "curate" not in run.stages:
        raise Problem("has no curated text yet", options.run, "`gristmill run ... --until curate`")
    limit = (options.documents << 64) // max(1, run.stages["curate"].kept)
    found: dict[tuple[str, str], Measures] = {}
    for batch in run.documents(columns=("id", "source", "language", "text")):
        rows = [
            row
            for row in batch.to_pylist()
            if key64(run.recipe.seed, "evaluate", row["id"]) < limit
        ]
        measures = measure(tokenizer, [row["text"] for row in rows])
        for row, own in zip(rows, measures, strict=True):
            for key in ((row["source"], row["language"] or ""), ("all", "")):
                found.setdefault(key, Measures()).add(own)
    if not options.json:
        heads = ("documents", "bytes/token", "fertility", "unknown", "round trip")
        print(f"{'source':<12}{'language':<10}", *(f"{head:>11}" for head in heads))
    for (source, language), own in sorted(found.items(), key=lambda item: -item[1].documents):
        values = {
            "bytes_per_token": own.bytes_per_token,
            "fertility": own.fertility,
            "unknown_rate": own.unknown_rate,
            "round_trip": own.round_trip,
        }
        if options.json:
            place = {"source": source, "language": language, "documents": own.documents}
            print(json.dumps({**place, **values}, ensure_ascii=False))
        else:
            cells = (f"{value:>11.4f}" for value in values.values())
            print(f"{source:<12}{language:<10} {own.documents:>11,}", *cells)
    return 0


def _show(options: argparse.Namespace) -> int:
    tokenizer = _read(options.tokenizer)
    if options.text is None:
        print(_about(tokenizer))
        return 0
    tokenizer.encode_special_tokens = True
    encoding = tokenizer.encode(options.text, add_special_tokens=False)
    for number, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
        print(f"{number:>8}  {options.text[start:end]!r}")
    return 0


def _read(path: str) -> tokenizers.Tokenizer:
    """The tokenizer of a folder, a file or a run. Raises Problem."""
    import tokenizers

    from curation.sentencepiece import as_json

    places = (path, f"{path}/tokenizer.json", f"{path}/tokenizer/tokenizer.json")
    for place in places:
        if os.path.isfile(place):
            with open(place, "rb") as stream:
                data = as_json(stream.read(), place)
            try:
                return tokenizers.Tokenizer.from_str(data.decode())
            except Exception as error:  # the library raises bare Exceptions
                raise Problem(f"not a tokenizer.json: {error}", place) from None
    raise Problem("no tokenizer here", path, "give a folder, a tokenizer.json, or a run")


def _about(tokenizer: tokenizers.Tokenizer) -> str:
    """What a tokenizer is."""
    from curation.ranks import ranks_of

    config: dict[str, Any] = json.loads(tokenizer.to_str())
    added = tokenizer.get_added_tokens_decoder()
    special = [token.content for _, token in sorted(added.items()) if token.special]
    named = [name for name in special if not name.startswith("<|reserved_")]
    cut = config["pre_tokenizer"] or {"type": "none"}
    steps = [step["type"] for step in cut.get("pretokenizers", [cut])]
    is_bytes = config["model"]["type"] == "BPE" and "ByteLevel" in steps
    quick = is_bytes and ranks_of(tokenizer.to_str()) is not None
    rows = {
        "model": config["model"]["type"],
        "vocabulary": f"{tokenizer.get_vocab_size():,}",
        "special": f"{len(special)}: {', '.join(named[:12])}",
        "normalizer": (config["normalizer"] or {"type": "none"})["type"],
        "words": " ".join(steps),
        "encoded by": "tiktoken" if quick else "tokenizers",
    }
    return "\n".join(f"{name:<12}{value}" for name, value in rows.items())
