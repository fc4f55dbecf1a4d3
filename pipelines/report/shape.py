"""The shape of `report.json`. Changes are additive; SCHEMA is raised when they are not. Its JSON
Schema stands in `report.schema.json`, made by `python -m pipelines.report.schema`.

Counts are exact, from receipts, unless a `Coverage` stands beside them: those are of the rows
that were looked at, all rows or a keyed sample. Every text in it has its personal data replaced
and its hidden characters made visible; it still is text of strangers, to be escaped.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

SCHEMA = "gristmill.report/5"


class Coverage(TypedDict):
    """How many rows there are, and of how many the numbers beside it are."""

    rows: int
    looked_at: int


class RecipeHead(TypedDict):
    """What was run. `limit`: records of each source that were read at most, if that was asked for;
    `tokens`: budget of the mix, None if there is none; `validation_tokens`: what each source was
    to hold out.
    """

    name: str
    description: str
    seed: int
    limit: int | None
    tokens: int | None
    validation_tokens: int


class Stage(TypedDict):
    """A finished stage: `records == kept + sum(rejected.values())`; most frequent reason first.

    Those of `extract` are without `Balance.no_pages`. `bytes`: of the texts that it kept, None of
    a stage that leaves texts as they are; `rejected_bytes`: of what it rejected, by reason: bytes
    of text, and of records where no text was found; a reason without them is left out.
    `from_parent`: its files are those of another run, in which it was equal.
    """

    name: str
    tasks: int
    records: int
    kept: int
    rejected: dict[str, int]
    bytes: int | None
    rejected_bytes: dict[str, int]
    digest: str
    from_parent: bool


class Usage(TypedDict):
    """What the tasks of a step took: seconds by the clock and of CPU time of all together, the
    longest, and the most memory that one held, its process and those it started.

    `step` is empty for all steps of a stage together; its last one has the stage's name. records:
    those that the step was given, of a stage those of its last step; file_bytes: of what it wrote;
    jobs: that an engine was given for it, with those of the steps before it in the same job.
    """

    stage: str
    step: str
    tasks: int
    records: int
    wall_seconds: float
    cpu_seconds: float
    longest_seconds: float
    peak_bytes: int
    file_bytes: int
    jobs: int


class Scaled(TypedDict):
    """What `factor` times the records would take, as if all but the tokenizer's training grew with
    them: seconds of processors, `error_seconds` more or fewer with 95 % confidence; of it
    `unknown_seconds` are of steps with a single task, whose error is not known. file_bytes: of all
    files."""

    factor: int
    records: int
    cpu_seconds: float
    error_seconds: float
    unknown_seconds: float
    file_bytes: int


class Balance(TypedDict):
    """Where every record that came in is now; `records` is the sum of the others.

    `no_pages`: records that hold no page or text, by their kind, such as requests. They are no
    part of any other number of the report.
    `kept`: documents that are not in shards, because the run has not got there yet.
    """

    records: int
    no_pages: dict[str, int]
    rejected: int
    not_sampled: int
    validation: int
    train: int
    kept: int


class Condition(TypedDict):
    """A comparison of a signal."""

    signal: str
    operator: str
    threshold: float | Literal["inf", "-inf"]


class Rule(TypedDict):
    """A rule of the recipe: kept is what satisfies the `test`; `scope` says of which documents,
    such as ` (of en, de)`, nothing for all."""

    table: str
    test: str
    scope: str


class Threshold(Condition):
    """A condition of a rule; `grouped`: one of several, so that failing it fails nothing yet."""

    reason: str
    grouped: bool


class Cost(TypedDict):
    """Documents of a source that a reason alone rejects, bytes of their texts, and what these
    would make in tokens, estimated by the tokens a byte of the source; None before tokenization."""

    source: str
    documents: int
    bytes: int
    tokens: int | None


class Reason(TypedDict):
    """A reason to reject of the stage `filter`.

    `tested`: documents that its rules are for and that came to them, an estimate where only some
    were looked at; `first`: documents it is the ledger's reason of; `failing`: all documents that
    fail it; `alone`: documents that fail nothing else, and `costs` what they are by source: what
    would be kept without this reason. `rules` has one, or one for each of several languages or
    sources.
    """

    reason: str
    rules: list[Rule]
    tested: int
    first: int
    failing: int
    alone: int
    costs: list[Cost]


class Panel(TypedDict):
    """A signal's histogram under the rules of one table, over the documents that this is for.

    Bin i is from `edges[i]` to `edges[i + 1]`; `passing[i] + failing[i]` documents are in it, of
    which the stage `filter` kept `kept[i]`;
    the outermost bins also hold the `below` and `above` documents beyond the edges. What fails a
    grouped threshold only is passing. `missing`: not measured. `scale`: `counts` are whole
    numbers, a bin each; bins of `log` are equally wide in log(1 + value).
    """

    table: str
    signal: str
    thresholds: list[Threshold]
    scale: Literal["linear", "log", "counts"]
    edges: list[float]
    passing: list[int]
    failing: list[int]
    kept: list[int]
    below: int
    above: int
    missing: int


class Filtering(TypedDict):
    """What the rules did, and histograms of the signals they test, in the order of the chain.

    `edited`: kept documents whose text an edit changed. `summed`: of how many documents `alone` and
    `costs` are, scaled up to all; `coverage`: of how many the rest is.
    """

    exhaustive: bool
    coverage: Coverage
    summed: Coverage
    edited: int
    reasons: list[Reason]
    panels: list[Panel]


class PassedBy(TypedDict):
    """Steps of a chain in a row that are not for these sources."""

    chain: str
    steps: list[str]
    sources: list[str]


class Language(TypedDict):
    """Documents of a language among those extracted and those that were kept to the end."""

    language: str
    extracted: int
    kept: int


class Languages(TypedDict):
    """The most frequent languages; `others` are the rest together, None if there are none.

    Where a sample was looked at, counts are scaled up to all rows.
    """

    extracted: Coverage
    kept: Coverage | None
    count: int
    top: list[Language]
    others: Language | None


class Amount(TypedDict):
    """Curated documents, bytes of their texts, their tokens in training and validation rows, each
    as often as it stands there, and the bytes of text of those in training rows."""

    documents: int
    bytes: int
    train_tokens: int
    train_bytes: int
    validation_tokens: int


class Kind(Amount):
    """Documents of one kind, such as of a language; `value` is empty for those without one."""

    value: str


class Breakdown(TypedDict):
    """Documents by `name`: source, language, licence, year (of publication, as pages declare it),
    length (bytes), domain, or the score of a classifier. `count` kinds, of which `rows` has those
    with most tokens, and `others` the rest; of domains, those of the largest 50,000 hosts."""

    name: str
    count: int
    rows: list[Kind]
    others: Kind | None


class Site(Amount):
    """Documents of a domain in a source."""

    source: str
    domain: str


class Composition(TypedDict):
    """What the curated text is made of, scaled up to all where only some documents were looked
    at; tokens are 0 before there is an index (`has_tokens`)."""

    coverage: Coverage
    has_tokens: bool
    parts: list[Breakdown]
    sites: list[Site]


class SourceMix(TypedDict):
    """What the mix did with the tokenized documents of a source, or of a group.

    documents = train + not_sampled + validation, of distinct documents; tokens likewise.
    """

    source: str
    documents: int
    tokens: int
    train_documents: int
    train_tokens: int
    repeated_documents: int
    repeated_tokens: int
    validation_documents: int
    validation_tokens: int
    not_sampled_documents: int
    not_sampled_tokens: int


class Portion(TypedDict):
    """What a phase took of a source: `tokens` of the `planned`, which follow from budget and
    strategy. `epochs` = tokens / available; shares are of the phase."""

    phase: str
    source: str
    available: int
    planned: int
    tokens: int
    epochs: float
    planned_share: float
    share: float


class Mixture(TypedDict):
    """Planned against achieved, and where every token went."""

    portions: list[Portion]
    sources: list[SourceMix]


class Source(TypedDict):
    """An input: its files, their records, the documents that were extracted, and those that were
    tokenized, with their tokens."""

    source: str
    snapshot: str
    format: str
    files: int
    file_bytes: int
    records: int
    extracted: int
    documents: int | None
    tokens: int | None


class Split(TypedDict):
    """Training or validation shards. tokens + padding = rows x sequence_length."""

    rows: int
    tokens: int
    padding: int
    documents: int
    cut: int
    text_bytes: int
    files: int
    file_bytes: int


class Shards(TypedDict):
    """What was written for the trainer."""

    sequence_length: int
    packing: str
    token_type: str
    vocabulary: int
    tokenizer_sha256: str
    layout_digest: str
    train: Split
    validation: Split


class PersonalData(TypedDict):
    """What was found in the documents that chains kept, what of it was replaced, and in how many
    documents, by kind; kinds that were looked for and not found too. `documents`: curated ones."""

    documents: int
    found: dict[str, int]
    replaced: dict[str, int]
    touched: dict[str, int]


class Benchmark(TypedDict):
    """A benchmark: its items in the index, those that were seen in documents, and the documents
    that have some, kept or not."""

    name: str
    items: int
    seen: int
    documents: int


class TestItem(TypedDict):
    """A test item, the documents that have it, and the highest score of one."""

    benchmark: str
    item: str
    documents: int
    score: float


class Contamination(TypedDict):
    """Test items in the documents of a chain, `stage`; of `top` those in most documents."""

    stage: str
    policy: str
    documents: int
    benchmarks: list[Benchmark]
    top: list[TestItem]


class OptOut(TypedDict):
    """Pages that opt out by `name`: those rejected for it, and those kept all the same."""

    name: str
    honoured: int
    kept: int


class Declared(TypedDict):
    """What pages declare of rights, and what was wrong with records that could be read.

    `licences` and `flaws` count kept pages, the most frequent first; `other` licences are those
    without a known name.
    """

    opt_outs: list[OptOut]
    licences: dict[str, int]
    flaws: dict[str, int]


class DamagedFile(TypedDict):
    """Records of a file that could not be read, by what is wrong."""

    source: str
    file: str
    kinds: dict[str, int]


class Damage(TypedDict):
    """Files with records that could not be read, those with most first. `coverage`: of the
    rejections of `extract`."""

    coverage: Coverage
    files: int
    records: int
    top: list[DamagedFile]


class Token(TypedDict):
    """A token, with ␣, ⏎ and ⇥ for blanks; count: in the rows that were looked at."""

    id: int
    text: str
    count: int


class Vocabulary(TypedDict):
    """The tokens of the tokenizer: `size` without the `special` ones, of which `fragments` are no
    whole characters and `unused` stand nowhere in the training tokens looked at (`tokens`).

    `odd` ones hold what is not seen, a run of one character, or letters of two scripts. After a
    takedown (`taken_down`) no token is shown.
    """

    tokens: Coverage
    size: int
    special: int
    fragments: int
    unused: int
    taken_down: bool
    longest: list[Token]
    frequent: list[Token]
    odd: list[Token]


class ClusterSizes(TypedDict):
    """Clusters with `smallest` to `largest` documents, the kept one counted."""

    smallest: int
    largest: int
    clusters: int


class ClusterSample(TypedDict):
    """A document that was dropped, and the level that did it."""

    level: str
    source: str
    url: str
    text: str


class Cluster(TypedDict):
    """A large cluster, with some of the documents that were dropped for `kept_id`."""

    kept_id: str
    documents: int
    dropped: dict[str, int]
    samples: list[ClusterSample]


class Compared(TypedDict):
    """How near duplicates were found: pairs of documents that share a bucket, and buckets.

    A bucket with more than `max_bucket` documents is one that was `divided` by the next band.
    `given_up`: documents that their bucket connects with none, and that were not compared with
    all in it.
    """

    compared: int
    verified: int
    max_bucket: int
    divided: int
    given_up: int


class DuplicateRate(TypedDict):
    """Documents of a source or domain that came to deduplication, and how many it dropped."""

    name: str
    documents: int
    dropped: int


class Duplicates(TypedDict):
    """Documents dropped by level, and the clusters that they make with those that are kept.

    Of 1 in `one_in` clusters, chosen by id, the sizes were counted: `clusters`, `sizes` and
    `largest` are of those. `compared` is of the level `near`, if there was one. `coverage`: of the
    documents that were filtered, whose rates `sources` and `domains` are of, most dropped first.
    """

    documents: int
    dropped: dict[str, int]
    one_in: int
    clusters: int
    sizes: list[ClusterSizes]
    largest: list[Cluster]
    compared: Compared | None
    coverage: Coverage
    sources: list[DuplicateRate]
    domains: list[DuplicateRate]


class Cut(TypedDict):
    """Characters that a level cut of a source, and of how many documents. What several levels
    found counts for the first of them."""

    source: str
    level: str
    documents: int
    characters: int


class CutSample(TypedDict):
    """A span that was cut, marked in the text around it."""

    level: str
    source: str
    url: str
    text: str
    marks: list[tuple[int, int]]


class Spans(TypedDict):
    """What was cut of the documents that no level dropped, most first.

    `documents` with so many `characters` before the cuts; `short` of them had too few words left
    and were rejected.
    """

    documents: int
    characters: int
    short: int
    cut: list[Cut]
    samples: list[CutSample]


class Sample(TypedDict):
    """A document or record. `why`: what decided; `also`: further reasons that it fails.

    `text` is None where none was extracted; `cut`: there is more of it. `marks`: spans of it that
    are evidence: what stands for personal data, and lines, n-grams or test items that decided.
    """

    id: str
    source: str
    url: str
    title: str
    language: str
    file: str
    offset: int
    text: str | None
    cut: bool
    marks: list[tuple[int, int]]
    why: str
    also: list[str]


class RejectedSamples(TypedDict):
    """Samples of what a stage rejected for a reason; `count` is of all in the ledger."""

    stage: str
    reason: str
    count: int
    samples: list[Sample]


class KeyChange(TypedDict):
    """A key of the recipe that differs: its path, and both values as YAML."""

    key: str
    left: str
    right: str


class RuleChange(TypedDict):
    """A rule that differs; empty where a recipe has none. reason: both, if they differ."""

    reason: str
    left: str
    right: str


class LossChange(TypedDict):
    """What a stage rejected for a reason in both runs; an empty reason: what it kept."""

    stage: str
    reason: str
    left: int
    right: int


class MixChange(TypedDict):
    """Training tokens of a source in both runs; None: not mixed yet."""

    source: str
    left: int | None
    right: int | None


class Move(TypedDict):
    """Documents with another fate in the other run: `kept`, or `stage: reason`; some of them."""

    left: str
    right: str
    documents: int
    samples: list[Sample]


class Comparison(TypedDict):
    """Two runs side by side, `left` the one that is reported.

    Documents are compared by id up to the last of `stages`: `same` have one fate in both runs,
    `moves` are the most frequent others, and `more_moves` counts the documents of the rest;
    `only_left`, `only_right`: records that the other run has not read. Those numbers are of 1 in
    `one_in` documents, by id, scaled up to all.
    """

    left: str
    right: str
    steps: tuple[list[str], list[str]]
    rules: list[RuleChange]
    keys: list[KeyChange]
    losses: list[LossChange]
    mixture: list[MixChange]
    stages: list[str]
    one_in: int
    same: int
    only_left: int
    only_right: int
    moves: list[Move]
    more_moves: int


class Report(TypedDict):
    """All of it. What belongs to a stage that is not finished is None or empty; `spans` also if
    the recipe asks for none. `comparison` is there if another run was named.

    `unredacted`: the sources whose personal data no step replaces. `pruned`: raw text was taken
    away, and with it samples of documents that were not kept.
    """

    schema: str
    recipe: RecipeHead
    unfinished: list[str]
    balance: Balance
    stages: list[Stage]
    usage: list[Usage]
    scaled: list[Scaled]
    sources: list[Source]
    passed_by: list[PassedBy]
    unredacted: list[str]
    mixture: Mixture | None
    composition: Composition | None
    shards: Shards | None
    languages: Languages
    declared: Declared
    damage: Damage
    vocabulary: Vocabulary | None
    filtering: Filtering | None
    duplicates: Duplicates | None
    spans: Spans | None
    personal_data: PersonalData | None
    contamination: list[Contamination]
    pruned: bool
    kept_samples: list[Sample]
    rejected_samples: list[RejectedSamples]
    comparison: Comparison | None
