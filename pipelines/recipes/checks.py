"""Names in a recipe that others know: signals, kinds of personal data, sources, languages."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.recipes.files import bundled_models
from pipelines.recipes.mistakes import Mistake, did_you_mean
from schemas.filter import Filter, RulesStep
from schemas.recipe import Recipe


def check_keep(keep: str, spec: Filter) -> list[Mistake]:
    """What `deduplicate.keep` names must be measured by the chain, which has no mistake."""
    from curation.chain import Chain

    signals = Chain(spec).signals if "." in keep else (keep,)
    if keep in signals:
        return []
    there = did_you_mean(keep, signals) if signals else ", which measures none"
    return [("deduplicate.keep", f"`{keep}` is no signal of this recipe's chain{there}")]


def check_names(recipe: Recipe) -> list[Mistake]:
    """Names that others know: kinds of personal data, sources of the inputs, languages."""
    from curation.language import bundled, languages_of
    from curation.pii import KINDS

    mistakes = [
        (f"curate.pii[{index}]", f"`{kind}` is not known{did_you_mean(kind, KINDS)}")
        for index, kind in enumerate(recipe.curate.pii)
        if kind not in KINDS
    ]
    limited = [
        (f"filter.chain[{index}]", step)
        for index, step in enumerate(recipe.filter.chain)
        if isinstance(step, RulesStep)
    ]
    sources = [item.source for item in recipe.inputs]
    mistakes += [
        (f"{path}.sources[{at}]", f"no input has the source `{name}`{did_you_mean(name, sources)}")
        for path, step in limited
        for at, name in enumerate(step.sources)
        if sources and name not in sources
    ]
    models = (recipe.extract.language_model, recipe.extract.second_opinion)
    known = all(model is None or model.file in bundled_models() for model in models)
    if known and _languages(recipe):
        languages = languages_of(recipe.extract, lambda model: bundled(model.file))
        mistakes += check_languages(recipe, languages.codes if languages else ())
    return mistakes


def _languages(recipe: Recipe) -> list[tuple[str, str]]:
    """The languages in the recipe, each with its path."""
    return [
        *((f"extract.languages[{at}]", code) for at, code in enumerate(recipe.extract.languages)),
        *((f"filter.languages.{code}", code) for code in recipe.filter.languages),
        *(
            (f"filter.chain[{index}].languages[{at}]", code)
            for index, step in enumerate(recipe.filter.chain)
            if isinstance(step, RulesStep)
            for at, code in enumerate(step.languages)
        ),
        *(
            (f"filter.classifiers.{name}.cutoffs.{code}", code)
            for name, item in recipe.filter.classifiers.items()
            for code in item.cutoffs
        ),
    ]


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
