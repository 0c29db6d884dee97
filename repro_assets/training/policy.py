"""The policy: a small causal transformer over what has been seen so far.

Laws: the prediction after t looks depends on the coarse view and the first t looks alone (causal attention); building
a policy draws from the generator it is given and from nothing else; `from_value(to_value(policy))` has equal bits, and
a value that does not fit is refused, never partly loaded.

One token for the coarse view, one per look: region embedding + linear reading of the four pixels + a map of that
region's own, all plus a learned position. Pixels enter as 2x - 1. Pre-LN blocks (Xiong et al. 2020), GELU, 26 logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from repro_assets.errors import InvalidInput, InvalidValue
from repro_assets.training import task

Cache = list[tuple[Tensor, Tensor]]


class Architecture(BaseModel):
    """Shape of the policy; the defaults make 108,122 parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(default=64, ge=4, le=1024, description="width of the residual stream")
    layers: int = Field(default=2, ge=1, le=16, description="transformer blocks")
    heads: int = Field(default=4, ge=1, le=32, description="attention heads; must divide the width")
    feed_forward: int = Field(default=256, ge=4, le=4096, description="hidden width of the feed-forward part")


class _Block(nn.Module):
    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm = nn.LayerNorm(shape.width)
        self.attention_in = nn.Linear(shape.width, 3 * shape.width)
        self.attention_out = nn.Linear(shape.width, shape.width)
        self.feed_forward_norm = nn.LayerNorm(shape.width)
        self.feed_forward_in = nn.Linear(shape.width, shape.feed_forward)
        self.feed_forward_out = nn.Linear(shape.feed_forward, shape.width)

    def forward(
        self, hidden: Tensor, seen: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Transform [n, t, width]; with `seen` keys and values the t = 1 new token attends to all of them."""
        count, length, width = hidden.shape
        parts = self.attention_in(self.attention_norm(hidden))
        query, key, value = parts.reshape(count, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if seen is not None:
            key, value = torch.cat((seen[0], key), dim=2), torch.cat((seen[1], value), dim=2)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=seen is None)
        hidden = hidden + self.attention_out(mixed.transpose(1, 2).reshape(count, length, width))
        inner = functional.gelu(self.feed_forward_in(self.feed_forward_norm(hidden)))
        return hidden + self.feed_forward_out(inner), (key, value)


class Policy(nn.Module):
    """Policy over the 26 actions.

    Parameters
    ----------
    architecture : Architecture
        Shape of the network.
    generator : torch.Generator or None
        Draws the initial parameters; None leaves them without values, for `from_value` to fill.

    Raises
    ------
    InvalidValue
        If the heads do not divide the width.
    """

    def __init__(self, architecture: Architecture, generator: torch.Generator | None) -> None:
        super().__init__()
        if architecture.width % architecture.heads:
            raise InvalidValue(
                f"{architecture.heads} heads do not divide the width {architecture.width}",
                "choose a width that is a multiple of the heads",
            )
        self.architecture = architecture
        width = architecture.width
        # Layers made on the meta device draw nothing from torch's global generator.
        with torch.device("meta"):
            self.coarse = nn.Linear(task.COARSE, width)
            self.region = nn.Parameter(torch.empty(task.REGIONS, width))
            self.region_map = nn.Parameter(torch.empty(task.REGIONS, task.REGION_PIXELS, width))
            self.pixels = nn.Linear(task.REGION_PIXELS, width)
            self.position = nn.Parameter(torch.empty(task.MAX_LOOKS + 1, width))
            self.blocks = nn.ModuleList(_Block(architecture) for _ in range(architecture.layers))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, task.ACTIONS)
        self.to_empty(device="cpu")
        if generator is not None:
            self._initialise(generator)

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.weight.fill_(1.0)
                layer.bias.fill_(0.0)
            elif isinstance(layer, nn.Linear):
                # torch's own default for a linear layer: uniform within 1 / sqrt(inputs).
                bound = layer.in_features**-0.5
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
        for table in (self.region, self.region_map, self.position):
            table.normal_(0.0, 0.1, generator=generator)

    def coarse_token(self, images: Tensor) -> Tensor:
        """Token of the coarse view: images [n, 8, 8] in 0 to 1 to [n, 1, width]."""
        token: Tensor = self.coarse(2 * task.coarse_view(images) - 1)
        return (token + self.position[0])[:, None]

    def look_tokens(self, pixels: Tensor, regions: Tensor, first: int) -> Tensor:
        """Tokens of looks.

        Parameters
        ----------
        pixels : Tensor
            [n, 16, 4], every region of each image, in 0 to 1.
        regions : Tensor
            int64 [n, t], which region each look shows.
        first : int
            Looks taken before the first of these.

        Returns
        -------
        Tensor
            [n, t, width].
        """
        count, length = regions.shape
        seen = 2 * pixels.gather(1, regions[:, :, None].expand(-1, -1, task.REGION_PIXELS)) - 1
        chosen = functional.one_hot(regions, task.REGIONS).to(pixels.dtype)
        # One matrix product instead of two gathers: its backward is a product too, quick and deterministic.
        features = (chosen[..., None] * seen[..., None, :]).reshape(count, length, -1)
        own = features @ self.region_map.reshape(-1, self.architecture.width) + chosen @ self.region
        shared: Tensor = self.pixels(seen)
        return own + shared + self.position[1 + first : 1 + first + length]

    def forward(self, images: Tensor, regions: Tensor) -> Tensor:
        """Logits after 0, 1, ..., t looks, with looks ruled out where none is left.

        Parameters
        ----------
        images : Tensor
            float32 [n, 8, 8] in 0 to 1.
        regions : Tensor
            int64 [n, t], t at most 8; places after an episode's end may hold any region.

        Returns
        -------
        Tensor
            float32 [n, t + 1, 26].
        """
        logits: Tensor = self.head(self.states(images, regions))
        return task.allow_sequence(logits)

    def states(self, images: Tensor, regions: Tensor) -> Tensor:
        """What the head reads after 0, 1, ..., t looks: float32 [n, t + 1, width]; arguments as in `forward`."""
        tokens = self.coarse_token(images)
        if regions.shape[1]:
            looks = self.look_tokens(task.region_pixels(images), regions, 0)
            tokens = torch.cat((tokens, looks), dim=1)
        for block in self.blocks:
            tokens, _ = block(tokens)
        found: Tensor = self.norm(tokens)
        return found

    def step(self, token: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        """Logits [n, 26] after one more token [n, 1, width], and the keys and values seen so far."""
        grown: Cache = []
        for place, block in enumerate(self.blocks):
            token, seen = block(token, None if cache is None else cache[place])
            grown.append(seen)
        logits: Tensor = self.head(self.norm(token[:, 0]))
        return logits, grown


def to_value(policy: Policy) -> dict[str, Any]:
    """Plain value of a policy: ``architecture`` (numbers) and ``state`` (name to a float32 copy on the CPU)."""
    state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in policy.state_dict().items()}
    return {"architecture": policy.architecture.model_dump(), "state": state}


def from_value(value: Mapping[str, Any]) -> Policy:
    """Policy from what `to_value` made.

    Raises
    ------
    InvalidInput
        If the value is not a policy's, or a tensor is missing, unknown, of another shape or not finite.
    """
    remedy = "give a model that sft or rft made"
    absent = [field for field in ("architecture", "state") if not isinstance(value.get(field), Mapping)]
    if absent:
        raise InvalidInput(f"the model has no {' and no '.join(absent)}", remedy)
    try:
        architecture = Architecture(**value["architecture"])
    except ValidationError as error:
        raise InvalidInput(f"the model's architecture is not a policy's: {error}", remedy) from error
    policy = Policy(architecture, None)
    expected = policy.state_dict()
    state = {name: torch.as_tensor(tensor) for name, tensor in value["state"].items()}
    if set(state) != set(expected):
        wrong = sorted(set(state) ^ set(expected))
        raise InvalidInput(f"the model's tensors do not fit its architecture: {', '.join(wrong[:5])}", remedy)
    for name, tensor in state.items():
        if tensor.shape != expected[name].shape or tensor.dtype != expected[name].dtype:
            raise InvalidInput(f"the model's {name} is {tensor.dtype} {list(tensor.shape)}", remedy)
        if not bool(torch.isfinite(tensor).all()):
            raise InvalidInput(f"the model's {name} holds numbers that are not finite", remedy)
    policy.load_state_dict(state)
    return policy
