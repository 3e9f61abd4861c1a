"""A small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), pre-norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from core.errors import UserError
from core.models import describe
from core.models.top_k import TopK


class Attention(nn.Module):
    """Multi-head self-attention; ``qkv`` makes queries, keys and values in one product."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, T, width) → (N, T, width)."""
        n, t, width = x.shape
        qkv = self.qkv(x).reshape(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (N, heads, T, width / heads)
        out = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(n, t, width))


ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU}


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); with ``top_k``, only that many hidden
    activations of the MLP are kept at every token."""

    def __init__(
        self, width: int, heads: int, activation: str = "gelu", top_k: int | None = None
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = ACTIVATIONS[activation]()
        self.top_k = None if top_k is None else TopK(top_k)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, T, width) → (N, T, width)."""
        x = x + self.attn(self.norm1(x))
        hidden = self.act(self.fc1(self.norm2(x)))  # (N, T, 4 * width)
        if self.top_k is not None:
            hidden = self.top_k(hidden)
        return x + self.fc2(hidden)


class ViT(nn.Module):
    """Patch embedding → ``depth`` blocks → norm → class token or mean of tokens → ``head``.

    input_shape (C, H, W), H and W multiples of ``patch``; ``width`` a multiple of ``heads``;
    ``pool`` "class" or "mean"; ``activation`` "gelu" or "relu". UserError otherwise. ``top_k``:
    see ``Block``.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        patch: int,
        width: int,
        depth: int,
        heads: int,
        *,
        classes: int,
        pool: str = "class",
        activation: str = "gelu",
        top_k: int | None = None,
    ) -> None:
        channels, height, side = input_shape
        if height % patch or side % patch or width % heads or pool not in ("class", "mean"):
            raise UserError(
                f"a ViT needs an image size that is a multiple of the patch ({height}×{side}, "
                f"{patch}), a width that is a multiple of heads ({width}, {heads}), and pool "
                f"'class' or 'mean' (got {pool!r})"
            )
        if activation not in ACTIVATIONS:
            raise UserError(
                f"activation {activation!r} is not known: use one of {', '.join(ACTIVATIONS)}"
            )
        super().__init__()
        self.input_shape, self.patch, self.width = tuple(input_shape), patch, width
        self.depth, self.heads, self.classes, self.pool = depth, heads, classes, pool
        self.activation, self.top_k = activation, top_k
        tokens = (height // patch) * (side // patch) + (pool == "class")
        self.patch_embed = nn.Conv2d(channels, width, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if pool == "class" else None
        self.pos_embed = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.blocks = nn.Sequential(*(Block(width, heads, activation, top_k) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def metadata(self) -> dict[str, str]:
        """What a checkpoint must store (as safetensors metadata) so that ``build`` restores it."""
        sizes = {
            key: str(getattr(self, key)) for key in ("patch", "width", "depth", "heads", "classes")
        }
        shape = describe.write(self.input_shape)
        kind = {"pool": self.pool, "activation": self.activation}
        kept = {} if self.top_k is None else {"top_k": str(self.top_k)}
        return {"architecture": "vit", "input_shape": shape, **sizes, **kind, **kept}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> ViT:
        """The network (freshly initialised) that ``metadata`` describes; UserError if it cannot."""
        return cls(
            describe.image_shape(metadata),
            describe.integer(metadata, "patch"),
            describe.integer(metadata, "width"),
            describe.integer(metadata, "depth", limit=describe.MOST_LAYERS),
            describe.integer(metadata, "heads"),
            classes=describe.integer(metadata, "classes"),
            pool=describe.word(metadata, "pool", "class"),
            activation=describe.word(metadata, "activation", "gelu"),
            top_k=describe.integer(metadata, "top_k") if "top_k" in metadata else None,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (N, C, H, W) → logits (N, classes)."""
        x = self.patch_embed(x).flatten(2).transpose(1, 2)  # (N, T, width)
        if self.cls_token is not None:
            x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)  # (N, 1 + T, width)
        x = self.norm(self.blocks(x + self.pos_embed))
        return self.head(x[:, 0] if self.pool == "class" else x.mean(dim=1))
