"""Names in a recipe that others know: signals, sources and kinds of inputs, languages."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pyarrow as pa

from pipelines.recipes.files import CHAINS, Named, bundled_models, with_files
from pipelines.recipes.mistakes import Mistake
from pipelines.runs.splits import files_of
from pipelines.runs.store import Folder, is_remote
from schemas.base import ModelFolder
from schemas.chain import EditStep, LanguagesStep, RedactStep, Scope
from schemas.extract import ENGINES
from schemas.pii import PiiKey
from schemas.problems import Problem, close_or_all, close_to
from schemas.recipe import Recipe


def check_keep(recipe: Recipe) -> list[Mistake]:
    """What `deduplicate.keep` names must be measured by the chain, which has no mistake."""
    from curation.chain import Chain

    keep = recipe.deduplicate.keep
    if "." not in keep:
        return []
    chain = Chain(recipe.filter, columns=recipe.kept_columns())
    signals = [name for name, kind in chain.types.items() if pa.types.is_floating(kind)]
    if keep in signals:
        return []
    there = close_to(keep, signals) if signals else ", which measures none"
    return [("deduplicate.keep", f"`{keep}` is no signal of this recipe's chain{there}")]


def check_groups(recipe: Recipe) -> list[Mistake]:
    """What `mix.groups` test must be measured by a chain, which has no mistake."""
    if not recipe.mix.groups:
        return []
    from curation import grouping
    from curation.chain import Chain
    from curation.chain_checks import column_signals

    columns = recipe.kept_columns()
    types = {name: kind for name, (_, kind) in column_signals(columns).items()}
    for section in CHAINS:
        types |= Chain(getattr(recipe, section), columns=columns).types
    return grouping.check(recipe.mix.groups, types)


def own_parts(recipe: Recipe) -> list[tuple[str, str, str]]:
    """The parts of the user's own that a recipe names outside its chains: the path, kind and name
    of each."""
    readers = [
        (f"inputs[{at}].reader", "reader", item.reader)
        for at, item in enumerate(recipe.inputs)
        if item.reader is not None
    ]
    engine = recipe.extract.engine
    return [*readers, *([("extract.engine", "engine", engine)] if engine not in ENGINES else [])]


def check_own(recipe: Recipe) -> list[Mistake]:
    """Parts of the user's own that there are not."""
    from curation import own

    mistakes = []
    for path, kind, name in own_parts(recipe):
        try:
            own.load(kind, name)
        except Problem as error:
            there = close_to(name, ENGINES) if kind == "engine" and ":" not in name else ""
            mistakes.append((path, f"{error}{there}"))
    return mistakes


def check_files(recipe: Recipe, *, inputs: bool) -> Iterator[Mistake]:
    """Files that are not there: models and lists, runs to deduplicate against, and `inputs`."""
    from curation.folders import find_folder

    found: list[Mistake] = []

    def look(path: str, model: Named) -> Named:
        if isinstance(model, PiiKey):
            if model.file and not Path(model.file).is_file():
                found.append((f"{path}.file", f"no such file: {model.file}"))
            return model
        if isinstance(model, ModelFolder):
            if not find_folder(model).is_dir():
                found.append((path, f"no such folder, nor package: {model.folder}"))
            return model
        elsewhere = is_remote(model.file) or model.file in bundled_models()
        if not elsewhere and not Path(model.file).is_file():
            near = close_to(Path(model.file).name, bundled_models())
            found.append((f"{path}.file", f"no such file: {model.file}{near}"))
        return model

    with_files(recipe, look)
    yield from found
    for number, run in enumerate(recipe.deduplicate.against):
        if not Folder(run).exists("recipe.yaml"):
            yield (
                f"deduplicate.against[{number}]",
                f"no run here (it has no recipe.yaml): {run}",
            )
    for at, item in enumerate(recipe.inputs if inputs else ()):
        yield from files_of(at, item)[1]


def code_of(recipe: Recipe) -> dict[str, str]:
    """The marks of all parts of the user's own that a recipe names, see `Recipe.code`."""
    named = [(kind, name) for _, kind, name in own_parts(recipe)]
    chains = [getattr(recipe, section) for section in CHAINS]
    edits = [step for spec in chains for step in spec.chain if isinstance(step, EditStep)]
    if not (named or edits or any(spec.measures for spec in chains)):
        return {}  # without an import of every measure
    from curation import own

    for spec in chains:
        named += own.named_by(spec)
    return {f"{kind} {name}": own.mark(kind, name) for kind, name in sorted(set(named))}


def check_names(recipe: Recipe) -> list[Mistake]:
    """Names that others know: sources and kinds of the inputs, languages."""
    from curation.language import bundled, languages_of

    mistakes = []
    for section in CHAINS:
        for path, step in getattr(recipe, section).steps():
            mistakes += _check_limits(recipe, path, step)
    mistakes += _check_expected(recipe)
    models = (recipe.extract.language_model, recipe.extract.second_opinion)
    known = all(model is None or model.file in bundled_models() for model in models)
    if known and _languages(recipe):
        languages = languages_of(recipe.extract, lambda model: bundled(model.file))
        mistakes += check_languages(recipe, languages.codes if languages else ())
    return mistakes


def _check_expected(recipe: Recipe) -> Iterator[Mistake]:
    """What is expected must be of sources and reasons that there are."""
    from curation.chain_checks import reasons_of

    sources = [item.source for item in recipe.inputs]
    for name in recipe.expect.tokens if sources else ():
        if name not in sources:
            there = close_or_all(name, sources)
            yield f"expect.tokens.{name}", f"no input has the source `{name}`{there}"
    for stage, ranges in recipe.expect.reasons.items():
        if stage not in CHAINS:
            continue
        known = reasons_of(getattr(recipe, stage))
        for reason in ranges:
            if reason not in known:
                yield (
                    f"expect.reasons.{stage}.{reason}",
                    f"no rule of this chain has the reason `{reason}`{close_to(reason, known)}",
                )


def _check_limits(recipe: Recipe, path: str, step: Scope) -> list[Mistake]:
    """A step must be for sources that there are."""
    if not recipe.inputs:
        return []
    sources = [item.source for item in recipe.inputs]
    named = [(f"{path}.sources[{at}]", name) for at, name in enumerate(step.sources)]
    if isinstance(step, RedactStep):
        named += [(f"{path}.redact.sources.{name}", name) for name in step.asked.sources]
    return [
        (place, f"no input has the source `{name}`{close_or_all(name, sources)}")
        for place, name in named
        if name not in sources
    ]


def _languages(recipe: Recipe) -> list[tuple[str, str]]:
    """The languages in the recipe, each with its path."""
    found = [(f"extract.languages[{at}]", code) for at, code in enumerate(recipe.extract.languages)]
    for section in CHAINS:
        spec = getattr(recipe, section)
        for path, step in spec.steps():
            languages = getattr(step, "languages", ())
            if not isinstance(step, LanguagesStep):
                found += [(f"{path}.languages[{at}]", code) for at, code in enumerate(languages)]
                continue
            where = path if path.endswith(".languages") else f"{path}.languages"
            found += [(f"{where}.{code}", code) for code in languages]
        found += [
            (f"{section}.classifiers.{name}.cutoffs.{code}", code)
            for name, item in spec.classifiers.items()
            for code in item.cutoffs
        ]
    return found


def check_languages(recipe: Recipe, codes: Collection[str]) -> list[Mistake]:
    """Languages in the recipe that its model, which has these codes, never names."""
    from curation.language import closest

    model = recipe.extract.language_model
    said = model.file.rpartition("/")[2] if model else "`extract.language_model: null`"
    return [
        (path, f"{said} names no language `{code}`{closest(code, codes)}")
        for path, code in _languages(recipe)
        if code not in codes
    ]
