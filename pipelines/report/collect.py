"""Numbers and samples out of a run's files: see `shape` for what they are.

Counts come from manifests and receipts and are exact. What receipts do not count is read from
Parquet: all rows of a run of ordinary size, a keyed sample of rows of a large one, so that
memory and time are bounded. The same run gives the same report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import get_args

import pyarrow.compute as pc

from curation.extraction import NOT_A_PAGE
from pipelines.look.display import redacting, visible
from pipelines.look.sweep import tokens_a_byte
from pipelines.recipes.scopes import kinds_of, passed_by, unredacted
from pipelines.report import samples, shape
from pipelines.report.comparison import comparison
from pipelines.report.composition import composition
from pipelines.report.contamination import contamination
from pipelines.report.costs import scaled, usage
from pipelines.report.damage import damage
from pipelines.report.duplicates import duplicates
from pipelines.report.losses import Losses, losses, rejected_bytes
from pipelines.report.reading import RowSample
from pipelines.report.signals import filtering, signals_of
from pipelines.report.spans import spans
from pipelines.report.vocabulary import vocabulary
from pipelines.run import Run
from pipelines.runs import ledger
from pipelines.runs.documents import has_raw
from pipelines.runs.steps import Context, Manifest
from pipelines.stages.order import STAGES
from schemas.extract import OptOut
from schemas.problems import Problem
from schemas.shard import ShardManifest
from schemas.shard import Split as ShardSplit

TOP_LANGUAGES = 20
_COLUMNS = ("id", "source", "kind", "format", "language", "kept", "reasons")
TOP_LICENCES = 20


def collect(run: Run, other: Run | None = None) -> shape.Report:
    """Everything that the report says, ready for JSON; `other`: a run to compare with.

    Raises Problem if nothing of it is finished, or a parent whose stages it uses is gone;
    LedgerError if the run's ledger does not balance.
    """
    with redacting(run.context):
        return _collect(run, other)


def _collect(run: Run, other: Run | None) -> shape.Report:
    context, done = run.context, run.stages
    if "extract" not in done:
        raise Problem("no stage is finished yet: there is nothing to report", run.folder.url)
    ledger.check(done)
    curated = RowSample(context, "curate", "text") if "curate" in done else None
    verdicts = RowSample(context, "filter", "signals") if "filter" in done else None
    filtered = verdicts.table([*_COLUMNS, *signals_of(context.recipe.filter)]) if verdicts else None
    lost = losses(context, deduplicated="deduplicate" in done) if verdicts else None
    recipe = context.recipe
    kinds = kinds_of(recipe, context.tasks("extract"))
    return shape.Report(
        schema=shape.SCHEMA,
        recipe=shape.RecipeHead(
            name=recipe.name,
            description=visible(recipe.description),
            seed=recipe.seed,
            limit=recipe.limit,
            tokens=recipe.mix.budget,
            validation_tokens=recipe.mix.validation.tokens,
        ),
        unfinished=[stage.name for stage in STAGES if stage.name not in done],
        balance=_balance(context, done),
        stages=[_stage(context, done[name], name, lost) for name in ledger_stages(done)],
        usage=[each for name in done for each in usage(context, name)],
        scaled=scaled(context, done),
        sources=_sources(context, done),
        passed_by=[
            shape.PassedBy(chain=x.chain, steps=list(x.steps), sources=list(x.sources))
            for x in passed_by(recipe, kinds)
        ],
        unredacted=unredacted(recipe, kinds),
        mixture=_mixture(run) if "mix" in done else None,
        composition=composition(context, indexed="index" in done) if "curate" in done else None,
        shards=_shards(run.shards) if "mix" in done else None,
        languages=_languages(RowSample(context, "extract", "documents"), curated),
        declared=_declared(context, done["extract"]),
        damage=damage(context),
        vocabulary=vocabulary(run) if "mix" in done else None,
        filtering=filtering(context, filtered, verdicts.coverage, lost, tokens_a_byte(run))
        if verdicts and lost
        else None,
        duplicates=duplicates(context, lost) if lost and "deduplicate" in done else None,
        spans=spans(context) if "curate" in done and recipe.deduplicate.spans.levels() else None,
        personal_data=_personal_data(context) if "curate" in done else None,
        contamination=[
            each
            for stage in ("filter", "curate")
            if stage in done
            for each in contamination(context, stage)
        ],
        pruned=not has_raw(context),
        kept_samples=samples.kept(context, curated) if curated else [],
        rejected_samples=[
            *samples.unread(context),
            *(samples.rejected_by_rules(context, "filter") if verdicts else []),
            *(samples.duplicated(context) if "deduplicate" in done else []),
            *(samples.rejected_by_rules(context, "curate") if "curate" in done else []),
        ],
        comparison=comparison(run, other) if other else None,
    )


def ledger_stages(done: Mapping[str, Manifest]) -> list[str]:
    """The finished stages that records pass through."""
    return list(ledger.balance(done))


def _no_pages(context: Context) -> Counter[str]:
    """Records that hold no page, by kind."""
    found: Counter[str] = Counter()
    for receipt in context.receipts("extract"):
        found.update(receipt.counts["others"])
    return found


def _stage(context: Context, manifest: Manifest, name: str, lost: Losses | None) -> shape.Stage:
    left_out = _no_pages(context).total() if name == "extract" else 0
    rejected = {r: n for r, n in manifest.rejected.items() if not left_out or r != NOT_A_PAGE}
    kept, gone = _bytes(context, name, lost)
    return shape.Stage(
        name=name,
        tasks=manifest.tasks,
        records=manifest.records - left_out,
        kept=manifest.kept,
        rejected=dict(_by_count(rejected)),
        bytes=kept,
        rejected_bytes={
            reason: gone[reason] for reason, _ in _by_count(rejected) if reason in gone
        },
        digest=manifest.digest,
        from_parent=bool(manifest.home),
    )


def _bytes(context: Context, stage: str, lost: Losses | None) -> tuple[int | None, dict[str, int]]:
    """Of the texts that a stage kept, and of what it rejected, by reason."""
    if stage == "extract":
        own = [int(receipt.counts["bytes"]) for receipt in context.receipts(stage)]
        return sum(own), rejected_bytes(context, stage)
    if stage == "curate":
        sizes = (receipt.counts["bytes"].values() for receipt in context.receipts(stage))
        return sum(map(sum, sizes)), rejected_bytes(context, stage)
    if lost and stage == "filter":
        return sum(lost.dropped.values()), lost.filtered
    if lost and stage == "deduplicate":
        return lost.dropped.get("", 0), lost.dropped
    return None, {}


def _mixed(context: Context) -> dict[str, dict[str, int]]:
    """The mix's own ledger, by source."""
    found: dict[str, dict[str, int]] = context.receipts("mix")[0].counts["sources"]
    return found


def _balance(context: Context, done: Mapping[str, Manifest]) -> shape.Balance:
    """Where every record is; that it adds up is checked here, not only claimed."""
    mixed = _mixed(context).values() if "mix" in done else []
    stages = ledger_stages(done)
    ends = {
        "rejected": sum(sum(done[name].rejected.values()) for name in stages if name != "mix"),
        "not_sampled": sum(entry["not_sampled_documents"] for entry in mixed),
        "validation": sum(entry["validation_documents"] for entry in mixed),
        "train": sum(entry["train_documents"] for entry in mixed),
        "kept": 0 if "mix" in done else done[stages[-1]].kept,
    }
    no_pages = _no_pages(context)
    ends["rejected"] -= no_pages.total()
    records = done["extract"].records - no_pages.total()
    if records != sum(ends.values()):
        raise ledger.LedgerError(f"{records} records came in, and these are known: {ends}")
    return shape.Balance(records=records, no_pages=dict(_by_count(no_pages)), **ends)  # type: ignore[typeddict-item]


def _sources(context: Context, done: Mapping[str, Manifest]) -> list[shape.Source]:
    receipts = {receipt.task: receipt for receipt in context.receipts("extract")}
    records: Counter[str] = Counter()
    extracted: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    files: dict[str, set[str]] = {}
    for task in context.tasks("extract"):
        source = task.spec["source"]
        files.setdefault(source, set()).update(each["file"] for each in task.spec["ranges"])
        sizes[source] += task.size
        receipt = receipts[task.key]
        records[source] += receipt.records - sum(receipt.counts["others"].values())
        extracted[source] += receipt.kept
    tokenized: dict[str, Counter[str]] = {"documents": Counter(), "tokens": Counter()}
    for receipt in context.receipts("tokenize") if "tokenize" in done else ():
        for what, counts in tokenized.items():
            counts.update(receipt.counts[what])
    return [
        shape.Source(
            source=item.source,
            snapshot=item.snapshot,
            format=item.format or "by name",
            files=len(files.get(item.source, ())),
            file_bytes=sizes[item.source],
            records=records[item.source],
            extracted=extracted[item.source],
            documents=tokenized["documents"][item.source] if "tokenize" in done else None,
            tokens=tokenized["tokens"][item.source] if "tokenize" in done else None,
        )
        for item in {item.source: item for item in context.recipe.inputs}.values()
    ]


def _mixture(run: Run) -> shape.Mixture:
    portions = run.mixture()
    planned, taken = Counter[str](), Counter[str]()
    for item in portions:
        planned[item.phase] += item.planned
        taken[item.phase] += item.tokens
    return shape.Mixture(
        portions=[
            shape.Portion(
                **asdict(item),  # type: ignore[typeddict-item]
                epochs=_ratio(item.tokens, item.available),
                planned_share=_ratio(item.planned, planned[item.phase]),
                share=_ratio(item.tokens, taken[item.phase]),
            )
            for item in portions
        ],
        sources=[
            shape.SourceMix(source=source, **entry)  # type: ignore[typeddict-item]
            for source, entry in _mixed(run.context).items()
        ],
    )


def _ratio(part: int, whole: int) -> float:
    return float(Fraction(part, whole)) if whole else 0.0


def _shards(manifest: ShardManifest) -> shape.Shards:
    return shape.Shards(
        sequence_length=manifest.sequence_length,
        packing=manifest.packing,
        token_type=manifest.token_type,
        vocabulary=manifest.tokenizer.vocabulary,
        tokenizer_sha256=manifest.tokenizer.sha256,
        layout_digest=manifest.layout_digest,
        train=_split(manifest.splits["train"]),
        validation=_split(manifest.splits["validation"]),
    )


def _split(split: ShardSplit) -> shape.Split:
    return shape.Split(
        rows=split.rows,
        tokens=split.tokens,
        padding=split.padding,
        documents=sum(counts.documents for counts in split.sources.values()),
        cut=sum(counts.cut for counts in split.sources.values()),
        text_bytes=sum(counts.bytes for counts in split.sources.values()),
        files=len(split.files),
        file_bytes=sum(file.size for file in split.files),
    )


def _languages(documents: RowSample, curated: RowSample | None) -> shape.Languages:
    extracted, kept = _by_language(documents), _by_language(curated) if curated else Counter[str]()
    names = sorted({*extracted, *kept}, key=lambda name: (-extracted[name], -kept[name], name))
    rows = [
        shape.Language(language=name, extracted=extracted[name], kept=kept[name]) for name in names
    ]
    rest = rows[TOP_LANGUAGES:]
    return shape.Languages(
        extracted=documents.coverage,
        kept=curated.coverage if curated else None,
        count=len(rows),
        top=rows[:TOP_LANGUAGES],
        others=shape.Language(
            language="",
            extracted=sum(row["extracted"] for row in rest),
            kept=sum(row["kept"] for row in rest),
        )
        if rest
        else None,
    )


def _by_language(sample: RowSample) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _, table in sample.tables(["language"]):
        for item in pc.value_counts(table["language"]).to_pylist():
            counts[item["values"]] += item["counts"]
    return Counter({language: sample.scaled(count) for language, count in counts.items()})


def _declared(context: Context, extract: Manifest) -> shape.Declared:
    noted: dict[str, Counter[str]] = {name: Counter() for name in ("flaws", "opt_outs", "licences")}
    for receipt in context.receipts("extract"):
        for name, counted in noted.items():
            counted.update(receipt.counts[name])
    honoured = {
        reason.removeprefix("opt_out_"): count
        for reason, count in extract.rejected.items()
        if reason.startswith("opt_out_")
    }
    return shape.Declared(
        opt_outs=[
            shape.OptOut(name=name, honoured=honoured.get(name, 0), kept=noted["opt_outs"][name])
            for name in get_args(OptOut)
        ],
        licences=dict(_by_count(noted["licences"])[:TOP_LICENCES]),
        flaws=dict(_by_count(noted["flaws"])),
    )


def _by_count(counted: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _personal_data(context: Context) -> shape.PersonalData:
    counts = {name: Counter[str]() for name in ("found", "replaced", "documents")}
    for stage in ("filter", "curate"):
        for receipt in context.receipts(stage):
            for kind, own in receipt.counts["pii"].items():
                for name, counted in counts.items():
                    counted.update({kind: own[name]})  # what was not found too
    found, replaced, touched = (dict(_by_count(counted)) for counted in counts.values())
    return shape.PersonalData(
        documents=context.manifest("curate").kept,
        found=found,
        replaced=replaced,
        touched=touched,
    )
