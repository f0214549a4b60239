# SPDX-License-Identifier: Apache-2.0
"""Mamba (arXiv 2312.00752), Mamba-2 (arXiv 2405.21060) and MoE-Mamba (arXiv 2401.04081) from their formulas, under the public
models' names; Mamba with Vim's second direction too."""
import torch
import torch.nn.functional as F
from torch import nn

from parts import RMSNorm, selective_scan


class Mamba(nn.Module):
    def __init__(self, C, N=16, expand=2, bidirectional=False, halved=True):
        super().__init__()
        inner, R, self.N, self.halved = expand * C, -(-C // 16), N, halved
        self.ways = ("", "_b") if bidirectional else ("",)
        self.in_proj = nn.Linear(C, 2 * inner, bias=False)
        self.out_proj = nn.Linear(inner, C, bias=False)
        for b in self.ways:
            setattr(self, "conv1d" + b, nn.Conv1d(inner, inner, 4, groups=inner, padding=3))
            setattr(self, "x_proj" + b, nn.Linear(inner, R + 2 * N, bias=False))
            setattr(self, "dt_proj" + b, nn.Linear(R, inner))
            setattr(self, "A_b_log" if b else "A_log", nn.Parameter(torch.zeros(inner, N)))
            setattr(self, "D" + b, nn.Parameter(torch.ones(inner)))

    def one(self, x, z, b):
        x = F.silu(getattr(self, "conv1d" + b)(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        proj = getattr(self, "x_proj" + b)(x)
        dt, B, C = proj.split([proj.shape[-1] - 2 * self.N, self.N, self.N], -1)
        dt = F.softplus(getattr(self, "dt_proj" + b)(dt))
        A = -torch.exp(getattr(self, "A_b_log" if b else "A_log"))
        return selective_scan(x, dt, A, B, C, getattr(self, "D" + b), z)

    def forward(self, u):
        x, z = self.in_proj(u).chunk(2, -1)
        y = self.one(x, z, "")
        if len(self.ways) == 2:
            y = y + self.one(x.flip(1), z.flip(1), "_b").flip(1)
            y = y / 2 if self.halved else y
        return self.out_proj(y)


class Mamba2(nn.Module):
    def __init__(self, C, N=128, P=64, G=1, expand=2):
        super().__init__()
        self.N, self.P, self.G, self.inner = N, P, G, expand * C
        H, both = self.inner // P, self.inner + 2 * G * N
        self.in_proj = nn.Linear(C, self.inner + both + H, bias=False)
        self.conv1d = nn.Conv1d(both, both, 4, groups=both, padding=3)
        self.dt_bias, self.A_log, self.D = (nn.Parameter(torch.zeros(H)) for _ in range(3))
        self.norm, self.out_proj = RMSNorm(self.inner), nn.Linear(self.inner, C, bias=False)

    def forward(self, u):
        b, T, _ = u.shape
        N, P, G, H = self.N, self.P, self.G, len(self.D)
        z, xBC, dt = self.in_proj(u).split([self.inner, self.inner + 2 * G * N, H], -1)
        xBC = F.silu(self.conv1d(xBC.transpose(1, 2))[..., :T].transpose(1, 2))
        x, B, C = xBC.split([self.inner, G * N, G * N], -1)
        x, dt = x.view(b, T, H, P), F.softplus(dt + self.dt_bias)
        B, C = (t.view(b, T, G, N).repeat_interleave(H // G, 2) for t in (B, C))
        S, out = torch.zeros(b, H, P, N), []
        for t in range(T):
            S = torch.exp(-torch.exp(self.A_log) * dt[:, t])[..., None, None] * S
            S = S + (dt[:, t, :, None] * x[:, t])[..., None] * B[:, t, :, None]
            out.append((S * C[:, t, :, None]).sum(-1) + self.D[:, None] * x[:, t])
        y = torch.stack(out, 1).flatten(2) * F.silu(z)
        y = y.view(b, T, G, -1)
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-5)
        return self.out_proj(y.flatten(2) * self.norm.weight)


class Experts(nn.Module):
    def __init__(self, C, hidden, n):
        super().__init__()
        self.w1, self.w2 = nn.Parameter(torch.zeros(n, hidden, C)), nn.Parameter(torch.zeros(n, C, hidden))


class Switch(nn.Module):
    def __init__(self, C, hidden, n, capacity_factor):
        super().__init__()
        self.router, self.experts, self.factor = nn.Linear(C, n, bias=False), Experts(C, hidden, n), capacity_factor

    def forward(self, u):
        x = u.flatten(0, 1)
        p, expert = torch.softmax(self.router(x), -1).max(-1)
        n_experts = self.router.out_features
        capacity = min(int(self.factor * len(x) / n_experts), len(x)) if self.factor > 0 else len(x)
        y = torch.zeros_like(x)
        for e in range(n_experts):
            mine = (expert == e).nonzero()[:capacity, 0]
            hidden = F.relu(x[mine] @ self.experts.w1[e].T)
            y[mine] = p[mine, None] * (hidden @ self.experts.w2[e].T)
        return y.view_as(u)


class Layer(nn.Module):
    def __init__(self, C, mixer, moe):
        super().__init__()
        self.norm, self.mixer = RMSNorm(C), mixer
        if moe is not None:
            self.norm2, self.moe = RMSNorm(C), moe

    def forward(self, x):
        x = x + self.mixer(self.norm(x))
        return x + self.moe(self.norm2(x)) if hasattr(self, "moe") else x


class Backbone(nn.Module):
    def __init__(self, vocabulary, C, layers):
        super().__init__()
        self.embedding, self.layers, self.norm_f = nn.Embedding(vocabulary, C), nn.ModuleList(layers), RMSNorm(C)


class Language(nn.Module):
    def __init__(self, C, depth, mixer, vocabulary=500, moe=lambda: None):
        super().__init__()
        self.backbone = Backbone(vocabulary, C, [Layer(C, mixer(), moe()) for _ in range(depth)])

    def forward(self, ids):
        x = self.backbone.embedding(ids)
        for layer in self.backbone.layers:
            x = layer(x)
        return F.linear(self.backbone.norm_f(x), self.backbone.embedding.weight).flatten(0, 1)
