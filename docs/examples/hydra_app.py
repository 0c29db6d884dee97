"""A Hydra app: the composed configuration is the run's; `outputs/`, which Hydra writes, is no part of the source."""

import hydra
import torch
from omegaconf import DictConfig

from repro_assets import Experiment


@hydra.main(config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Fit a line."""
    with Experiment("hydra-app", config=config, seed=config.seed) as run:
        inputs = torch.linspace(-1, 1, config.points).unsqueeze(1)
        targets = 3 * inputs + 1 + 0.1 * torch.randn_like(inputs)
        model = torch.nn.Linear(1, 1)
        optimizer = getattr(torch.optim, config.optimizer.name)(model.parameters(), lr=config.optimizer.lr)
        for step in range(config.steps):
            loss = torch.nn.functional.mse_loss(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(f"step {step} loss {loss.item()}")
            run.log_metric("loss", loss.item(), step)
        run.track_model(model, "line")


if __name__ == "__main__":
    main()
