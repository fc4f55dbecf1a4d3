from __future__ import annotations

import pytest
import torch

from tests.train.conftest import Run
from train.attention import Backend, attend, document_mask
from train.data import ShardReader, targets
from train.step import document_bounds


@pytest.fixture(scope="module")
def segments(run: Run) -> torch.Tensor:
    """Of three rows: those of the validation split with the most documents."""
    reader = ShardReader(run.shards, run.manifest, "validation")
    rows = reader.read(0, reader.rows)
    chosen = rows.begins.sum(1).argsort()[-3:]
    padding = run.manifest.tokenizer.padding
    return torch.from_numpy(targets(rows.ids[chosen], rows.begins[chosen], padding).segments)


def heads(segments: torch.Tensor) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows, length = segments.shape
    shapes = ((rows, 4, length, 16), (rows, 2, length, 16), (rows, 2, length, 16))
    return [torch.randn(s, generator=generator, requires_grad=True) for s in shapes]


def reference(segments: torch.Tensor, prefix: torch.Tensor | None) -> torch.Tensor:
    """By the definition, position by position."""
    q, k, v = (x.repeat_interleave(4 // x.shape[1], 1) for x in heads(segments))
    out = torch.zeros_like(q)
    rows, length = segments.shape
    for row in range(rows):
        for place in range(length):
            seen = (segments[row] == segments[row, place]) & (torch.arange(length) <= place)
            if prefix is not None:
                seen |= (segments[row] == segments[row, place]) & prefix[row]
            scores = torch.einsum("hc,hkc->hk", q[row, :, place], k[row][:, seen]) / 4
            out[row, :, place] = torch.einsum("hk,hkc->hc", scores.softmax(-1), v[row][:, seen])
    return out


def some_prefix(segments: torch.Tensor, kind: str) -> torch.Tensor | None:
    if kind == "causal":
        return None
    if kind == "bidirectional":
        return torch.ones_like(segments, dtype=torch.bool)
    return torch.rand(segments.shape, generator=torch.Generator().manual_seed(2)) < 0.3


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", ["causal", "prefix", "bidirectional"])
def test_backends_are_the_definition(segments: torch.Tensor, kind: str) -> None:
    prefix = some_prefix(segments, kind)
    backends: tuple[Backend, ...] = ("dense", "documents", "flex")
    with torch.no_grad():
        expected = reference(segments, prefix)
        for backend in backends:
            mask = document_mask(segments, backend, prefix=prefix)
            found = attend(*(x.detach() for x in heads(segments)), mask)
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["causal", "prefix"])
def test_documents_have_the_gradient_of_dense(segments: torch.Tensor, kind: str) -> None:
    grads = []
    for backend in ("dense", "documents"):
        inputs = heads(segments)
        mask = document_mask(segments, backend, prefix=some_prefix(segments, kind))  # type: ignore[arg-type]
        attend(*inputs, mask).square().sum().backward()
        grads.append([x.grad for x in inputs])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_queries_of_some_places_attend_as_among_all(segments: torch.Tensor) -> None:
    places = torch.tensor([3, 17, 64, 127])
    q, k, v = heads(segments)
    with torch.no_grad():
        whole = attend(q, k, v, document_mask(segments, "dense"))
        some = attend(q[:, :, places], k, v, document_mask(segments, "dense", places=places))
    torch.testing.assert_close(some, whole[:, :, places], atol=1e-6, rtol=1e-5)


def test_bounds_are_where_documents_begin(segments: torch.Tensor) -> None:
    bounds = document_bounds(segments.numpy(), 1)
    assert bounds.shape == (3, 257)
    for row, found in zip(segments, bounds, strict=True):
        begins = [0, *(torch.nonzero(row[1:] != row[:-1]).flatten() + 1).tolist()]
        assert found[: len(begins)].tolist() == begins
        assert (found[len(begins) :] == len(row)).all()
    # Rows of one pass are one sequence.
    both = document_bounds(segments[:2].numpy(), 2)[0]
    count = int((bounds[0] < 128).sum())
    assert both[count] == 128
