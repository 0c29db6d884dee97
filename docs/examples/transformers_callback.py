"""A Trainer of Hugging Face: a callback of two methods logs what it logs, and keeps the checkpoints that it saves."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from repro_assets import Experiment


class Tracked(TrainerCallback):
    """Log to an experiment."""

    def __init__(self, run: Experiment) -> None:
        self.run = run

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        """Log the numbers that the Trainer logs."""
        self.run.log_metrics({name: value for name, value in logs.items() if name != "epoch"}, state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Keep the folder that was saved."""
        self.run.log_artifact(Path(args.output_dir) / f"checkpoint-{state.global_step}", "gpt2-checkpoint")


class Words(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Words that count up."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = (torch.arange(16) + index) % 32
        return {"input_ids": tokens, "labels": tokens}


def main() -> None:
    """Train a model of random weights, which needs no download."""
    args = TrainingArguments(
        output_dir="outputs", max_steps=6, logging_steps=1, save_steps=3, per_device_train_batch_size=4, report_to=[],
        seed=0, use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    with Experiment("transformers", config=args.to_dict(), seed=args.seed) as run:
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=32, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
        )
        Trainer(model=model, args=args, train_dataset=Words(), callbacks=[Tracked(run)]).train()
        run.track_model(model, "gpt2")


if __name__ == "__main__":
    main()
