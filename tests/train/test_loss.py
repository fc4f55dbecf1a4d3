from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from train import float8
from train.loss import linear_cross_entropy


def tensors(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 50, 32, generator=generator).to(dtype).requires_grad_()
    weight = (torch.randn(300, 32, generator=generator) / 4).to(dtype).requires_grad_()
    labels = torch.randint(0, 300, (2, 50), generator=generator)
    labels[0, ::3] = -100
    return hidden, weight, labels


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_the_one_pass_is_cross_entropy(chunk: int) -> None:
    hidden, weight, labels = tensors()
    logits = F.linear(hidden, weight).flatten(0, 1)
    expected = F.cross_entropy(logits, labels.flatten(), reduction="none", ignore_index=-100)
    expected.sum().mul(0.25).backward()
    grads = [hidden.grad, weight.grad]
    hidden, weight, labels = tensors()
    losses = linear_cross_entropy(hidden, weight, labels, chunk=chunk)
    torch.testing.assert_close(losses.each.flatten(), expected.detach())
    torch.testing.assert_close(losses.total, losses.each.sum().view(1))
    assert not losses.each.requires_grad
    (losses.total * 0.25).sum().backward()
    for grad, found in zip(grads, (hidden.grad, weight.grad), strict=True):
        torch.testing.assert_close(found, grad, atol=1e-6, rtol=1e-5)


def test_no_more_than_a_chunk_of_logits_is_held() -> None:
    sizes: list[int] = []

    class Sizes(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor):
                sizes.append(out.numel())
            return out

    hidden, weight = torch.randn(1, 512, 8), torch.randn(4096, 8)
    with Sizes():
        linear_cross_entropy(hidden, weight, torch.zeros(1, 512, dtype=torch.long), chunk=16)
    assert max(sizes) <= 16 * 4096


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sums_of_half_precision_are_fp32(dtype: torch.dtype) -> None:
    hidden, weight, labels = tensors()
    exact = linear_cross_entropy(hidden, weight, labels, chunk=10)
    exact.total.sum().backward()
    half, half_weight, _ = tensors(dtype)
    losses = linear_cross_entropy(half, half_weight, labels, chunk=10)
    (losses.total * 512.0).sum().backward()  # as fp16 scales the loss
    assert losses.each.dtype == torch.float32
    assert half.grad is not None
    assert half.grad.dtype == dtype
    torch.testing.assert_close(losses.total, exact.total, rtol=2e-2, atol=0.5)
    torch.testing.assert_close(half.grad.float() / 512, hidden.grad, rtol=0.1, atol=0.05)


def test_float8_products_are_near_and_rounded() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 40, 64, generator=generator).requires_grad_()
    weight = (torch.randn(48, 64, generator=generator) / 8).requires_grad_()
    target = torch.randn(2, 40, 48, generator=generator)
    exact = F.linear(x, weight)
    (exact * target).sum().backward()
    grads = [x.grad, weight.grad]
    x.grad = weight.grad = None
    found = float8.linear(x, weight)
    (found * target).sum().backward()
    for one, other in ((exact, found), (grads[0], x.grad), (grads[1], weight.grad)):
        assert one is not None and other is not None  # noqa: PT018
        error = ((one - other).norm() / one.norm()).item()
        assert 0.005 < error < 0.08  # e4m3 has 3 bits of fraction, e5m2 has 2
    # What float8 can write is multiplied exactly.
    small = torch.tensor([[1.0, -2.0, 448.0, 0.5] * 4])
    assert torch.equal(float8.linear(small, small), small @ small.T)
