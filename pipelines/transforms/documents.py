"""Pages to documents, and chains over documents, as Beam transforms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import TaggedOutput

from curation.chain import Chain
from curation.classifiers.signals import local_file
from curation.extraction import Extractor, Rejected
from curation.extraction import Page as Extracted
from curation.extraction.sandbox import Sandbox
from curation.language import languages_of
from curation.readers import Record
from curation.rules import in_full, load_chain
from pipelines.recipes.files import absolute, bundled_models
from schemas.base import ModelFile
from schemas.extract import Extract
from schemas.filter import NamedChain
from schemas.mistakes import validated
from schemas.problems import Problem

REJECTED = "rejected"
_BATCH = 256  # documents that a chain or a language model is given at once, at most


class Page(NamedTuple):
    """HTML as it was fetched, and what is known of it."""

    id: str
    html: bytes
    url: str | None = None
    charset: str | None = None
    """Character set that the HTTP header names."""
    source: str = "web"


class Document(NamedTuple):
    """A text, under an id that no other document of the pipeline has.

    An id of 32 hexadecimal digits is the one that shards store; of any other they store a digest.
    """

    id: str
    text: str
    source: str = "web"
    url: str | None = None
    language: str | None = None
    language_score: float | None = None
    kind: str = "web"
    format: str = "html"


class Rejection(NamedTuple):
    """Why a page or document did not get further, and the value that decided it."""

    id: str
    source: str
    stage: str
    reason: str
    value: str | None
    detail: str | None


_COLUMNS = {
    name: pa.float32() if name == "language_score" else pa.string() for name in Document._fields
}


class ExtractText(beam.PTransform):
    """PCollection[Page] -> (PCollection[Document], PCollection[Rejection]).

    A page that crashes or hangs the parser costs that page only: workers extract in processes of
    their own.
    """

    def __init__(self, options: Extract | None = None) -> None:
        """`options`: a recipe's `extract`; files that it names are on every worker."""
        super().__init__()
        options = options or Extract()
        models = {
            name: _located(model)
            for name in ("language_model", "second_opinion")
            if (model := getattr(options, name)) is not None
        }
        self._options = options.model_copy(update=models)

    def expand(self, pages: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        """`pages`: of `Page`."""
        return _kept_and_rejected(pages, "extract", _ExtractPages(self._options.model_dump_json()))


class Filter(beam.PTransform):
    """PCollection[Document] -> (PCollection[Document], PCollection[Rejection]), by a chain."""

    def __init__(self, chain: str | Sequence[Mapping[str, Any]], base: str | Path = ".") -> None:
        """Steps as a recipe's `filter.chain` has them, or the name of a bundled chain or of a YAML
        file. Files that the chain names are relative to `base` and on every worker. Raises
        Problem with every mistake of the chain, and for columns that a `Document` has not."""
        super().__init__()
        if isinstance(chain, str):
            spec = load_chain(chain, Path(base))
        else:
            given = validated(NamedChain, {"chain": list(chain)}, root="filter")
            given = given.with_files(lambda _, named: _located(named, Path(base)))
            spec, _, mistakes = in_full(given, Path(base))
            if mistakes:
                raise Problem("\n".join(f"filter.{path}: {said}" for path, said in mistakes))
        self._spec = spec.with_files(lambda _, named: _located(named, Path(base)))
        lacking = Chain(self._spec).needs - {*_COLUMNS, "licences"}
        if lacking:
            raise Problem(
                f"the chain needs columns that a Document has not: {', '.join(sorted(lacking))}"
            )

    def expand(self, documents: beam.PCollection) -> tuple[beam.PCollection, beam.PCollection]:
        """`documents`: of `Document`."""
        step = _ApplyChain(self._spec.model_dump_json(), self.label)
        return _kept_and_rejected(documents, "apply", step)


class Redact(Filter):
    """Replace personal data, and reject documents with too much of it if asked to."""

    def __init__(self, asked: Sequence[str] | Mapping[str, Any]) -> None:
        """Types of personal data, or a recipe's step `redact` in full."""
        super().__init__([{"redact": asked}])


class Decontaminate(Filter):
    """Reject, cut or flag documents that hold test items."""

    def __init__(self, index: str, **options: Any) -> None:
        """`index`: the folder of an index of test items; `options`: those of a recipe's step
        `decontaminate`, such as `policy`."""
        super().__init__([{"decontaminate": {"index": index, **options}}])


def _located(named: Any, base: Path = Path()) -> Any:
    """A file or folder by the path that workers find it under."""
    if isinstance(named, ModelFile) and (bundled := bundled_models().get(named.file)) is not None:
        return named.model_copy(update={"file": str(bundled)})
    return absolute(named, base.absolute())


def _kept_and_rejected(
    elements: beam.PCollection, label: str, step: beam.DoFn
) -> tuple[beam.PCollection, beam.PCollection]:
    batches = elements | "batch" >> beam.BatchElements(min_batch_size=8, max_batch_size=_BATCH)
    found = batches | label >> beam.ParDo(step).with_outputs(REJECTED, main="kept")
    found.kept.element_type, found[REJECTED].element_type = Document, Rejection
    return found.kept, found[REJECTED]


class _ExtractPages(beam.DoFn):
    def __init__(self, options: str) -> None:
        self._given = options

    def setup(self) -> None:
        options = Extract.model_validate_json(self._given)
        self._languages = languages_of(options, local_file)
        self._sandbox = Sandbox(
            Extractor(options, None, self._languages if options.languages else None)
        )

    def process(self, pages: list[Page]) -> Iterator[Document | TaggedOutput]:
        read = self._sandbox.extract((page, _record(page)) for page in pages)
        found = [(page, result) for page, _, result in read]
        texts = [result.text for _, result in found if isinstance(result, Extracted)]
        opinions = iter(self._languages.identify(texts) if self._languages else ())
        for page, result in found:
            if isinstance(result, Rejected):
                why = (result.reason, result.value, None)
                yield TaggedOutput(REJECTED, Rejection(page.id, page.source, "extract", *why))
            else:
                language, score = next(opinions, (None, None))
                yield Document(page.id, result.text, page.source, page.url, language, score)

    def teardown(self) -> None:
        self._sandbox.close()


def _record(page: Page) -> Record:
    return Record(
        0, len(page.html), 0, "page", page.url, None, None, "text/html", page.charset, page.html
    )


class _ApplyChain(beam.DoFn):
    def __init__(self, spec: str, stage: str) -> None:
        self._given, self._stage = spec, stage

    def setup(self) -> None:
        self._chain = Chain(NamedChain.model_validate_json(self._given))

    def process(self, documents: list[Document]) -> Iterable[Document | TaggedOutput]:
        columns = zip(*documents, strict=True)
        arrays = {
            name: pa.array(values, kind)
            for (name, kind), values in zip(_COLUMNS.items(), columns, strict=True)
        }
        done = self._chain.apply(pa.RecordBatch.from_pydict(arrays))
        for at, document in enumerate(documents):
            if reasons := done.reasons[at]:
                why = (reasons[0], done.values[at], done.details[at])
                yield TaggedOutput(
                    REJECTED, Rejection(document.id, document.source, self._stage, *why)
                )
            else:
                yield document._replace(text=done.texts[at])
