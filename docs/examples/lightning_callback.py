"""A Trainer of Lightning: a callback begins the run with the fit, logs, and ends it as the fit ends."""

from typing import Any

import lightning
import torch

from repro_assets import Experiment


class Tracked(lightning.Callback):
    """Record a fit as an experiment."""

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin, with the hyperparameters that the module saved."""
        self.run = Experiment("lightning", config=pl_module.hparams).start()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Log what the module logs."""
        self.run.log_metrics(
            {name: float(value) for name, value in trainer.logged_metrics.items()}, trainer.global_step
        )

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """End as the fit did."""
        self.run.finish_with(exception)

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the model, and end."""
        self.run.track_model(pl_module, "line")
        self.run.finish()


class Line(lightning.LightningModule):
    """A line."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.line = torch.nn.Linear(1, 1)

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        """Return the loss of a batch."""
        loss = torch.nn.functional.mse_loss(self.line(batch[0]), batch[1])
        self.log("loss", loss)
        print(f"step {self.global_step + 1} loss {loss.item()}")
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.SGD(self.parameters(), lr=self.hparams["lr"])


def main() -> None:
    """Fit a line."""
    lightning.seed_everything(0)
    inputs = torch.linspace(-1, 1, 32).unsqueeze(1)
    rows = torch.utils.data.TensorDataset(inputs, 3 * inputs + 1)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=[Tracked()],
    )  # fmt: skip
    trainer.fit(Line(lr=0.05), torch.utils.data.DataLoader(rows, batch_size=8, shuffle=True))


if __name__ == "__main__":
    main()
