"""One training: its network, loss, optimiser and data, and what one epoch does to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.features.devices import memory_format
from core.training import losses
from core.training.networks import (
    ClassMeansClassifier,
    Network,
    build_network,
    classifier_of,
    simplex_etf,
)
from core.training.recipes import Recipe

EVALUATED = 1000  # images at once
LBFGS_STEPS = 20  # inner iterations an epoch


class Training:
    """A recipe being trained on x (N, C, H, W), y (N,). ``epoch()`` goes over the images once."""

    def __init__(
        self,
        recipe: Recipe,
        x: Tensor,
        y: Tensor,
        classes: int,
        seed: int,
        start: dict[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.recipe = recipe
        self.x, self.y = x, y
        self.generator = torch.Generator().manual_seed(seed)
        shape = (int(x.shape[1]), int(x.shape[2]), int(x.shape[3]))
        network = build_network(recipe, shape, classes)
        self.layer = classifier_of(network)
        if start is not None:
            self._start_from(network, start)
        # L-BFGS flattens gradients as they lie in memory
        plain = recipe.optimiser == "lbfgs"
        format_ = torch.contiguous_format if plain else memory_format(network, x.device)
        self.model: Network = network.to(x.device, memory_format=format_)  # type: ignore[call-overload]
        self.x = x.contiguous(memory_format=format_)
        self.loss = losses.make(recipe.loss, recipe.loss_parameters)
        self.means: ClassMeansClassifier | None = None
        self._fix_classifier(classes)
        self.done = 0
        self._features: Tensor | None = None
        self.layer.register_forward_pre_hook(self._keep_features)
        self._plan(probing=recipe.probe_epochs > 0)

    # --- what a recipe asks for -----------------------------------------------------------------

    def _start_from(self, network: nn.Module, start: dict[str, Tensor]) -> None:
        head = {id(self.layer.weight), id(self.layer.bias)}
        heads = {k for k, v in network.named_parameters() if id(v) in head}
        body = {k: v.float() for k, v in start.items() if k not in heads}
        missing, unexpected = network.load_state_dict(body, strict=False)
        wrong = [k for k in missing if k not in heads and "num_batches" not in k]
        if wrong or unexpected:
            raise UserError(
                f"{self.recipe.start} is another network than {self.recipe.name} trains: give both "
                "recipes the same layers"
            )

    def _fix_classifier(self, classes: int) -> None:
        if self.recipe.classifier == "learned":
            return
        with torch.no_grad():
            self.layer.bias.zero_()
            if self.recipe.classifier == "etf":
                if self.layer.in_features < classes:
                    raise UserError(
                        f"a fixed simplex ETF of {classes} classes needs as many features; "
                        f"{self.recipe.name} has {self.layer.in_features}: widen its last layer"
                    )
                rows = simplex_etf(classes, self.layer.in_features, self.generator)
                self.layer.weight.copy_(rows)
            else:
                self.means = ClassMeansClassifier(self.layer)
        self.layer.requires_grad_(False)

    def _plan(self, probing: bool) -> None:
        """Optimiser and schedule of the linear probe, or of everything."""
        recipe = self.recipe
        self.probing = probing
        parameters = [
            p for p in (self.layer if probing else self.model).parameters() if p.requires_grad
        ]
        rate, decay = recipe.learning_rate, recipe.weight_decay
        self.optimiser: torch.optim.Optimizer
        if recipe.optimiser == "adam":
            self.optimiser = torch.optim.Adam(parameters, lr=rate, weight_decay=decay)
        elif recipe.optimiser == "adamw":
            self.optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
        elif recipe.optimiser == "lbfgs":
            self.optimiser = torch.optim.LBFGS(
                parameters,
                lr=rate,
                max_iter=LBFGS_STEPS,
                history_size=10,
                line_search_fn="strong_wolfe",
            )
        else:
            self.optimiser = torch.optim.SGD(
                parameters, lr=rate, momentum=recipe.momentum, weight_decay=decay
            )
        epochs = recipe.probe_epochs if probing else recipe.epochs - recipe.probe_epochs
        self.schedule: torch.optim.lr_scheduler.LRScheduler | None = None
        if recipe.optimiser != "lbfgs":
            self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
                self.optimiser, max(1, epochs)
            )

    # --- training --------------------------------------------------------------------------------

    def epoch(self) -> None:
        """Train on every image once (L-BFGS: 20 steps on all of them)."""
        if self.probing and self.done == self.recipe.probe_epochs:
            self._plan(probing=False)
        if self.means is not None and self.done == 0:
            self._first_means()
        self.model.train(not self.probing)
        if self.recipe.optimiser == "lbfgs":
            self._all_at_once()
        else:
            for rows in self._batches():
                self.optimiser.zero_grad()
                self._objective(self.x[rows], self.y[rows]).backward()
                self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        self.done += 1

    def _batches(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.x), generator=self.generator)
        for rows in order.split(self.recipe.batch_size):
            if len(rows) > 1:  # batch norm needs two samples
                yield rows.to(self.x.device)

    def _objective(self, x: Tensor, y: Tensor) -> Tensor:
        logits = self.model(x)
        if self.means is not None:
            assert self._features is not None
            self.means.update(self._features.detach(), y)
            logits = nn.functional.linear(self._features, self.layer.weight)
        return self.loss(logits, y)

    def _all_at_once(self) -> None:
        def closure() -> Tensor:
            self.optimiser.zero_grad()
            total = self._objective(self.x, self.y)
            # L-BFGS has no weight decay of its own
            for parameter in self.model.parameters():
                if parameter.requires_grad:
                    total = total + 0.5 * self.recipe.weight_decay * parameter.square().sum()
            total.backward()
            return total

        self.optimiser.step(closure)  # type: ignore[arg-type]

    def _keep_features(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._features = inputs[0]

    @torch.no_grad()
    def _first_means(self) -> None:
        """The class means of a network that is already trained, before its first step."""
        assert self.means is not None
        self.model.eval()
        kept = []
        for x in self.x.split(EVALUATED):
            self.model(x)
            assert self._features is not None
            kept.append(self._features)
        self.means.update(torch.cat(kept), self.y)

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor) -> tuple[float, float]:
        """(the recipe's mean loss, accuracy) in evaluation mode on x (N, …), y (N,)."""
        self.model.eval()
        logits = torch.cat([self.model(part) for part in x.split(EVALUATED)])
        return float(self.loss(logits, y)), float((logits.argmax(1) == y).float().mean())

    # --- stop and go on --------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that ``restore`` needs to go on as if nothing had happened."""
        means = self.means
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "generator": self.generator.get_state(),
            "probing": self.probing,
            "means": None if means is None else [means.means, means.seen],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up the training where ``state`` was taken."""
        if self.probing and not state["probing"]:
            self._plan(probing=False)
        self.done = state["done"]
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule is not None and state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        if self.means is not None and state["means"] is not None:
            self.means.means.copy_(state["means"][0])
            self.means.seen.copy_(state["means"][1])
