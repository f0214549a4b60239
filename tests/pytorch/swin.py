# SPDX-License-Identifier: Apache-2.0
"""Swin-T's skeleton with linear attention, and the rows of the ablation of Han et al. 2024 (arXiv 2405.16605, tables 1 and 2),
from their formulas. The names of what the paper adds are ours; no weights are public."""
import torch
import torch.nn.functional as F
from torch import nn

from parts import Mlp, Staged, conv3x3, depthwise, heads, rotated


class Gate(nn.Module):
    """The step size of tokens: x W_1 W_2 and, for a forget gate, a bias."""

    def __init__(self, I, C, R, biased):
        super().__init__()
        self.down, self.up = nn.Linear(I, R, bias=False), nn.Linear(R, C, bias=False)
        self.bias = nn.Parameter(torch.zeros(C)) if biased else None

    def forward(self, u):
        dt = self.up(self.down(u))
        return F.softplus(dt if self.bias is None else dt + self.bias)


class Attention(nn.Module):
    def __init__(self, C, h, row, tokens, projects_v=True):
        super().__init__()
        self.row, self.h, self.keys = row, h, 32 if row == "single_head" else C
        setattr(self, "qkv" if projects_v else "qk", nn.Linear(C, 2 * self.keys + (C if projects_v else 0)))
        if projects_v:
            self.proj = nn.Linear(C, C)
        if row in ("input_gate", "forget_gate"):
            self.dt = Gate(C, C, C // 16, row == "forget_gate")
        if row == "forget_gate":
            self.A_log = nn.Parameter(torch.zeros(C, C // h))
        if row == "shortcut":
            self.D = nn.Parameter(torch.ones(C))
        if row == "lepe":
            self.lepe = conv3x3(C)
        if row == "ape":
            self.ape = nn.Parameter(torch.zeros(1, tokens, C))

    def mixed(self, u, v, q, k, H, W):
        if self.row == "forget_gate":
            return self.causal(self.dt(u), q, k, v)
        value = self.dt(u) * v if self.row == "input_gate" else v
        q_turned, k_turned = (rotated(t, H, W) if self.row == "rope" else t for t in (q, k))
        if self.row == "single_head":
            q, k, q_turned, k_turned, value = (t[:, None] for t in (q, k, q_turned, k_turned, value))
        else:
            q, k, q_turned, k_turned, value = (heads(t, self.h) for t in (q, k, q_turned, k_turned, value))
        y = q_turned @ (k_turned.transpose(2, 3) @ value)
        if self.row != "no_norm":
            y = y / (q @ k.sum(2, keepdim=True).transpose(2, 3))
        return y.transpose(1, 2).flatten(2)

    def causal(self, dt, q, k, v):
        """S_t = exp(A dt) S + k^T v, z_t = z + k, y = q S / q z, tokens row by row."""
        q, k, v, dt = (heads(t, self.h) for t in (q, k, v, dt))
        A = -torch.exp(self.A_log).view(self.h, v.shape[-1], k.shape[-1])  # [h, V, K]
        S, z, out = torch.zeros(len(q), *A.shape), torch.zeros_like(k[:, :, 0]), []
        for t in range(q.shape[2]):
            S = torch.exp(A * dt[:, :, t, :, None]) * S + v[:, :, t, :, None] * k[:, :, t, None]
            z = z + k[:, :, t]
            out.append((S * q[:, :, t, None]).sum(-1) / (q[:, :, t] * z).sum(-1, keepdim=True))
        return torch.stack(out, 2).transpose(1, 2).flatten(2)

    def forward(self, u, H, W):
        if self.row == "ape":
            u = u + self.ape
        q, k, *v = (self.qkv if hasattr(self, "qkv") else self.qk)(u).split(
            [self.keys, self.keys] + ([u.shape[2]] if hasattr(self, "qkv") else []), -1)
        v = v[0] if v else u
        y = self.mixed(u, v, F.elu(q) + 1, F.elu(k) + 1, H, W)
        if self.row == "shortcut":
            y = y + self.D * v
        if self.row == "lepe":
            y = y + depthwise(self.lepe, v, H, W)
        return self.proj(y) if hasattr(self, "proj") else y


class TransformerBlock(nn.Module):
    def __init__(self, C, h, row, tokens):
        super().__init__()
        if row == "cpe":
            self.cpe = conv3x3(C)
        self.norm1, self.attn = nn.LayerNorm(C), Attention(C, h, row, tokens)
        self.norm2, self.mlp = nn.LayerNorm(C), Mlp(C)

    def forward(self, x, H, W):
        if hasattr(self, "cpe"):
            x = x + depthwise(self.cpe, x, H, W)
        x = x + self.attn(self.norm1(x), H, W)
        return x + self.mlp(self.norm2(x))


class GatedBlock(nn.Module):
    """Mamba's block around linear attention; with an MLP behind it (`sub`, not expanded) or alone (expanded by 2)."""

    def __init__(self, C, h, sub):
        super().__init__()
        E, self.sub = 1 if sub else 2, sub
        self.names = ("norm1", "act_proj") if sub else ("norm", "gate_proj")
        setattr(self, self.names[0], nn.LayerNorm(C))
        setattr(self, self.names[1], nn.Linear(C, E * C))
        self.in_proj, self.out_proj, self.dwc = nn.Linear(C, E * C), nn.Linear(E * C, C), conv3x3(E * C, sub)
        self.attn = Attention(E * C, E * h, "baseline", 0, projects_v=False)
        if sub:
            self.norm2, self.mlp = nn.LayerNorm(C), Mlp(C)

    def forward(self, x, H, W):
        norm, gate = (getattr(self, name) for name in self.names)
        u = norm(x)
        g = F.silu(gate(u))
        u = F.silu(depthwise(self.dwc, self.in_proj(u), H, W))
        x = x + self.out_proj(self.attn(u, H, W) * g)
        return x + self.mlp(self.norm2(x)) if self.sub else x


class Merging(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * C), nn.Linear(4 * C, 2 * C, bias=False)

    def forward(self, x):  # [b, C, H, W]
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)).permute(0, 2, 3, 1)
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.reduction(self.norm(x)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    def __init__(self, blocks, down):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if down is not None:
            self.downsample = down

    def forward(self, x):
        H, W = x.shape[2:]
        t = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            t = block(t, H, W)
        x = t.transpose(1, 2).unflatten(2, (H, W))
        return self.downsample(x) if hasattr(self, "downsample") else x


class PatchEmbed(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(3, C, 4, 4), nn.LayerNorm(C)

    def forward(self, x):
        x = self.proj(F.pad(x, (0, -x.shape[3] % 4, 0, -x.shape[2] % 4)))
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Swin(Staged):
    def __init__(self, row="baseline", picture=224, E=96, depths=(2, 2, 6, 2), h=(3, 6, 12, 24), classes=1000):
        stages = []
        for s in range(4):
            C, side = E << s, picture // 4 >> s
            block = ((lambda: GatedBlock(C, h[s], row == "block_sub")) if row.startswith("block")
                     else lambda: TransformerBlock(C, h[s], row, side * side))
            stages.append(Stage([block() for _ in range(depths[s])], Merging(C) if s < 3 else None))
        super().__init__(PatchEmbed(E), stages, 8 * E, classes)
