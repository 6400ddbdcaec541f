"""The training loop on Lightning Fabric: mixed precision, accumulation, several devices, and exact resumption.

Nothing random outlives a step: the order of rows follows from (seed, epoch) and dropout from (seed, step, rank). So a
run that was killed and resumed gives the same weights as one that was not.
"""

from __future__ import annotations

import io
import math
import os
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy
from torch import nn

from backend.serving.portable import probabilities
from jobs.trainers.contract import TrainingJob
from jobs.trainers.network.rows import Batch, DeviceRows
from jobs.trainers.run import Run
from jobs.trainers.scores import in_unit, scores

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
LAST_RATE = 0.02  # of the learning rate, at the end of its cosine


@dataclass
class Counters:
    """Where the run is; everything but the weights."""

    epoch: int = 0
    batch: int = 0  # within the epoch
    step: int = 0  # of the optimiser
    best: float = math.inf
    best_epoch: int = 0
    rows: int = 0
    trained_s: float = 0.0
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)


class Loop:
    """`run()` trains to the end and leaves the best weights in the module."""

    def __init__(
        self, run: Run, fabric: Fabric, network: nn.Module, train: DeviceRows, valid: DeviceRows, *,
        unit: float = 1.0,
    ) -> None:  # fmt: skip
        """`unit`: the spread of a regression's target, in which its answers are counted here."""
        self._run, self._fabric = run, fabric
        self._job: TrainingJob = run.job
        self._chosen = run.parameters
        self._train, self._valid, self._unit = train, valid, unit
        self._size = max(1, min(self._chosen["batch_size"], train.count // fabric.world_size))
        self._accumulate: int = self._chosen["accumulate"]
        self._batches = max(1, train.count // (self._size * fabric.world_size))
        self._steps = math.ceil(self._batches / self._accumulate) * self._chosen["max_epochs"]
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=self._chosen["learning_rate"], weight_decay=self._chosen["weight_decay"],
            fused=fabric.device.type == "cuda",
        )  # fmt: skip
        self._plain = network
        self._network, self._optimiser = fabric.setup(network, optimiser)
        self.at = Counters()
        self._saved_at = time.monotonic()

    def run(self) -> None:
        run, at = self._run, self.at
        if (held := run.restore(_read)) is not None:
            self._continue(held)
        while at.epoch < self._chosen["max_epochs"] and not self._tired():
            self._epoch()
        if at.best_weights:
            self._plain.load_state_dict(at.best_weights)

    def _tired(self) -> bool:
        patience = self._chosen["patience"]
        return bool(patience) and self.at.epoch - self.at.best_epoch >= patience

    def _epoch(self) -> None:
        at, fabric = self.at, self._fabric
        self._network.train()
        begun = time.monotonic()
        loss_sum = torch.zeros((), device=fabric.device)
        seen = 0
        batches = self._train.batches(
            self._job.seed * 1_000_003 + at.epoch, self._size, rank=fabric.global_rank, world=fabric.world_size,
            first=at.batch,
        )  # fmt: skip
        group = self._group(at.batch)
        in_group = 0
        for batch in batches:
            if in_group == 0:
                torch.manual_seed(((self._job.seed + 1) * 1_000_003 + at.step) * 4096 + fabric.global_rank)
            in_group += 1
            closes = in_group == group
            with fabric.no_backward_sync(self._network, enabled=not closes and fabric.world_size > 1):
                loss = self._loss(batch)
                fabric.backward(loss / group)
            loss_sum += loss.detach()
            seen += 1
            at.batch += 1
            at.rows += self._size * fabric.world_size
            if closes:
                self._step()
                in_group, group = 0, self._group(at.batch)
                begun = self._after_step(begun, loss_sum, seen)
        if fabric.device.type == "cuda":
            torch.cuda.synchronize()
        at.trained_s += time.monotonic() - begun
        at.epoch, at.batch = at.epoch + 1, 0
        self._validate(float(loss_sum) / max(1, seen))
        self._save()

    def _group(self, batch: int) -> int:
        """How many batches the next optimiser step takes; fewer at the end of an epoch."""
        return int(min(self._accumulate, self._batches - batch))

    def _step(self) -> None:
        rate = self._rate()
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        self.at.step += 1

    def _rate(self) -> float:
        """Warm-up over the first twentieth, then a cosine down to `LAST_RATE`."""
        share = self.at.step / max(1, self._steps)
        full = float(self._chosen["learning_rate"])
        if share < 0.05:
            return full * (share + 1 / max(1, self._steps)) / 0.05 if self._steps > 20 else full
        return float(
            full * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (share - 0.05) / 0.95)))
        )

    def _after_step(self, begun: float, loss_sum: torch.Tensor, seen: int) -> float:
        at, run = self.at, self._run
        run.beat()
        if at.step % self._chosen["log_every"] == 0:
            run.log(at.step, {"train_loss": float(loss_sum) / seen}, epoch=self._epochs(), steps=self._steps)
        if time.monotonic() - self._saved_at >= self._chosen["checkpoint_every_s"]:
            at.trained_s += time.monotonic() - begun
            self._save()
            return time.monotonic()
        return begun

    def _epochs(self) -> float:
        return float(self.at.epoch + self.at.batch / self._batches)

    def _loss(self, batch: Batch) -> torch.Tensor:
        answer = self._network(batch.numbers, batch.codes).float()
        if self._job.task == "binary":
            losses = nn.functional.binary_cross_entropy_with_logits(
                answer[:, 0], batch.target.float(), reduction="none"
            )
        elif self._job.task == "multiclass":
            losses = nn.functional.cross_entropy(answer, batch.target, reduction="none")
        else:
            losses = (answer[:, 0] - batch.target.float()) ** 2
        return losses.mean() if batch.weight is None else (losses * batch.weight).mean()

    def answers(self) -> np.ndarray:
        """What the network says of the validation rows, in the precision that it trains in. Asked of the bare module:
        one rank alone does it, and a wrapped one would wait for the others."""
        self._network.eval()
        with torch.no_grad(), self._fabric.autocast():
            parts = []
            for batch in self._valid.in_order(max(self._size, 4096)):
                parts.append(self._plain(batch.numbers, batch.codes).float())
                self._run.beat()
        found: np.ndarray = torch.cat(parts).cpu().numpy().astype("float64")
        return found

    def _validate(self, train_loss: float) -> None:
        at, fabric = self.at, self._fabric
        verdict = 0.0
        if fabric.global_rank == 0:
            found = scored(self._job.task, self.answers(), self._valid)
            verdict = found["rmse" if self._job.task == "regression" else "log_loss"]
            speed = at.rows / at.trained_s if at.trained_s else 0.0
            self._run.log(
                at.step,
                {
                    "train_loss": train_loss,
                    **{f"valid_{name}": one for name, one in in_unit(found, self._unit).items()},
                    "rows_per_s": speed,
                },
                epoch=float(at.epoch),
                steps=self._steps,
            )
        verdict = fabric.broadcast(verdict)
        if not math.isfinite(verdict):
            raise FloatingPointError(
                "the validation loss is no number any more; use a smaller learning_rate or fp32"
            )
        if verdict < at.best:
            at.best, at.best_epoch = verdict, at.epoch
            at.best_weights = {
                name: one.detach().cpu().clone() for name, one in self._plain.state_dict().items()
            }

    def _save(self) -> None:
        self._saved_at = time.monotonic()
        if self._fabric.global_rank != 0:
            return
        stream = io.BytesIO()
        torch.save(
            {
                "at": {**vars(self.at)},
                "weights": self._plain.state_dict(),
                "optimiser": self._optimiser.state_dict(),
                "precision": self._fabric.strategy.precision.state_dict(),
            },
            stream,
        )
        self._run.save(self.at.step, stream.getvalue())

    def _continue(self, held: dict[str, Any]) -> None:
        for name, value in held["at"].items():
            setattr(self.at, name, value)
        self._plain.load_state_dict(held["weights"])
        self._optimiser.load_state_dict(held["optimiser"])
        self._fabric.strategy.precision.load_state_dict(held["precision"])


def scored(task: str, answers: np.ndarray, rows: DeviceRows) -> dict[str, float]:
    """Metrics of raw answers; a regression's are in the unit of its standardised target."""
    target, weight = rows.target, rows.weight
    if task == "regression":
        return scores(task, target.astype("float64"), answers[:, 0], weight)
    return scores(task, target, probabilities(answers[:, 0] if task == "binary" else answers), weight)


def fabric_for(job: TrainingJob, chosen: dict[str, Any]) -> Fabric:
    """As the environment says: under torchrun one process of several, else one process on one device."""
    gpu = job.device != "cpu" and torch.cuda.is_available()
    precision = chosen["precision"]
    if precision == "auto":
        precision = "bf16" if gpu and torch.cuda.is_bf16_supported() else "fp32"
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if job.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    if not gpu and chosen["threads"]:
        torch.set_num_threads(chosen["threads"])
    return Fabric(
        accelerator="cuda" if gpu else "cpu",
        devices=local,
        num_nodes=max(1, world // local),
        strategy=DDPStrategy(broadcast_buffers=False) if world > 1 else "auto",
        precision=PRECISIONS[precision],
    )


def _read(content: bytes) -> dict[str, Any]:
    """`weights_only`: nothing but tensors and plain values is unpickled."""
    held: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return held
