"""Train a small character-level GPT on a text file.

usage: python plain_gpt.py --data input.txt --out-dir out --max-iters 200
       python plain_gpt.py --data input.txt --out-dir out --resume --max-iters 400
       python plain_gpt.py --out-dir out --sample 200
"""

import argparse
import json
import math
import os
import random
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn as nn
from torch.nn import functional as F


# -----------------------------------------------------------------------------
# arguments


def get_args():
    parser = argparse.ArgumentParser(description="train a small GPT")
    # data and output
    parser.add_argument("--data", type=str, default="input.txt", help="a text file")
    parser.add_argument("--out-dir", type=str, default="out", help="where checkpoints and logs go")
    parser.add_argument("--resume", action="store_true", help="continue from the last checkpoint")
    parser.add_argument("--sample", type=int, default=0, help="only write so many characters")
    # model
    parser.add_argument("--n-layer", type=int, default=2)
    parser.add_argument("--n-head", type=int, default=2)
    parser.add_argument("--n-embd", type=int, default=32)
    parser.add_argument("--block-size", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.1)
    # optimization
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--max-iters", type=int, default=200)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--min-lr", type=float, default=1e-4)
    parser.add_argument("--warmup-iters", type=int, default=10)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--beta1", type=float, default=0.9)
    parser.add_argument("--beta2", type=float, default=0.99)
    parser.add_argument("--grad-clip", type=float, default=1.0)
    # bookkeeping
    parser.add_argument("--eval-interval", type=int, default=50)
    parser.add_argument("--eval-iters", type=int, default=5)
    parser.add_argument("--log-interval", type=int, default=10)
    parser.add_argument("--device", type=str, default="cpu")
    parser.add_argument("--seed", type=int, default=1337)
    return parser.parse_args()


def set_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


# -----------------------------------------------------------------------------
# data


class CharData:
    """The characters of a text file as numbers, the last tenth of which is held out."""

    def __init__(self, path, block_size):
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.chars = sorted(set(text))
        self.stoi = {ch: i for i, ch in enumerate(self.chars)}
        ids = np.array([self.stoi[ch] for ch in text], dtype=np.int64)
        n = int(0.9 * len(ids))
        self.train, self.val = ids[:n], ids[n:]
        self.block_size = block_size
        if len(self.val) <= block_size:
            raise ValueError(f"{path} is too short for blocks of {block_size} characters")

    @property
    def vocab_size(self):
        return len(self.chars)

    def batch(self, split, batch_size, device):
        data = self.train if split == "train" else self.val
        ix = torch.randint(len(data) - self.block_size, (batch_size,))
        x = torch.stack([torch.from_numpy(data[i : i + self.block_size]) for i in ix])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 1 + self.block_size]) for i in ix])
        return x.to(device), y.to(device)


# -----------------------------------------------------------------------------
# model


@dataclass
class GPTConfig:
    block_size: int
    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    dropout: float


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_embd % config.n_head == 0
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head = config.n_head
        mask = torch.tril(torch.ones(config.block_size, config.block_size))
        self.register_buffer("mask", mask.view(1, 1, config.block_size, config.block_size))

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(C, dim=2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) / math.sqrt(k.size(-1))
        att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        att = self.attn_dropout(F.softmax(att, dim=-1))
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd)
        self.mlp = MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.block_size, config.n_embd)
        self.drop = nn.Dropout(config.dropout)
        self.h = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.wte.weight = self.lm_head.weight
        self.apply(self._init_weights)
        for name, p in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.n_layer))

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def num_params(self):
        return sum(p.numel() for p in self.parameters())

    def forward(self, idx, targets=None):
        pos = torch.arange(idx.size(1), device=idx.device)
        x = self.drop(self.wte(idx) + self.wpe(pos))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0):
        for _ in range(max_new_tokens):
            logits, _ = self(idx[:, -self.config.block_size :])
            probs = F.softmax(logits[:, -1, :] / temperature, dim=-1)
            idx = torch.cat((idx, torch.multinomial(probs, num_samples=1)), dim=1)
        return idx


# -----------------------------------------------------------------------------
# training


def configure_optimizer(model, args):
    decay = [p for p in model.parameters() if p.dim() >= 2]
    no_decay = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": decay, "weight_decay": args.weight_decay}, {"params": no_decay, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=args.lr, betas=(args.beta1, args.beta2))


def get_lr(it, args):
    if it < args.warmup_iters:
        return args.lr * (it + 1) / args.warmup_iters
    ratio = (it - args.warmup_iters) / max(1, args.max_iters - args.warmup_iters)
    return args.min_lr + 0.5 * (1.0 + math.cos(math.pi * min(1.0, ratio))) * (args.lr - args.min_lr)


@torch.no_grad()
def estimate_loss(model, data, args):
    model.eval()
    out = {}
    for split in ("train", "val"):
        losses = torch.zeros(args.eval_iters)
        for k in range(args.eval_iters):
            x, y = data.batch(split, args.batch_size, args.device)
            losses[k] = model(x, y)[1].item()
        out[split] = losses.mean().item()
    model.train()
    return out


def save_checkpoint(path, model, optimizer, data, it, best_val_loss, args):
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "model_args": asdict(model.config),
        "chars": data.chars,
        "iter": it,
        "best_val_loss": best_val_loss,
        "rng": torch.get_rng_state(),
        "args": vars(args),
    }
    # a crash while saving must not cost the checkpoint before
    torch.save(checkpoint, path + ".tmp")
    os.replace(path + ".tmp", path)


def load_checkpoint(path, device):
    checkpoint = torch.load(path, map_location=device, weights_only=True)
    model = GPT(GPTConfig(**checkpoint["model_args"])).to(device)
    model.load_state_dict(checkpoint["model"])
    return checkpoint, model


def sample(args):
    checkpoint, model = load_checkpoint(os.path.join(args.out_dir, "ckpt.pt"), args.device)
    model.eval()
    idx = torch.zeros((1, 1), dtype=torch.long, device=args.device)
    print("".join(checkpoint["chars"][i] for i in model.generate(idx, args.sample)[0].tolist()))


def train(args):
    data = CharData(args.data, args.block_size)
    print(f"data has {len(data.train) + len(data.val)} characters, {data.vocab_size} unique")
    ckpt_path = os.path.join(args.out_dir, "ckpt.pt")
    if args.resume:
        checkpoint, model = load_checkpoint(ckpt_path, args.device)
        optimizer = configure_optimizer(model, args)
        optimizer.load_state_dict(checkpoint["optimizer"])
        torch.set_rng_state(checkpoint["rng"])
        start, best_val_loss = checkpoint["iter"], checkpoint["best_val_loss"]
        print(f"resuming at iter {start}")
    else:
        config = GPTConfig(args.block_size, data.vocab_size, args.n_layer, args.n_head, args.n_embd, args.dropout)
        model = GPT(config).to(args.device)
        optimizer = configure_optimizer(model, args)
        start, best_val_loss = 0, float("inf")
    print(f"number of parameters: {model.num_params()}")

    log = open(os.path.join(args.out_dir, "log.jsonl"), "a" if args.resume else "w")
    t0 = time.time()
    for it in range(start, args.max_iters):
        lr = get_lr(it, args)
        for group in optimizer.param_groups:
            group["lr"] = lr
        x, y = data.batch("train", args.batch_size, args.device)
        _, loss = model(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), args.grad_clip)
        optimizer.step()

        if it % args.log_interval == 0:
            dt, t0 = time.time() - t0, time.time()
            print(f"iter {it} loss {loss.item():.4f} norm {norm.item():.3f} lr {lr:.2e} time {dt * 1000:.0f}ms")
            log.write(json.dumps({"iter": it, "loss": loss.item(), "lr": lr}) + "\n")
        if (it + 1) % args.eval_interval == 0 or it + 1 == args.max_iters:
            losses = estimate_loss(model, data, args)
            print(f"step {it + 1}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}", flush=True)
            log.write(json.dumps({"iter": it + 1, **losses}) + "\n")
            best_val_loss = min(best_val_loss, losses["val"])
            save_checkpoint(ckpt_path, model, optimizer, data, it + 1, best_val_loss, args)
    log.close()
    return model


def main():
    args = get_args()
    set_seed(args.seed)
    os.makedirs(args.out_dir, exist_ok=True)
    if args.sample:
        sample(args)
    else:
        train(args)


if __name__ == "__main__":
    main()
