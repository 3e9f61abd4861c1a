"""The Lightning callback: a tiny module is trained, and its run opens."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.checkpoints import open_checkpoint
from core.checkpoints.runs import Run, open_run
from core.errors import UserError
from core.models.identification import identify

lightning = pytest.importorskip("lightning", reason="requirements-lightning.txt is not installed")


class Tiny(lightning.LightningModule):
    """Two classes of 8×8 images, told apart by their brightness."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))

    def step(self, batch: Any, split: str) -> torch.Tensor:
        x, y = batch
        logits = self.model(x)
        loss = nn.functional.cross_entropy(logits, y)
        accuracy = (logits.argmax(1) == y).float().mean()
        names = {f"{split}_loss": loss, f"{split}/acc": accuracy}
        self.log_dict(names, on_epoch=True, on_step=False)
        return loss

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.step(batch, "train")

    def validation_step(self, batch: Any, index: int) -> torch.Tensor:
        return self.step(batch, "val")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader() -> torch.utils.data.DataLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(40, 1, 8, 8, generator=generator)
    y = torch.arange(40) % 2
    x[y == 1] += 1
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=10)


def fit(folder: Path, length: int, resume: str | None = None, **options: Any) -> Run:
    from core.training.lightning import FeaturescopeCallback

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    callback = FeaturescopeCallback(folder, **options)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=length,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few workers, few batches: true, and no matter here
        trainer.fit(Tiny(), loader(), loader(), ckpt_path=resume)
        trainer.save_checkpoint(folder.parent / "last.ckpt")
    return open_run(folder)


def test_two_epochs_make_a_run(tmp_path: Path) -> None:
    run = fit(tmp_path / "mine", 2, title="Tiny", data="digits-train", seed=0)
    assert (run.title, run.seed, run.finished) == ("Tiny", 0, True)
    assert run.epochs == (0, 1, 2)
    assert run.history["epoch"] == [1, 2]
    assert set(run.history) == {
        *("epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    }
    assert run.history["train_loss"][1] < run.history["train_loss"][0]
    first, last = (open_checkpoint(run.checkpoint_path(e)) for e in (0, 2))
    assert not torch.equal(first.tensors["1.weight"], last.tensors["1.weight"])
    assert identify(last.tensors, last.metadata, (1, 8, 8)).architecture == "mlp"
    # the test set is the training set here, so the weights must give what was logged
    model = Tiny().model
    model.load_state_dict(last.tensors)
    with torch.no_grad():
        loss = sum(nn.functional.cross_entropy(model(x), y) * len(y) for x, y in loader()) / 40
    assert run.history["test_loss"][-1] == pytest.approx(float(loss), abs=1e-5)


def test_chosen_epochs_and_the_last_are_saved(tmp_path: Path) -> None:
    run = fit(tmp_path / "mine", 4, epochs=(2,), network="model")
    assert run.epochs == (2, 4)
    assert run.history["epoch"] == [1, 2, 3, 4]
    assert "1.weight" in open_checkpoint(run.checkpoint_path(2)).tensors


def test_a_resumed_trainer_goes_on_with_the_run(tmp_path: Path) -> None:
    fit(tmp_path / "mine", 1)
    run = fit(tmp_path / "mine", 3, resume=str(tmp_path / "last.ckpt"))
    assert run.history["epoch"] == [1, 2, 3]
    assert run.epochs == (0, 1, 2, 3)


def test_a_network_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing_there"):
        fit(tmp_path / "mine", 1, network="nothing_there")


def test_names_of_scores() -> None:
    from core.training.lightning import scores

    one = torch.tensor(1.0)
    given = ("train_loss_epoch", "val/acc", "validation_accuracy", "lr", "epoch", "Train-Acc")
    found = scores({**dict.fromkeys(given, one), "many": torch.ones(3)})
    assert set(found) == {"train_loss", "test_accuracy", "lr", "logged_epoch", "train_accuracy"}


def test_nothing_else_imports_lightning(repo: Path) -> None:
    code = (
        "import core.training.loop, core.training.service, core.analysis, sys; "
        "assert not {'lightning', 'pytorch_lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=repo, check=True)
