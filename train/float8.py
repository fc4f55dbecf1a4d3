"""Matrix products in float8 with one scale a tensor (Micikevicius et al., 2022).

Inputs and weights are e4m3, gradients e5m2, sums fp32. On a GPU of compute capability 8.9 or more
`torch._scaled_mm` multiplies; elsewhere the same rounded values are multiplied in fp32.
"""

from typing import Any

import torch
from torch import Tensor

INPUT, GRADIENT = torch.float8_e4m3fn, torch.float8_e5m2


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., inputs] by weight [outputs, inputs]; both sizes multiples of 16."""
    product: Tensor = _Linear.apply(x.flatten(0, -2), weight)
    return product.view(*x.shape[:-1], -1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return multiply(x, weight.T, INPUT, INPUT)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        of_x = multiply(grads[0], weight, GRADIENT, INPUT)
        return of_x, multiply(grads[0].T, x, GRADIENT, INPUT)


def multiply(a: Tensor, b: Tensor, a_type: torch.dtype, b_type: torch.dtype) -> Tensor:
    """a [m, k] by b [k, n], each rounded to its float8 type; the type of a is kept."""
    a8, a_scale = rounded(a, a_type)
    b8, b_scale = rounded(b, b_type)
    if a.is_cuda:
        # cuBLAS wants rows of a and columns of b to be contiguous.
        columns = b8.T.contiguous().T
        fast = a_type == INPUT  # sums of gradients keep all their bits
        scales = (a_scale, b_scale)
        return torch._scaled_mm(
            a8.contiguous(), columns, *scales, out_dtype=a.dtype, use_fast_accum=fast
        )
    return ((a8.float() @ b8.float()) * (a_scale * b_scale)).to(a.dtype)


def rounded(x: Tensor, to: torch.dtype) -> tuple[Tensor, Tensor]:
    """x over its scale in a float8 type, and the scale: the largest value becomes the type's."""
    scale = x.abs().amax().float().clamp(min=1e-12) / torch.finfo(to).max
    return (x.float() / scale).to(to), scale
