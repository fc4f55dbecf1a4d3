"""Learn the choice of blocks from pages with known main text, and say how well it does.

    python -m tests.benchmarks.train_blocks [--data FOLDER] [--keep]

A forest and a small net, each of which sees the features of a page's blocks; what they say is
averaged. All figures are by cross-validation over sites: no page is judged by a model that saw its
site. With `--keep` the models, trained on all pages, go into the package.
"""

import argparse
import gzip
import hashlib
import os
from collections import defaultdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

# The trees' threads wait busily for each other, which costs more than they bring.
os.environ["OMP_NUM_THREADS"] = "1"

import lightgbm
import numpy as np
import onnx
from numpy.typing import NDArray

from curation.extraction.blocks import model
from curation.extraction.blocks.repeats import once
from tests.benchmarks import block_examples, block_net
from tests.benchmarks.block_examples import Example
from tests.benchmarks.web_pages import REPOSITORY, Labelled, tokens

MODELS = REPOSITORY / "curation" / "extraction" / "blocks" / "learned"
MOST_BLOCKS = 300  # of a page that the trees learn from, at random
# Few trees, as they are much of the time that a page takes.
GLANCE_TREES, FIRST_TREES = 40, 120
GROWTH = {
    "objective": "cross_entropy",
    "num_leaves": 63,
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


def grown(examples: list[Example]) -> lightgbm.Booster:
    """A forest that has learned from the pages: the glance and the first look.

    Some blocks of each page, of weights that sum up to the page's; larger ones weigh more. Of
    pages without a gold text the blocks that have a snippet.
    """
    random = np.random.default_rng(0)
    rows, targets, weights = [], [], []
    for page in examples:
        if not page.teaches:
            continue
        some = np.flatnonzero(page.known)
        if len(some) > MOST_BLOCKS:
            some = np.sort(random.choice(some, MOST_BLOCKS, replace=False))
        weight = np.sqrt(page.sizes[some])
        rows.append(page.features[some])
        targets.append(page.labels[some])
        weights.append(weight * page.weight / max(weight.sum(), 1))
    weight = np.concatenate(weights)
    weight *= len(weight) / weight.sum()
    known = lightgbm.Dataset(
        np.concatenate(rows), np.concatenate(targets), weight=weight, params=GROWTH
    )
    return lightgbm.train(GROWTH, known, GLANCE_TREES + FIRST_TREES)


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


def forest_of_fold(held: int | None) -> Found:
    """The forest without a fold, in two, and how likely it says the fold's blocks are."""
    forest = grown([page for page in EXAMPLES if page.fold != held])
    files = [onnx_of(forest, 0, GLANCE_TREES), onnx_of(forest, GLANCE_TREES)]
    glance, others = map(model.Model, files)
    pages = [page for page in EXAMPLES if page.fold == held]
    return files, [model.by_trees(glance, others, page.features) for page in pages]


def net_of_fold(held: int | None) -> Found:
    """The net without a fold, and how likely it says the fold's blocks are."""
    file = block_net.onnx_of(block_net.fitted([page for page in EXAMPLES if page.fold != held]))
    net = model.Model(file)
    pages = [page for page in EXAMPLES if page.fold == held]
    return [file], [model.by_net(net, page.features) for page in pages]


def cross_validated(processes: int, keep: bool) -> list[bytes]:
    """Give each page the chances of models that did not see its site; the final models."""
    held: list[int | None] = [*([None] if keep else []), *range(block_examples.FOLDS)]
    files: list[bytes] = []
    for name, work in (("trees", forest_of_fold), ("net", net_of_fold)):
        with get_context("fork").Pool(processes) as pool:
            for out, (own, found) in zip(held, pool.map(work, held, chunksize=1), strict=True):
                if out is None:
                    files += own
                pages = [page for page in EXAMPLES if page.fold == out]
                for page, likely in zip(pages, found, strict=True):
                    setattr(page, name, likely)
    return files


def figures(by: str = "") -> dict[str, list[float]]:
    """F1 by set and page type, and whether each snippet was right, by cross-validation; of both
    models, or by `trees` or `net` alone."""
    found: dict[str, list[float]] = defaultdict(list)
    for page in EXAMPLES:
        likely = getattr(page, by or "trees")
        if not by and model.asks_net(page.trees, page.sizes):
            likely = model.both(page.trees, page.net)
        chosen = model.cut(likely, page.sizes, "balanced")
        chosen = once(chosen, page.sizes, page.tags, page.around, page.texts.__getitem__)
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
    for page in block_examples.load(folder, processes):
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
    files = cross_validated(arguments.processes, arguments.keep)
    trees, net = figures("trees"), figures("net")
    for name, scores in figures().items():
        means = (np.mean(some) for some in (trees[name], net[name], scores))
        print(f"{name:24} {len(scores):6}", *(f"{mean:8.4f}" for mean in means))
    if arguments.keep:
        for name, data in zip(("glance", "first", "net"), files, strict=True):
            path = MODELS / f"{name}.onnx.gz"
            path.write_bytes(gzip.compress(data, 9, mtime=0))
            print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")


if __name__ == "__main__":
    main()
