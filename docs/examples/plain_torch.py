"""A plain PyTorch loop: one `with` around it, one line for what it reads, logs and makes."""

import argparse

import numpy
import torch

from repro_assets import Experiment


def main() -> None:
    """Learn which side of a curve the points of a CSV file lie on."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    with Experiment("plain-torch", config=args, seed=args.seed) as run:
        rows = torch.tensor(numpy.loadtxt(run.use_path(args.data), delimiter=",", skiprows=1), dtype=torch.float32)
        points, labels = rows[:, :2], rows[:, 2]
        model = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
        for epoch in range(args.epochs):
            for batch in torch.randperm(len(points)).split(16):
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    model(points[batch]).squeeze(1), labels[batch]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            accuracy = ((model(points).squeeze(1) > 0) == (labels > 0.5)).float().mean().item()
            print(f"epoch {epoch} loss {loss.item()} accuracy {accuracy}")
            run.log_metrics({"loss": loss.item(), "accuracy": accuracy}, step=epoch)
        run.track_model(model, "points")


if __name__ == "__main__":
    main()
