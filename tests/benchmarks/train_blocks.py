"""Learn the choice of blocks from pages with known main text, and say how well it does.

    python -m tests.benchmarks.train_blocks [--data FOLDER] [--keep]

Two forests: the first sees a block and what is around it, the second also what the first found
around it (on pages that it did not learn from). All figures are by
cross-validation over sites: no page is judged by trees that saw its site. With `--keep` the
models, trained on all pages, go into the package.
"""

import argparse
import gzip
import hashlib
import os
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# The trees' threads wait busily for each other, which costs more than they bring.
os.environ["OMP_NUM_THREADS"] = "1"

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray
from selectolax.lexbor import LexborHTMLParser

from curation.extraction.blocks import declared, dom, features, model
from curation.extraction.blocks.context import context
from tests.benchmarks.web_pages import REPOSITORY, Labelled, pages, tokens

FORESTS = REPOSITORY / "curation" / "extraction" / "blocks" / "forests"
FOLDS = 5
MOST_BLOCKS = 300  # of a page that are learned from, at random
REACH = 40  # tokens between two that are neighbours in the gold text
# Few trees, as they are much of the time that a page takes.
GLANCE_TREES, FIRST_TREES, SECOND_TREES = 40, 120, 100
FIRST_LEAVES, SECOND_LEAVES = 63, 31
GROWTH = {
    "objective": "cross_entropy",
    "learning_rate": 0.08,
    "extra_trees": True,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5,
    "max_bin": 63,
    "feature_pre_filter": False,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "seed": 1,
}


def subsequence(one: list[str], two: list[str]) -> list[tuple[int, int]]:
    """Places of a longest common subsequence, by Hyyro's bit-parallel algorithm (2004)."""
    masks: dict[str, int] = {}
    for at, token in enumerate(two):
        masks[token] = masks.get(token, 0) | 1 << at
    row = full = (1 << len(two)) - 1
    rows, places = [], []
    for at, token in enumerate(one):
        if mask := masks.get(token):
            both = row & mask
            row = (row + both | row - both) & full
            rows.append(row)
            places.append(at)
    pairs = []
    left, right = len(rows), len(two)
    while left and right:
        if rows[left - 1] >> right - 1 & 1:
            right -= 1
            continue
        left -= 1
        if not left or rows[left - 1] >> right - 1 & 1:
            right -= 1
            pairs.append((places[left], right))
    return pairs[::-1]


def aligned(one: list[str], two: list[str]) -> list[tuple[int, int]]:
    """The pairs of a common subsequence that have a neighbour close by, so no single words."""
    pairs = subsequence(one, two)
    place = {right: left for left, right in pairs}
    far = -REACH - 1
    return [
        (left, right)
        for left, right in pairs
        if left - place.get(right - 1, far) <= REACH
        or place.get(right + 1, left + REACH + 1) - left <= REACH
    ]


def labels(texts: list[list[str]], gold: list[str]) -> NDArray[np.float64]:
    """The share of each block's tokens that are in the gold text.

    First in order; then blocks that are whole in what is left, as gold is not always in the
    page's order.
    """
    share = np.zeros(len(texts))
    used: set[int] = set()
    for least in (0.5, 0.8):
        rest = [at for at in range(len(texts)) if share[at] < 0.5]
        if least > 0.5:
            rest = [at for at in rest if len(texts[at]) >= 4]
        wanted = [at for at in range(len(gold)) if at not in used]
        owner = [at for at in rest for _ in texts[at]]
        found: dict[int, list[int]] = defaultdict(list)
        flat = [token for at in rest for token in texts[at]]
        for left, right in aligned(flat, [gold[at] for at in wanted]):
            found[owner[left]].append(wanted[right])
        for at, places in found.items():
            part = len(places) / len(texts[at])
            if least == 0.5 or part >= least:
                share[at] = part
            if part >= least:
                used.update(places)
    return share


@dataclass(slots=True)
class Example:
    """A page to learn from, or to be judged by.

    features: a row a block. tokens: numbers of the page's words, blocks of them after each other;
    counts: words a block. gold: numbers of the gold text's words. texts: of the blocks. labels:
    the share of each block that is gold. taught: labels that a snippet gives, else -1. weight: of
    the page. first, last: logits of its blocks, in steps, after the first look and the second.
    """

    page: Labelled
    fold: int
    table: features.Table
    features: NDArray[np.float32]
    tokens: NDArray[np.int64]
    counts: NDArray[np.int64]
    gold: NDArray[np.int64]
    texts: list[str]
    labels: NDArray[np.float64]
    taught: NDArray[np.int64]
    weight: float
    first: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    last: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def f1(self, chosen: NDArray[np.bool_]) -> float:
        """F1 of the words of the chosen blocks."""
        size = 1 + max(self.tokens.max(initial=0), self.gold.max(initial=0))
        found = np.bincount(self.tokens[np.repeat(chosen, self.counts)], minlength=size)
        gold = np.bincount(self.gold, minlength=size)
        return 2 * np.minimum(found, gold).sum() / max(found.sum() + gold.sum(), 1)


def fold(site: str) -> int:
    """The fold of a site, by its name alone."""
    return zlib.crc32(f"fold {site}".encode()) % FOLDS


def example(page: Labelled) -> Example | Labelled:
    """What a page teaches; the page itself if it has no text."""
    tree = LexborHTMLParser(page.html())
    read = dom.read(tree)
    table = read and features.table(read, declared.read(tree))
    if not read or not table:
        return page
    ranges = zip(table.first.tolist(), table.last.tolist(), strict=True)
    texts = [" ".join("".join(read.texts[a:b]).split()) for a, b in ranges]
    lowered = [text.lower() for text in texts]
    words = [tokens(text) for text in lowered]
    gold = tokens(page.gold or "")
    numbers: dict[str, int] = {}
    share = labels(words, gold) if gold else np.zeros(len(words))
    taught = np.full(len(words), -1)
    for snippets, value in ((page.unwanted, 0), (page.wanted, 1)):
        for snippet in snippets:
            known = " ".join(snippet.lower().split())
            for at, text in enumerate(lowered):
                # What must not be there may be a word that is also in a paragraph.
                if known and known in text and (value or len(text) < 4 * len(known) + 40):
                    taught[at] = value
    made = Example(
        page,
        fold(page.site),
        table,
        table.features,
        np.array([numbers.setdefault(w, len(numbers)) for block in words for w in block], np.int64),
        np.array([len(block) for block in words]),
        np.array([numbers.setdefault(w, len(numbers)) for w in gold], np.int64),
        texts,
        share,
        taught,
        0.0,
    )
    best = made.f1(share >= 0.5) if gold else 0.0
    match page.name:
        # Gold that no choice of blocks comes near is of another page, or cut short.
        case "wcxb" if gold:
            made.weight = 1.0 if best >= 0.6 else 0.2
        case "articles" if best >= 0.85 and len(gold) >= 40:
            made.weight = 1.0
        case "trafilatura-eval":
            made.weight = 0.2
    table.features = np.zeros((0, 0), np.float32)
    return made


def grown(
    examples: list[Example],
    trees: int,
    leaves: int,
    inputs: Callable[[Example], NDArray[np.float32]],
) -> lightgbm.Booster:
    """A forest that has learned from the pages.

    Some blocks of each page, of weights that sum up to the page's; larger ones weigh more. Of
    pages without a gold text the blocks that have a snippet.
    """
    random = np.random.default_rng(0)
    rows, targets, weights = [], [], []
    for page in examples:
        some = np.arange(len(page.labels)) if len(page.gold) else np.flatnonzero(page.taught >= 0)
        if not page.weight or not len(some):
            continue
        if len(some) > MOST_BLOCKS:
            some = np.sort(random.choice(some, MOST_BLOCKS, replace=False))
        weight = np.sqrt(page.table.sizes[some])
        rows.append(inputs(page)[some])
        targets.append(page.labels[some] if len(page.gold) else page.taught[some])
        weights.append(weight * page.weight / max(weight.sum(), 1))
    weight = np.concatenate(weights)
    weight *= len(weight) / weight.sum()
    growth = {**GROWTH, "num_leaves": leaves}
    known = lightgbm.Dataset(
        np.concatenate(rows), np.concatenate(targets), weight=weight, params=growth
    )
    return lightgbm.train(growth, known, trees)


def first_forest(examples: list[Example]) -> lightgbm.Booster:
    """Learn the glance and the first look."""
    return grown(examples, GLANCE_TREES + FIRST_TREES, FIRST_LEAVES, lambda page: page.features)


def second_inputs(page: Example) -> NDArray[np.float32]:
    """What the second look sees."""
    likely = model.thousandths(page.first)
    around = context(page.table, likely, np.arange(len(likely)))
    return np.concatenate([around, page.features], axis=1)


def second_forest(examples: list[Example]) -> lightgbm.Booster:
    """Learn the second look, from what the first found on pages that it did not learn from."""
    return grown(examples, SECOND_TREES, SECOND_LEAVES, second_inputs)


EXAMPLES: list[Example] = []  # shared with the processes
BARE: list[Labelled] = []  # pages without any text


def onnx_of(forest: lightgbm.Booster, start: int = 0, number: int = -1) -> bytes:
    """Some trees as an ONNX file, the sum of their leaves as its output."""
    nodes: dict[str, list[Any]] = defaultdict(list)
    leaves: dict[str, list[Any]] = defaultdict(list)

    def add(tree: int, branch: dict[str, Any]) -> int:
        """Write a node and what is below it; returns its number."""
        number = len(nodes["treeids"]) - starts[tree]
        is_leaf = "leaf_value" in branch
        row: dict[str, Any] = {
            "treeids": tree,
            "nodeids": number,
            "featureids": 0 if is_leaf else branch["split_feature"],
            "values": 0.0 if is_leaf else branch["threshold"],
            "modes": "LEAF" if is_leaf else "BRANCH_LEQ",
            "hitrates": 1.0,
            "missing_value_tracks_true": 0,
            "truenodeids": 0,
            "falsenodeids": 0,
        }
        for key, value in row.items():
            nodes[key].append(value)
        if is_leaf:
            leaf = {"treeids": tree, "nodeids": number, "ids": 0, "weights": branch["leaf_value"]}
            for key, value in leaf.items():
                leaves[key].append(value)
        else:
            nodes["truenodeids"][starts[tree] + number] = add(tree, branch["left_child"])
            nodes["falsenodeids"][starts[tree] + number] = add(tree, branch["right_child"])
        return number

    starts: list[int] = []
    for tree, info in enumerate(forest.dump_model(number, start)["tree_info"]):
        starts.append(len(nodes["treeids"]))
        add(tree, info["tree_structure"])
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["logit"],
        domain="ai.onnx.ml",
        n_targets=1,
        **{f"nodes_{key}": values for key, values in nodes.items()},
        **{f"target_{key}": values for key, values in leaves.items()},
    )
    shapes = [("features", forest.num_feature()), ("logit", 1)]
    inputs, outputs = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, size])
        for name, size in shapes
    )
    graph = onnx.helper.make_graph([node], "forest", [inputs], [outputs])
    versions = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    return onnx.helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()


Found = tuple[list[bytes], list[NDArray[np.int64]]]


def first_of_fold(held: int | None) -> Found:
    """The first forest without a fold, in two, and the logits of the blocks of its pages."""
    forest = first_forest([page for page in EXAMPLES if page.fold != held])
    files = [onnx_of(forest, 0, GLANCE_TREES), onnx_of(forest, GLANCE_TREES)]
    glance, others = map(model.Forest, files)
    pages = [page for page in EXAMPLES if page.fold == held]
    return files, [model.first_look(glance, others, page.features) for page in pages]


def second_of_fold(held: int | None) -> Found:
    """The second forest without a fold, and the last logits of the blocks of its pages."""
    data = onnx_of(second_forest([page for page in EXAMPLES if page.fold != held]))
    forest = model.Forest(data)
    found = []
    for page in EXAMPLES:
        if page.fold == held:
            likely, again = page.first.copy(), model.unsure(model.thousandths(page.first))
            if again.any():
                second = model.steps(forest.scores(second_inputs(page)[again]))
                likely[again] = model.second_look(likely[again], second)
            found.append(likely)
    return [data], found


def cross_validated(processes: int, keep: bool) -> list[bytes]:
    """Give each page the chances of forests that did not see its site; the final forests."""
    held: list[int | None] = [*([None] if keep else []), *range(FOLDS)]
    context_ = get_context("fork")
    forests: list[bytes] = []
    for name, work in (("first", first_of_fold), ("last", second_of_fold)):
        with context_.Pool(processes) as pool:
            for out, (files, found) in zip(held, pool.map(work, held, chunksize=1), strict=True):
                if out is None:
                    forests += files
                pages = [page for page in EXAMPLES if page.fold == out]
                for page, likely in zip(pages, found, strict=True):
                    setattr(page, name, likely)
    return forests


def figures(look: str = "last") -> dict[str, list[float]]:
    """F1 by set and page type, and whether each snippet was right, by cross-validation."""
    found: dict[str, list[float]] = defaultdict(list)
    for page in EXAMPLES:
        likely = model.thousandths(getattr(page, look))
        chosen = model.cut(likely, page.table.sizes, "balanced")
        if len(page.gold):
            score = page.f1(chosen)
            for key in dict.fromkeys((page.page.name, f"{page.page.name} {page.page.kind}")):
                found[key].append(score)
        if page.page.name == "trafilatura-eval":
            text = "\n".join(page.texts[at] for at in np.flatnonzero(chosen))
            found["snippets"] += [float(snippet in text) for snippet in page.page.wanted]
            found["snippets"] += [float(snippet not in text) for snippet in page.page.unwanted]
    for bare in BARE:
        if tokens(bare.gold or ""):
            for key in dict.fromkeys((bare.name, f"{bare.name} {bare.kind}")):
                found[key].append(0.0)
    return dict(sorted(found.items()))


def load(folder: Path, processes: int) -> None:
    """Read the pages. Pages without any text count in the figures as F1 0."""
    sets = ("articles", "trafilatura-eval", "wcxb")
    with get_context("fork").Pool(processes) as pool:
        for page in pool.imap(example, pages(folder, sets), chunksize=8):
            (EXAMPLES if isinstance(page, Example) else BARE).append(page)


def main() -> None:
    """Learn, validate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    data = os.environ.get("GRISTMILL_DATA", str(REPOSITORY.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(data))
    parser.add_argument("--keep", action="store_true", help="write the models to the package")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    load(arguments.data / "web", arguments.processes)
    forests = cross_validated(arguments.processes, arguments.keep)
    before = figures("first")
    for name, scores in figures().items():
        print(f"{name:24} {len(scores):6} {np.mean(before[name]):8.4f} {np.mean(scores):8.4f}")
    if arguments.keep:
        for name, data in zip(("glance", "first", "second"), forests, strict=True):
            path = FORESTS / f"{name}.onnx.gz"
            path.write_bytes(gzip.compress(data, 9, mtime=0))
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")


if __name__ == "__main__":
    main()
