"""A small convolution over the blocks of a page, learned by torch, and the file it becomes.

It sees the same features as the trees, and blocks up to 30 before and after as far as they matter.
In the file all weights and all values between layers are whole multiples of a power of two, few
enough bits of them that any sum is exact in float32: so the order of summation, which differs
between processors, decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from curation.extraction.blocks.features import COLUMNS, KINDS, ROLES
from curation.extraction.blocks.words import GROUPS
from tests.benchmarks.block_examples import Example

# Columns of a row of features, in the order of `measure.pyx`.
_BEFORE_NAMES = 150
DISTANCES = range(_BEFORE_NAMES, _BEFORE_NAMES + len(GROUPS) + len(ROLES))
_TOP = DISTANCES.stop  # sections from the top
_NEIGHBOURS = _TOP + 30 + 8 + 8 + 9
_KINDS = [8, 15, 17, *range(68, 74), *range(_TOP + 15, _TOP + 20)]
_KINDS += range(_NEIGHBOURS + 8, _NEIGHBOURS + 12)
_CLASSES = [6, 7]  # of characters
# What is a name, not a number, with how many values: none is one of them.
NAMES = dict.fromkeys(_CLASSES, 8) | dict.fromkeys(_KINDS, len(KINDS) + 2)
NUMBERS = [column for column in range(COLUMNS) if column not in NAMES]

HIDDEN = 64
DILATIONS = (1, 2, 4, 8)
_NAME = 4  # numbers that a name becomes
EPOCHS, PAGES = 10, 8  # pages a step
MOST_BLOCKS = 600  # of a page, in a row
RATE, DECAY, DROPOUT, INPUT_DROPOUT = 4e-3, 0.02, 0.25, 0.1
F_WEIGHT = 0.5  # of a page's F1 beside the cross-entropy of its blocks

# In the file, steps a unit: of inputs, and of values between layers.
_INPUT, _VALUE = 8, 32
_FARTHEST = 4.0  # standard deviations
_MOST = 1023  # steps of a value between layers


class Net(nn.Module):
    """Rows of features of a page's blocks to logits."""

    mean: Tensor
    scale: Tensor
    sizes: Tensor
    starts: Tensor

    def __init__(self, rows: NDArray[np.float32]) -> None:
        """`rows`: features by whose spread inputs are scaled."""
        super().__init__()
        known = fourth_root(torch.from_numpy(rows[:, NUMBERS]))
        sizes = torch.tensor(list(NAMES.values()))
        self.register_buffer("mean", known.mean(0))
        self.register_buffer("scale", 1 / (known.std(0) + 0.01))
        self.register_buffer("sizes", sizes)
        self.register_buffer("starts", sizes.cumsum(0) - sizes)
        self.names = nn.Embedding(sum(NAMES.values()), _NAME)
        self.of_names = nn.Parameter(
            torch.randn(len(NAMES), _NAME, HIDDEN) / (2 * (len(NAMES) * _NAME) ** 0.5)
        )
        self.of_numbers = nn.Linear(len(NUMBERS) + 2 * len(DISTANCES), HIDDEN)
        self.near = nn.ModuleList(
            nn.Conv1d(HIDDEN, HIDDEN, 3, padding=apart, dilation=apart) for apart in DILATIONS
        )
        self.page = nn.ModuleList(nn.Linear(2 * HIDDEN, HIDDEN) for _ in DILATIONS)
        self.logit = nn.Linear(2 * HIDDEN, 1)

    def inputs(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers, and places in the table of names, of rows of features [..., COLUMNS]."""
        known = (fourth_root(rows[..., NUMBERS]) - self.mean) * self.scale
        steps = (known.clamp(-_FARTHEST, _FARTHEST) * _INPUT).round() / _INPUT
        distances = rows[..., list(DISTANCES)]
        numbers = torch.cat([steps, (distances == 0).float(), (distances <= 2).float()], -1)
        names = rows[..., list(NAMES)]
        names = torch.where(names < 0, self.sizes - 1, torch.minimum(names, self.sizes - 1))
        return numbers, names.long() + self.starts

    def forward(self, numbers: Tensor, names: Tensor, there: Tensor) -> Tensor:
        """Logits [pages, blocks]; there: which of the blocks there are, as 0 or 1."""

        def drop(values: Tensor, share: float) -> Tensor:
            return functional.dropout(values, share, self.training)

        named = torch.einsum("pbnk,nkh->pbh", drop(self.names(names), INPUT_DROPOUT), self.of_names)
        first = last = functional.relu(self.of_numbers(drop(numbers, INPUT_DROPOUT)) + named)
        there = there[..., None]
        many = there.sum(1).clamp(min=1)
        for near, page in zip(self.near, self.page, strict=True):
            known = last * there
            whole = torch.cat([known.sum(1) / many, known.amax(1)], -1)
            found = near(known.transpose(1, 2)).transpose(1, 2) + page(whole)[:, None]
            last = last + drop(functional.relu(found), DROPOUT)
        return self.logit(torch.cat([last, first], -1))[..., 0]


def fourth_root(values: Tensor) -> Tensor:
    """What makes small and large counts alike; exact on every machine, as logarithms are not."""
    return values.sign() * values.abs().sqrt().sqrt()


def fitted(examples: Sequence[Example], seed: int = 1) -> Net:
    """Learn from the pages, by cross-entropy of blocks and the F1 to be expected of pages."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    pages = [page for page in examples if page.teaches]
    net = Net(np.concatenate([page.features for page in pages[::3]]))
    optimizer = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(pages) // PAGES + 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.15)
    for _ in range(EPOCHS):
        order = random.permutation(len(pages))
        # pages of like sizes together, within some steps' pages
        for start in range(0, len(order), 8 * PAGES):
            some = sorted(order[start : start + 8 * PAGES], key=lambda at: len(pages[at].sizes))
            for at in range(0, len(some), PAGES):
                loss = _loss(net, [pages[page] for page in some[at : at + PAGES]], random)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                schedule.step()
    return net.eval()


def _loss(net: Net, pages: Sequence[Example], random: np.random.Generator) -> Tensor:
    """Of some pages, or of as many of their blocks as are learned from at once."""
    parts = []
    for page in pages:
        most = len(page.sizes) - MOST_BLOCKS
        start = int(random.integers(0, most + 1)) if most > 0 else 0
        parts.append(slice(start, start + MOST_BLOCKS))

    def padded(of_pages: Sequence[NDArray[np.generic]]) -> Tensor:
        values = [torch.from_numpy(all_[part]) for all_, part in zip(of_pages, parts, strict=True)]
        return nn.utils.rnn.pad_sequence([value.float() for value in values], batch_first=True)

    wanted, known = padded([page.labels for page in pages]), padded([page.known for page in pages])
    sizes, there = (
        padded([page.sizes for page in pages]),
        padded([page.sizes >= 0 for page in pages]),
    )
    weights = torch.tensor([page.weight for page in pages])
    logits = net(*net.inputs(padded([page.features for page in pages])), there)
    of_blocks = sizes.sqrt() * known
    of_blocks *= (weights / of_blocks.sum(1).clamp(min=1))[:, None]
    entropy = functional.binary_cross_entropy_with_logits(
        logits, wanted, of_blocks, reduction="sum"
    )
    likely = logits.sigmoid() * there
    gold = (wanted * sizes).sum(1)
    f1 = 2 * (likely * wanted * sizes).sum(1) / ((likely * sizes).sum(1) + gold + 1)
    whole = torch.tensor([bool(len(page.gold)) for page in pages]) & (gold > 5)
    return (entropy + F_WEIGHT * ((1 - f1) * weights * whole).sum()) / len(pages)


class _Graph:
    """Nodes and constants of an ONNX file as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, kind: type = np.float32) -> str:
        """The name of a constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        """The name of what an operator gives."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def linear(self, value: str, weight: Tensor, bias: Tensor | None, most: int) -> str:
        """Sums of whole numbers of at most `most`; weight: [out, in]."""
        found = self.add("MatMul", value, self.constant(rounded(weight, most).T))
        return found if bias is None else self.add("Add", found, self.constant(halves(bias)))

    def stepped(self, value: str) -> str:
        """Whole steps between layers of a value that is none below 0."""
        return self.add("Min", self.add("Round", value), self.constant(_MOST))

    def file(self, name: str, most_inputs: int) -> bytes:
        """The ONNX file, with the last node's value as its output."""
        self.nodes[-1].output[0] = "logit"
        ends = [
            helper.make_tensor_value_info(end, TensorProto.FLOAT, [None, size])
            for end, size in (("features", most_inputs), ("logit", 1))
        ]
        graph = helper.make_graph(self.nodes, name, ends[:1], ends[1:], self.constants)
        versions = [helper.make_opsetid("", 18)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def rounded(weights: Tensor, most: int) -> NDArray[np.float32]:
    """Weights [out, ...] in the finest steps with which float32 holds any sum of whole numbers of
    at most `most` times the weights. Raises ValueError if these are too coarse."""
    values = weights.detach().double().numpy()
    largest = np.abs(values).reshape(len(values), -1).sum(1).max() * most
    bits = 22 - int(np.ceil(np.log2(largest)))
    if bits < 6:
        raise ValueError(f"weights of {bits} bits: they are too large")
    return (np.rint(values * 2.0**bits) / 2.0**bits).astype(np.float32)


def halves(bias: Tensor) -> NDArray[np.float32]:
    """A bias in halves of a step: a sum to which it is added stays exact."""
    return (np.rint(bias.detach().numpy() * 2) / 2).astype(np.float32)


def onnx_of(net: Net) -> bytes:
    """The net as an ONNX file: rows of features of one page to logits."""
    graph = _Graph()
    add, constant = graph.add, graph.constant
    first_axis = constant([0], np.int64)

    # All columns, as they lie; those of names weigh nothing here.
    mean, scale = np.zeros(COLUMNS, np.float32), np.zeros(COLUMNS, np.float32)
    mean[NUMBERS], scale[NUMBERS] = net.mean, net.scale * _INPUT
    root = add("Mul", add("Sign", "features"), add("Sqrt", add("Sqrt", add("Abs", "features"))))
    known = add("Mul", add("Sub", root, constant(mean)), constant(scale))
    most = int(_FARTHEST * _INPUT)
    steps = add("Round", add("Clip", known, constant(-most), constant(most)))
    weight = torch.zeros(HIDDEN, COLUMNS)
    numbers, distances = net.of_numbers.weight.split([len(NUMBERS), 2 * len(DISTANCES)], 1)
    weight[:, NUMBERS] = numbers
    value = graph.linear(steps, weight * _VALUE / _INPUT, net.of_numbers.bias * _VALUE, most)
    which = (constant([at], np.int64) for at in (DISTANCES.start, DISTANCES.stop, 1))
    near = add("Slice", "features", *which)
    for reach, part in zip((0.0, 2.0), distances.chunk(2, 1), strict=True):
        within = add("Cast", add("LessOrEqual", near, constant(reach)), to=TensorProto.FLOAT)
        value = add("Add", value, graph.linear(within, part * _VALUE, None, 1))
    names = add("Gather", "features", constant(list(NAMES), np.int64), axis=1)
    last = constant(net.sizes - 1)
    names = add("Where", add("Less", names, constant(0)), last, add("Min", names, last))
    names = add("Cast", add("Add", names, constant(net.starts)), to=TensorProto.INT64)
    owners = net.of_names.repeat_interleave(net.sizes, 0)
    table = torch.einsum("nk,nkh->nh", net.names.weight, owners) * _VALUE
    named = add("Gather", constant(rounded(table, len(NAMES))), names, axis=0)
    value = add("Add", value, add("ReduceSum", named, constant([1], np.int64), keepdims=0))
    value = first = graph.stepped(add("Relu", value))

    for apart, close, page in zip(DILATIONS, net.near, net.page, strict=True):
        # Doubles hold the sum over a page's blocks, however many.
        mean_ = add("ReduceMean", add("Cast", value, to=TensorProto.DOUBLE), first_axis)
        mean_ = add("Round", add("Cast", mean_, to=TensorProto.FLOAT))
        whole = add("Concat", mean_, add("ReduceMax", value, first_axis), axis=1)
        whole = graph.linear(whole, page.weight, (page.bias + close.bias) * _VALUE, _MOST)
        turned = add("Unsqueeze", add("Transpose", value, perm=[1, 0]), first_axis)
        weight = constant(rounded(close.weight, _MOST))
        found = add("Conv", turned, weight, dilations=[apart], pads=[apart, apart])
        found = add("Transpose", add("Squeeze", found, first_axis), perm=[1, 0])
        found = add("Relu", add("Add", found, whole))
        value = graph.stepped(add("Add", value, found))
    both = add("Concat", value, first, axis=1)
    found = graph.linear(both, net.logit.weight, net.logit.bias * _VALUE, _MOST)
    add("Mul", found, constant(1 / _VALUE))
    return graph.file("net", COLUMNS)
