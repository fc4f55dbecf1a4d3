"""The commands that do a step on its own; what does the work is imported when it is needed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, get_args

from pipelines.commands import Add, adder, bytes_of
from schemas.recipe import Extract, Format, Layout

if TYPE_CHECKING:
    from curation.judgement import Chain


def add_commands(add: Add) -> None:
    """Add `extract`, `judge`, `rules`, `dedup`, `language` and `classifier`."""
    _add_extract(add)
    _add_judge(add)
    _add_rules(add)
    _add_dedup(add)
    _add_language(add)
    _add_classifier(add)


def _add_extract(add: Add) -> None:
    extract = add(
        "extract",
        "Find the main text of pages: files in, JSON lines or Parquet out.",
        "gristmill extract crawl/ page.html --output pages.parquet --rejected lost.jsonl",
        _extract,
    )
    _add_files(
        extract,
        "WARC, WET, HTML, JSONL, Parquet, CSV, text, code, tar or zip: a file, a pattern, an "
        "fsspec URL, or a folder, which is searched for WARC files, or else for all of these",
        "a .jsonl (.gz, .zst) or .parquet file",
    )
    extract.add_argument("--rejected", metavar="FILE", help="what is no page, and why")
    extract.add_argument("--recipe", help="take the options of this recipe's `extract`")
    extract.add_argument(
        "--engine",
        choices=get_args(Extract.model_fields["engine"].annotation),
        help="default: blocks",
    )
    extract.add_argument(
        "--favor",
        choices=get_args(Extract.model_fields["favor"].annotation),
        help="which error is worse",
    )
    extract.add_argument("--comments", action="store_true", help="keep readers' comments")
    extract.add_argument(
        "--languages",
        type=lambda text: tuple(part.strip() for part in text.split(",")),
        metavar="LIST",
        help="such as en,de: drop, unread, pages that surely are in none of these",
    )
    extract.add_argument(
        "--format", choices=get_args(Format), help="of all inputs; default: by name and first bytes"
    )
    extract.add_argument(
        "--columns", choices=get_args(Layout), help="layout of rows (default: a column `text`)"
    )
    extract.add_argument("--workers", type=int, default=1, help="extracting processes (default 1)")
    extract.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _add_dedup(add: Add) -> None:
    dedup = add(
        "dedup",
        "Find duplicates among documents: files in, a row for each document out.",
        "gristmill dedup shards/*.parquet --output clusters.parquet --near fineweb --verify .75",
        _dedup,
    )
    _add_files(
        dedup,
        "JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL",
        "a .jsonl (.gz, .zst) or .parquet file of id, cluster, representative, kept, level, cut",
    )
    dedup.add_argument("--recipe", help="take the options of this recipe's `deduplicate`")
    dedup.add_argument(
        "--near",
        metavar="PRESET|B,R,N",
        help="fineweb (default), refinedweb, redpajama, nemo, none; or bands, rows and words of a "
        "shingle, such as 14,8,5 (20,13,24c: of characters)",
    )
    dedup.add_argument("--verify", type=float, help="least similarity of an edge (default .7)")
    dedup.add_argument(
        "--verify-by", choices=("signatures", "shingles"), help="estimated, or true Jaccard"
    )
    dedup.add_argument(
        "--exact", action=argparse.BooleanOptionalAction, help="equal texts (default: yes)"
    )
    dedup.add_argument(
        "--normalised", action=argparse.BooleanOptionalAction, help="equal normalised texts"
    )
    dedup.add_argument("--url", choices=("newest", "best"), help="one page of each URL")
    dedup.add_argument(
        "--pieces",
        metavar="LEVEL[=N],...",
        help="also find, in what is kept, repeated lines, paragraphs, sentences (runs of 3), bloom "
        "(lines by n-grams of 13 words), substring (runs of 50 tokens): `cut` says where",
    )
    dedup.add_argument("--keep", help="longest (default), oldest, newest, smallest_id")
    dedup.add_argument(
        "--against", action="append", metavar="RUN", help="remove what this run or index holds"
    )
    dedup.add_argument("--index", metavar="FOLDER", help="leave an index here for --against")
    _add_rows(dedup)
    dedup.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    dedup.add_argument(
        "--memory", type=bytes_of, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    dedup.add_argument("--quiet", action="store_true", help="no progress, no summary")


def _add_judge(add: Add) -> None:
    judge = add(
        "judge",
        "Judge texts by rules: files in, JSON lines or Parquet out.",
        "gristmill judge --rules fineweb pages.jsonl --output verdicts.parquet",
        _judge,
    )
    _add_rules_option(judge, required=True)
    _add_texts(judge, "a row for each text: id, language, kept, reasons, edited text, signals")
    judge.add_argument(
        "--exhaustive",
        action=argparse.BooleanOptionalAction,
        help="by every rule, or no further than the first table that rejects (default: as the "
        "rules say)",
    )


def _add_rules_option(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """What says by which rules, and of what documents."""
    parser.add_argument(
        "--rules",
        required=required,
        metavar="NAME|FILE",
        help="a bundled chain or table (see `gristmill rules list`), or a YAML file of one",
    )
    parser.add_argument(
        "--languages",
        metavar="LIST",
        help="such as en=.65,de: keep these, with a score that exceeds the number, instead of "
        "those that the rules say; `any` keeps all",
    )
    parser.add_argument(
        "--source", default="", metavar="LABEL", help="of all texts (default: each row's `source`)"
    )


def _add_rules(add: Add) -> None:
    rules = add(
        "rules",
        "Look at rules and the signals that they judge.",
        "gristmill rules explain gopher.alpha_words --sample pages.jsonl",
        lambda _: 0,
    )
    act = adder(rules, "ACTION")
    act(
        "list",
        "List the bundled chains and tables.",
        "gristmill rules list",
        _rules_list,
    )
    show = act("show", "Print a chain or table.", "gristmill rules show fineweb", _rules_show)
    show.add_argument("rules", metavar="NAME|FILE", help="a chain or table, bundled or a YAML file")
    explain = act(
        "explain",
        "Say what a signal is, who judges by it, and how it is spread over texts.",
        "gristmill rules explain gopher.alpha_words --sample pages.jsonl",
        _rules_explain,
    )
    explain.add_argument("signal", metavar="SIGNAL", help="such as gopher.alpha_words")
    explain.add_argument(
        "--sample",
        nargs="+",
        default=[],
        metavar="IN",
        help="texts: JSONL, Parquet and so on, a file, a folder, or a pattern",
    )
    _add_rules_option(explain, required=False)
    _add_reading(explain)


def _add_language(add: Add) -> None:
    language = add(
        "language",
        "Name the languages of texts: files in, JSON lines or Parquet out.",
        "gristmill language pages.jsonl --output languages.parquet --threshold en=.65",
        _language,
    )
    _add_texts(language, "a row for each text: id, language, score, runners_up")
    language.add_argument(
        "--model",
        default="both",
        help="both (default: lid.176, and a second opinion where it is unsure), lid.176 alone, or "
        "a fastText model's file, such as GlotLID's",
    )
    language.add_argument("--top", type=int, default=3, help="languages of a text (default 3)")
    language.add_argument("--paragraphs", action="store_true", help="also name that of each line")
    language.add_argument(
        "--threshold",
        action="append",
        default=[],
        metavar="[LANG=]SCORE",
        help="say whether the score exceeds this, of one language or of all others",
    )


def _add_classifier(add: Add) -> None:
    classifier = add(
        "classifier",
        "Fit, evaluate and use classifiers of texts.",
        "gristmill classifier fit --set good=books.jsonl --set bad=crawl.jsonl --output q.ftz",
        lambda _: 0,
    )
    _add_actions(classifier)


def _add_texts(parser: argparse.ArgumentParser, what: str) -> None:
    """What the steps on their own over texts share."""
    _add_files(
        parser,
        "JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL; `-` is "
        "JSON lines on standard input",
        f"a .jsonl (.gz, .zst) or .parquet file of {what}",
    )
    _add_rows(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")


def _add_files(parser: argparse.ArgumentParser, inputs: str, output: str) -> None:
    parser.add_argument("input", nargs="+", metavar="IN", help=inputs)
    parser.add_argument(
        "--output", required=True, metavar="OUT", help=f"{output}; `-` is standard output"
    )


def _add_rows(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", default="id", metavar="COLUMN", help="what rows are called by")
    _add_layout(parser)


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", help="of all inputs; default: by name and first bytes")
    parser.add_argument("--columns", help="layout of rows, such as fineweb (default text)")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    _add_layout(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")


def _add_actions(parser: argparse.ArgumentParser) -> None:
    """The actions of `gristmill classifier`."""
    add = adder(parser, "ACTION")

    fit = add(
        "fit",
        "Fit a fastText classifier on labelled sets; write it and its card.",
        "gristmill classifier fit --set good=books.jsonl --set bad=crawl.jsonl --output q.ftz",
        _classifier_fit,
    )
    fit.add_argument("--output", required=True, metavar="MODEL", help="a .ftz or .bin file")
    fit.add_argument("--held-out", type=float, default=0.2, help="share for figures (default .2)")
    fit.add_argument(
        "--survival", type=float, help="the card's threshold lets this share of the others through"
    )
    fit.add_argument(
        "--pool",
        action="append",
        default=[],
        metavar="IN",
        help="texts that --survival is a share of, instead of the held-out others",
    )
    fit.add_argument(
        "--group",
        metavar="COLUMN",
        help="never split texts that share this column; of `id`, the part before the last _ / # :",
    )
    fit.add_argument("--epochs", type=int, help="passes over the texts (default: by their number)")
    fit.add_argument(
        "--kept", type=int, help="features in the file, quantised; 0: all (default 100000)"
    )
    evaluate = add(
        "evaluate",
        "Print the figures of a model on labelled sets, as JSON.",
        "gristmill classifier evaluate quality.ftz --set good=books.jsonl --set bad=crawl.jsonl",
        _classifier_evaluate,
    )
    score = add(
        "score",
        "Score texts: files in, JSON lines or Parquet out.",
        "gristmill classifier score quality.ftz pages.jsonl --output scores.parquet",
        _classifier_score,
    )
    for sub in (evaluate, score):
        sub.add_argument(
            "model",
            metavar="MODEL",
            help="a fastText model's file, a KenLM model (.arpa, .klm), or bad_words:LANGUAGE",
        )
        sub.add_argument("--label", help="whose score (default: as the model's card says)")
    for sub in (fit, evaluate):
        sub.add_argument(
            "--set",
            action="append",
            required=True,
            dest="sets",
            metavar="LABEL=PATH",
            help="texts of a label; the label named first is the one that scores high",
        )
        _add_reading(sub)
    _add_texts(score, "id, score, reaches, spans")
    score.add_argument(
        "--threshold", type=float, help="say whether scores reach it (default: as the card says)"
    )
    score.add_argument(
        "--spans", action="store_true", help="also the sentences, words or lines that reach it"
    )


def _extract(options: argparse.Namespace) -> int:
    from pipelines.alone.extract import extract_files

    over = {
        name: value
        for name in ("engine", "favor", "comments", "languages")
        if (value := getattr(options, name))
    }
    ends = extract_files(
        options.input,
        options.output,
        rejected=options.rejected,
        recipe=options.recipe,
        over=over,
        reading=_reading(options),
        workers=options.workers,
        quiet=options.quiet,
    )
    if not options.quiet:
        _tell(ends)
    return 0


def _judge(options: argparse.Namespace) -> int:
    from pipelines.alone.judge import judge_files

    judged = judge_files(
        _chain(options, options.exhaustive),
        options.input,
        options.output,
        source=options.source,
        reading=_reading(options),
        id_column=options.id,
    )
    if not options.quiet:
        print(judged.summary(), file=sys.stderr)
    return 0


def _chain(options: argparse.Namespace, exhaustive: bool | None = None) -> Chain:
    from pipelines.alone.judge import chain_of, languages_of

    languages = None if options.languages is None else languages_of(options.languages)
    return chain_of(options.rules, exhaustive=exhaustive, languages=languages)


def _rules_list(_: argparse.Namespace) -> int:
    from pipelines.alone.rules import listing

    print(listing())
    return 0


def _rules_show(options: argparse.Namespace) -> int:
    from pipelines.alone.rules import show

    print(show(options.rules))
    return 0


def _rules_explain(options: argparse.Namespace) -> int:
    from pipelines.alone.rules import explain, spread

    print(explain(options.signal))
    if options.sample:
        chain = _chain(options) if options.rules else None
        print(spread(options.signal, options.sample, chain, options.source, _reading(options)))
    elif not options.quiet:
        print("\nHow it is spread over texts: --sample pages.jsonl")
    return 0


def _dedup(options: argparse.Namespace) -> int:
    from pipelines.alone.dedup import deduplicate_files, over_of
    from pipelines.runners import Engine

    ends = deduplicate_files(
        options.input,
        options.output,
        recipe=options.recipe,
        over=over_of(vars(options)),
        reading=_reading(options),
        id_column=options.id,
        index=options.index,
        engine=Engine("direct", options.workers, options.memory),
        quiet=options.quiet,
    )
    if not options.quiet:
        _tell(ends)
    return 0


def _reading(options: argparse.Namespace) -> dict[str, str]:
    """`format` and `columns` of the inputs, as far as they are given."""
    return {name: value for name in ("format", "columns") if (value := getattr(options, name))}


def _tell(ends: Mapping[str, int]) -> None:
    """How many records there were, and how they ended."""
    print(f"{sum(ends.values()):,} records", file=sys.stderr)
    for end, count in sorted(ends.items(), key=lambda item: (-item[1], item[0])):
        print(f"{count:>12,} {end}", file=sys.stderr)


def _language(options: argparse.Namespace) -> int:
    from pipelines.alone.language import name_languages, thresholds_of

    ends = name_languages(
        options.input,
        options.output,
        model=options.model,
        count=options.top,
        paragraphs=options.paragraphs,
        thresholds=thresholds_of(options.threshold),
        reading=_reading(options),
        id_column=options.id,
    )
    if not options.quiet:
        _tell(ends)
    return 0


def _classifier_fit(options: argparse.Namespace) -> int:
    import json

    from pipelines.alone.classifier import fit_files

    asked = {"epoch": options.epochs, "kept": options.kept}
    card = fit_files(
        options.sets,
        options.output,
        settings={name: value for name, value in asked.items() if value is not None},
        held_out=options.held_out,
        survival=options.survival,
        pool=options.pool,
        group=options.group,
        reading=_reading(options),
    )
    if not options.quiet:
        told = {name: card[name] for name in ("held_out", "threshold") if name in card}
        print(json.dumps(told, indent=1), file=sys.stderr)
    return 0


def _classifier_evaluate(options: argparse.Namespace) -> int:
    import json

    from pipelines.alone.classifier import evaluate_files

    figures = evaluate_files(
        options.model, options.sets, label=options.label, reading=_reading(options)
    )
    print(json.dumps(figures, indent=1, ensure_ascii=False))
    return 0


def _classifier_score(options: argparse.Namespace) -> int:
    from pipelines.alone.classifier import score_files

    ends = score_files(
        options.model,
        options.input,
        options.output,
        label=options.label,
        threshold=options.threshold,
        spans=options.spans,
        reading=_reading(options),
        id_column=options.id,
    )
    if not options.quiet:
        _tell(ends)
    return 0
