"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from schemas.errors import UserError

if TYPE_CHECKING:
    from pipelines.steps import Manifest

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `gristmill`. Exit status: 0 done, 1 failed, 2 something to mend."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["train"]:
        # the trainer has its own options, and needs nothing of the mill
        os.execv(sys.executable, [sys.executable, "-P", "-m", "train", *words[1:]])  # noqa: S606
    options = _parser().parse_args(words)
    # libraries warn of what a user of this program cannot act on
    logging.getLogger().setLevel(logging.ERROR)
    try:
        status = options.command(options)
    except UserError as error:
        _leave(f"gristmill: {error}", 2)
    except KeyboardInterrupt:
        again = "; the same command goes on from what is done" if words[:1] == ["run"] else ""
        _leave(f"gristmill: interrupted{again}", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:
        if os.environ.get("GRISTMILL_TRACE"):
            raise
        _leave(f"gristmill: {type(error).__name__}: {error}", 1)
    sys.exit(status)


def _leave(message: str, status: int) -> None:
    """Say it and end at once: threads that wait for a dead worker would hold up a normal exit."""
    print(message, file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gristmill",
        description="Mills a web crawl into training tokens, and trains on them.",
        epilog="Example: gristmill run fineweb --input web=crawl --output runs/one --workers 8",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, help_: str, example: str, command: Command) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"Example: {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        return sub

    run = add(
        "run",
        "Run a recipe, or go on with a run.",
        "gristmill run fineweb --input web=crawl --output runs/one --workers 8",
        _run,
    )
    run.add_argument("recipe", help="a bundled recipe's name, or a YAML file")
    run.add_argument("--output", required=True, metavar="RUN", help="folder or URL of the run")
    run.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="SOURCE=PATH",
        help="instead of the recipe's inputs: a file, a pattern such as 'crawl/**/*.jsonl.gz', or "
        "a folder, which is searched for WARC files, or else for all that can be read",
    )
    run.add_argument("--parent", metavar="RUN", help="take over this run's equal stages")
    run.add_argument("--runner", default="direct", help="direct (default) or prism")
    run.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    run.add_argument(
        "--memory", type=_bytes, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    run.add_argument("--quiet", action="store_true", help="no progress")

    from schemas.recipe import Format, Layout

    extract = add(
        "extract",
        "Find the main text of pages: files in, JSON lines or Parquet out.",
        "gristmill extract crawl/ page.html --output pages.parquet --rejected lost.jsonl",
        _extract,
    )
    extract.add_argument(
        "input",
        nargs="+",
        metavar="IN",
        help="WARC, WET, HTML, JSONL, Parquet, CSV, text, code, tar or zip: a file, a pattern, an "
        "fsspec URL, or a folder, which is searched for WARC files, or else for all of these",
    )
    extract.add_argument(
        "--output",
        required=True,
        metavar="OUT",
        help="a .jsonl (.gz, .zst) or .parquet file; `-` is standard output",
    )
    extract.add_argument("--rejected", metavar="FILE", help="what is no page, and why")
    extract.add_argument("--recipe", help="take the options of this recipe's `extract`")
    extract.add_argument(
        "--engine", choices=("blocks", "trafilatura", "resiliparse"), help="default: blocks"
    )
    extract.add_argument(
        "--favor", choices=("balanced", "precision", "recall"), help="which error is worse"
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

    dedup = add(
        "dedup",
        "Find duplicates among documents: files in, a row for each document out.",
        "gristmill dedup shards/*.parquet --output clusters.parquet --near fineweb --verify .75",
        _dedup,
    )
    dedup.add_argument(
        "input",
        nargs="+",
        metavar="IN",
        help="JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL",
    )
    dedup.add_argument(
        "--output",
        required=True,
        metavar="OUT",
        help="a .jsonl (.gz, .zst) or .parquet file of id, cluster, representative, kept, level; "
        "`-` is standard output",
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
    dedup.add_argument("--keep", help="longest (default), oldest, newest, smallest_id")
    dedup.add_argument(
        "--against", action="append", metavar="RUN", help="remove what this run or index holds"
    )
    dedup.add_argument("--index", metavar="FOLDER", help="leave an index here for --against")
    dedup.add_argument("--id", default="id", metavar="COLUMN", help="what rows are called by")
    dedup.add_argument("--format", help="of all inputs; default: by name and first bytes")
    dedup.add_argument("--columns", help="layout of rows, such as fineweb (default text)")
    dedup.add_argument("--workers", type=int, default=1, help="worker processes (default 1)")
    dedup.add_argument(
        "--memory", type=_bytes, default=2 << 30, help="for shuffles, such as 4G (default 2G)"
    )
    dedup.add_argument("--quiet", action="store_true", help="no progress, no summary")

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

    classifier = add(
        "classifier",
        "Fit, evaluate and use classifiers of texts.",
        "gristmill classifier fit --set good=books.jsonl --set bad=crawl.jsonl --output q.ftz",
        lambda _: 0,
    )
    _add_classifier(classifier)

    report = add(
        "report",
        "Write the report of a run: one HTML page and its JSON.",
        "gristmill report runs/one",
        _report,
    )
    report.add_argument("run", metavar="RUN", help="folder of the run")
    report.add_argument("--output", metavar="FOLDER", help="default: RUN/report")

    recipe = add("recipe", "Look at recipes.", "gristmill recipe show fineweb", lambda _: 0)
    actions = recipe.add_subparsers(metavar="ACTION", required=True)
    for name, help_, command in (
        ("list", "List the bundled recipes.", _recipe_list),
        ("show", "Print a recipe with all that it extends and all defaults.", _recipe_show),
        ("validate", "Check a recipe and say everything that is wrong.", _recipe_validate),
        ("schema", "Print the JSON Schema of recipes, for editors.", _recipe_schema),
    ):
        takes_name = name in ("show", "validate")
        sub = actions.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"Example: gristmill recipe {name}{' fineweb' if takes_name else ''}",
        )
        sub.set_defaults(command=command)
        if takes_name:
            sub.add_argument("recipe", help="a bundled recipe's name, or a YAML file")

    train = commands.add_parser("train", help="Train a model on a run's shards.", add_help=False)
    train.set_defaults(command=lambda _: 0)
    return parser


def _add_texts(parser: argparse.ArgumentParser, what: str) -> None:
    """What the steps on their own over texts share."""
    parser.add_argument(
        "input",
        nargs="+",
        metavar="IN",
        help="JSONL, Parquet, CSV, text, WET: a file, a folder, a pattern, or an fsspec URL; `-` "
        "is JSON lines on standard input",
    )
    parser.add_argument(
        "--output",
        required=True,
        metavar="OUT",
        help=f"a .jsonl (.gz, .zst) or .parquet file of {what}; `-` is standard output",
    )
    parser.add_argument("--id", default="id", metavar="COLUMN", help="what rows are called by")
    _add_reading(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", help="of all inputs; default: by name and first bytes")
    parser.add_argument("--columns", help="layout of rows, such as fineweb (default text)")
    parser.add_argument("--quiet", action="store_true", help="no summary")


def _add_classifier(parser: argparse.ArgumentParser) -> None:
    """The actions of `gristmill classifier`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def add(name: str, help_: str, example: str, command: Command) -> argparse.ArgumentParser:
        sub = actions.add_parser(
            name,
            help=help_,
            description=help_,
            epilog=f"Example: gristmill classifier {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=command)
        return sub

    fit = add(
        "fit",
        "Fit a fastText classifier on labelled sets; write it and its card.",
        "fit --set good=books.jsonl --set bad=crawl.jsonl --survival .1 --output quality.ftz",
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
        "evaluate quality.ftz --set good=books.jsonl --set bad=crawl.jsonl",
        _classifier_evaluate,
    )
    score = add(
        "score",
        "Score texts: files in, JSON lines or Parquet out.",
        "score quality.ftz pages.jsonl --output scores.parquet",
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


def _bytes(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
    scale = units.get(text[-1:].upper(), 1)
    try:
        value = int(float(text[:-1] if scale > 1 else text) * scale)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: a number of bytes, such as 4G") from None
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be more than 0")
    return value


def _inputs(options: argparse.Namespace) -> dict[str, object]:
    """What `--input` and `--parent` put over the recipe."""
    from pipelines.inputs import input_at

    over: dict[str, object] = {}
    inputs = []
    for text in options.input:
        source, equals, path = text.partition("=")
        if not equals or not path:
            raise UserError(f"--input {text}: write SOURCE=PATH, such as web=crawl")
        inputs.append({"source": source, **input_at(path)})
    if inputs:
        over["inputs"] = inputs
    if options.parent:
        over["parent"] = os.path.abspath(options.parent)
    return over


def _run(options: argparse.Namespace) -> int:
    from pipelines.recipe import load
    from pipelines.run import finished, run, say
    from pipelines.runners import Engine
    from pipelines.store import Folder, is_remote

    output = options.output if is_remote(options.output) else os.path.abspath(options.output)
    recipe = load(options.recipe, _inputs(options))
    was_finished = finished(Folder(output))
    engine = Engine(options.runner, options.workers, options.memory)
    manifests = run(recipe, output, engine, quiet=options.quiet)
    if was_finished:
        say(f"{output}: this run is finished; nothing to do")
    for name, manifest in manifests.items():
        if manifest.home:
            say(f"{name}: taken from {manifest.home}")
    if not options.quiet:
        say(_summary(output, manifests))
    report = Folder(output) / "report"
    if not report.exists("index.html"):
        from pipelines.report.report import write_report

        write_report(output, report.url)
    say(f"report: {report.url}/index.html")
    return 0


def _summary(output: str, manifests: Mapping[str, Manifest]) -> str:
    """What went through each stage, and the tokens that came out."""
    import json

    from pipelines.store import Folder

    lines = [
        f"{name:<12}{manifest.records:>15,} in {manifest.kept:>15,} kept"
        for name, manifest in manifests.items()
        if name != "tokenizer"
    ]
    splits = json.loads(Folder(output).read("shards/manifest.json"))["splits"]
    lines += [f"{name:<12}{split['tokens']:>15,} tokens" for name, split in splits.items()]
    return "\n".join(lines)


def _extract(options: argparse.Namespace) -> int:
    from pipelines.alone.extract import extract_files

    over = {
        name: value
        for name in ("engine", "favor", "comments", "languages")
        if (value := getattr(options, name))
    }
    reading = {name: value for name in ("format", "columns") if (value := getattr(options, name))}
    ends = extract_files(
        options.input,
        options.output,
        rejected=options.rejected,
        recipe=options.recipe,
        over=over,
        reading=reading,
        workers=options.workers,
        quiet=options.quiet,
    )
    if not options.quiet:
        print(f"{ends.total():,} records", file=sys.stderr)
        for reason, count in ends.most_common():
            print(f"{count:>12,} {reason}", file=sys.stderr)
    return 0


def _dedup(options: argparse.Namespace) -> int:
    from pipelines.alone.dedup import deduplicate_files, over_of
    from pipelines.runners import Engine

    reading = {name: value for name in ("format", "columns") if (value := getattr(options, name))}
    ends = deduplicate_files(
        options.input,
        options.output,
        recipe=options.recipe,
        over=over_of(vars(options)),
        reading=reading,
        id_column=options.id,
        index=options.index,
        engine=Engine("direct", options.workers, options.memory),
        quiet=options.quiet,
    )
    if not options.quiet:
        print(f"{ends.total():,} records", file=sys.stderr)
        for end, count in ends.most_common():
            print(f"{count:>12,} {end}", file=sys.stderr)
    return 0


def _reading(options: argparse.Namespace) -> dict[str, str]:
    """`format` and `columns` of the inputs, as far as they are given."""
    return {name: value for name in ("format", "columns") if (value := getattr(options, name))}


def _tell(ends: Mapping[str, int]) -> None:
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


def _report(options: argparse.Namespace) -> int:
    from pipelines.report.report import write_report

    output = options.output or f"{options.run.rstrip('/')}/report"
    write_report(options.run, output)
    print(f"{output}/index.html")
    return 0


def _recipe_list(_: argparse.Namespace) -> int:
    from pipelines.recipe import describe

    for name, description in describe():
        print(f"{name:<12} {description}")
    return 0


def _recipe_show(options: argparse.Namespace) -> int:
    from pipelines.recipe import load, to_yaml

    print(to_yaml(load(options.recipe)), end="")
    return 0


def _recipe_validate(options: argparse.Namespace) -> int:
    from pipelines.recipe import load

    load(options.recipe)
    print(f"{options.recipe}: a valid recipe")
    return 0


def _recipe_schema(_: argparse.Namespace) -> int:
    import json

    from schemas.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema(), indent=1))
    return 0


if __name__ == "__main__":
    main()
