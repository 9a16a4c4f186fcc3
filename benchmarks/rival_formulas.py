"""Each rival in plain torch operators, directly after its formula: ``rival_costs.py`` compares our versions with these.

Every function takes q, k, v (b heads n d), our layer with its weights and constants, and the extent of the tokens.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from linvid_edu.attention.rivals.sana_video_attention_2025 import rotary_angles
from linvid_edu.attention.rivals.windows import bias_index


def _normalized(phi_q: Tensor, phi_k: Tensor, v: Tensor, eps: float = 0.0) -> Tensor:
    return phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(-2).unsqueeze(-1) + eps)


def elu_linear(q, k, v, layer, extent):
    return _normalized(F.elu(q) + 1, F.elu(k) + 1, v, layer.eps)


def sana_relu_linear(q, k, v, layer, extent):
    return _normalized(q.relu(), k.relu(), v, layer.eps)


def performer(q, k, v, layer, extent):
    w, d = layer.projection, q.shape[-1]
    q, k = q / d**0.25, k / d**0.25
    u_q, u_k = q @ w.T, k @ w.T
    c_q, c_k = u_q.amax(-1, keepdim=True).detach(), u_k.amax((-2, -1), keepdim=True).detach()
    phi_q = (torch.exp(u_q - q.pow(2).sum(-1, keepdim=True) / 2 - c_q) + layer.feature_offset) / len(w) ** 0.5
    phi_k = (torch.exp(u_k - k.pow(2).sum(-1, keepdim=True) / 2 - c_k) + layer.feature_offset) / len(w) ** 0.5
    return _normalized(phi_q, phi_k, v)


def cosformer(q, k, v, layer, extent):
    n = q.shape[-2]
    a = (math.pi / 2 * torch.arange(n, device=q.device, dtype=q.dtype) / n)[:, None]
    phi_q = torch.cat([q.relu() * a.sin(), q.relu() * a.cos()], -1)
    phi_k = torch.cat([k.relu() * a.sin(), k.relu() * a.cos()], -1)
    return phi_q @ (phi_k.mT @ v) / (phi_q @ phi_k.sum(-2).unsqueeze(-1)).clamp(min=layer.floor)


def focused_linear(q, k, v, layer, extent):
    scale, n = F.softplus(layer.scale)[:, None], k.shape[-2]
    q, k = (q.relu() + 1e-6) / scale, (k.relu() + 1e-6) / scale
    q3, k3 = q**layer.focusing_factor, k**layer.focusing_factor
    phi_q = q3 * q.norm(dim=(1, 3), keepdim=True) / q3.norm(dim=(1, 3), keepdim=True)
    phi_k = k3 * k.norm(dim=(1, 3), keepdim=True) / k3.norm(dim=(1, 3), keepdim=True)
    return phi_q @ (phi_k.mT @ v / n) / (phi_q @ phi_k.mean(-2).unsqueeze(-1) + 1e-6)


def _rotate(x: Tensor, angles: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2).to(x.dtype)


def sana_video_attention(q, k, v, layer, extent):
    a, b = q.relu(), k.relu()
    angles = rotary_angles(extent, q.shape[-1], layer.theta).to(q.device)
    return _rotate(a, angles) @ (_rotate(b, angles).mT @ v) / (a @ b.sum(-2).unsqueeze(-1) + layer.eps)


def sana_block_causal(q, k, v, layer, extent):
    a, b = q.relu(), k.relu()
    angles = rotary_angles(extent, q.shape[-1], layer.theta).to(q.device)
    rotated_a, rotated_b, frame, out, state, total = (
        _rotate(a, angles),
        _rotate(b, angles),
        extent.h * extent.w,
        [],
        0,
        0,
    )
    for start in range(0, q.shape[-2], frame * layer.block_frames):
        block = slice(start, start + frame * layer.block_frames)
        state = state + rotated_b[:, :, block].mT @ v[:, :, block]
        total = total + b[:, :, block].sum(-2).unsqueeze(-1)
        out.append(rotated_a[:, :, block] @ state / (a[:, :, block] @ total + layer.eps))
    return torch.cat(out, -2)


def nystrom(q, k, v, layer, extent):
    landmarks, d = layer.landmarks(q.shape[-2]), q.shape[-1]
    q, k = q / d**0.25, k / d**0.25
    means = [x.unflatten(-2, (landmarks, -1)).mean(-2) for x in (q, k)]
    forward, back = (q @ means[1].mT).softmax(-1), (means[0] @ k.mT).softmax(-1)
    middle = (means[0] @ means[1].mT).softmax(-1)
    z = middle.mT / middle.sum(-2).amax(-1)[..., None, None]
    eye = torch.eye(landmarks, device=q.device, dtype=q.dtype)
    for _ in range(layer.iterations):
        az = middle @ z
        z = z @ (13 * eye - az @ (15 * eye - az @ (7 * eye - az))) / 4
    return (forward @ z) @ (back @ v)


def orthoformer(q, k, v, layer, extent):
    unit, chosen = F.normalize(q.detach(), dim=-1), [torch.zeros(q.shape[:2], dtype=torch.long, device=q.device)]
    count = layer.num_landmarks or round(q.shape[-2] ** 0.5)
    worst = torch.zeros(q.shape[:3], device=q.device, dtype=q.dtype)
    for _ in range(count - 1):
        last = chosen[-1][..., None, None].expand(-1, -1, 1, q.shape[-1])
        worst = torch.maximum(worst, (unit @ unit.gather(2, last).mT).squeeze(-1).abs())
        worst = worst.scatter(2, chosen[-1][..., None], float("inf"))
        chosen.append(worst.argmin(-1))
    index = torch.stack(chosen, -1).sort(-1).values[..., None].expand(-1, -1, -1, q.shape[-1])
    p = q.detach().gather(2, index)
    return (q @ p.mT / q.shape[-1] ** 0.5).softmax(-1) @ ((p @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v)


def _windows(x: Tensor, h: int, w: int, s: int) -> Tensor:
    b, heads, _, d = x.shape
    x = x.view(b, heads, h // s, s, w // s, s, d).permute(0, 2, 4, 1, 3, 5, 6)
    return x.reshape(b, h // s * (w // s), heads, s * s, d)


def _whole(x: Tensor, h: int, w: int, s: int) -> Tensor:
    b, _, heads, _, d = x.shape
    return x.view(b, h // s, w // s, heads, s, s, d).permute(0, 3, 1, 4, 2, 5, 6).reshape(b, heads, h * w, d)


def _in_windows(q: Tensor, k: Tensor, v: Tensor, table: Tensor, h: int, w: int, s: int) -> Tensor:
    bias = table[bias_index(s, q.device)].permute(2, 0, 1)
    q, k, v = (_windows(x, h, w, s) for x in (q, k, v))
    return _whole((q @ k.mT / q.shape[-1] ** 0.5 + bias).softmax(-1) @ v, h, w, s)


def shuffle_window(q, k, v, layer, extent):
    return _in_windows(q, k, v, layer.relative_bias, extent.h, extent.w, layer.window)  # block 0 does not shuffle


def dynamic_window_attention(q, k, v, layer, extent):
    tables = layer.relative_bias.split([(2 * s - 1) ** 2 for s in layer.windows])
    groups = zip(*(x.chunk(len(layer.windows), dim=1) for x in (q, k, v)), tables, layer.windows, strict=True)
    return torch.cat([_in_windows(*qkv, table, extent.h, extent.w, s) for *qkv, table, s in groups], 1)


FORMULAS = {
    formula.__name__: formula
    for formula in (
        elu_linear,
        sana_relu_linear,
        performer,
        cosformer,
        focused_linear,
        sana_video_attention,
        sana_block_causal,
        nystrom,
        orthoformer,
        shuffle_window,
        dynamic_window_attention,
    )
}
