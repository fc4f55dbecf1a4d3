"""`gristmill recipe`: look at recipes."""

from __future__ import annotations

import argparse
import json

from pipelines.commands.parsing import Add, adder


def add_recipe(add: Add) -> None:
    """Add `recipe` and its actions."""
    recipe = add("recipe", "Look at recipes.", "gristmill recipe show fineweb", lambda _: 0)
    act = adder(recipe, "ACTION")
    act("list", "List the bundled recipes.", "gristmill recipe list", _list)
    act(
        "schema",
        "Print the JSON Schema of recipes, for editors.",
        "gristmill recipe schema",
        _schema,
    )
    for name, help_, command in (
        ("show", "Print a recipe with all that it extends and all defaults.", _show),
        ("validate", "Check a recipe and say everything that is wrong.", _validate),
    ):
        sub = act(name, help_, f"gristmill recipe {name} fineweb", command)
        sub.add_argument("recipe", help="a bundled recipe's name, or a YAML file")
        if name == "show":
            sub.add_argument(
                "--origin", action="store_true", help="a value a line, and the file it is from"
            )
        else:
            sub.add_argument(
                "--no-inputs", action="store_true", help="the files of `inputs` need not be there"
            )

    diff = act(
        "diff",
        "Print two recipes or sets of rules side by side: their rules, and the keys that differ.",
        "gristmill recipe diff fineweb dclm",
        _diff,
    )
    for side in ("left", "right"):
        diff.add_argument(
            side,
            help="a recipe or table, by a bundled name or in a YAML file, a chain's file, or a "
            "run's folder",
        )
    diff.add_argument("--json", action="store_true", help="as JSON")


def _list(_: argparse.Namespace) -> int:
    import textwrap

    from pipelines.recipes.loading import describe

    for name, description in describe():
        head = f"{name:<12} "
        print(textwrap.fill(head + description, 100, subsequent_indent=" " * len(head)))
    return 0


def _show(options: argparse.Namespace) -> int:
    from pipelines.recipes.loading import load, origins, to_yaml
    from schemas.mistakes import shown

    if options.origin:
        lines = [(f"{path}: {shown(value)}", at) for path, value, at in origins(options.recipe)]
        wide = min(60, max(len(line) for line, _ in lines))
        print("\n".join(f"{line:<{wide}}  # {at}" for line, at in lines))
        return 0
    print(to_yaml(load(options.recipe, imports=False)), end="")
    return 0


def _validate(options: argparse.Namespace) -> int:
    from pipelines.commands.progress import listener
    from pipelines.recipes.loading import load
    from pipelines.recipes.mistakes import RecipeError
    from pipelines.recipes.scopes import check_scopes, kinds_of, scoped
    from pipelines.recipes.trial import try_out
    from pipelines.runs.splits import plan_splits

    inputs = not options.no_inputs
    recipe = load(options.recipe, files=True, inputs=inputs)
    mistakes = try_out(recipe)
    if inputs and recipe.inputs:
        kinds = kinds_of(recipe, plan_splits(recipe))
        mistakes += check_scopes(recipe, kinds)
    if mistakes:
        raise RecipeError(options.recipe, mistakes)
    if inputs and recipe.inputs:
        show = listener("auto", quiet=False)
        for event in scoped(recipe, kinds):
            show(event)
    print(f"{options.recipe}: a valid recipe")
    return 0


def _diff(options: argparse.Namespace) -> int:
    from pipelines.recipes.comparison import as_json, as_text, compare, recipe_at

    called = (options.left, options.right)
    found = compare(recipe_at(options.left), recipe_at(options.right), called)
    print(json.dumps(as_json(found), indent=1) if options.json else as_text(found))
    return 0


def _schema(_: argparse.Namespace) -> int:
    from schemas.recipe import Recipe

    print(json.dumps(Recipe.model_json_schema(), indent=1))
    return 0
