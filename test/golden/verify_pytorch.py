"""PyTorch's side of `npm run verify:pytorch` (scripts/verify-pytorch.mjs).

    python test/golden/verify_pytorch.py --data DIR --folder DIR     (needs numpy, torch and safetensors)

loads exported.pth, exported.safetensors and, where onnxruntime is there, exported.onnx from the folder, trains the network in
PyTorch for 60 steps from PyTorch's own initial parameters, saves that as trained.pth in the folder, and prints one JSON
object: versions, and of the 10,000 test images the number that each of them gets right.
"""

import argparse
import json
import pathlib
import sys

try:
    import numpy
    import safetensors
    import safetensors.torch
    import torch
    from torch.nn import functional
except ImportError as error:
    sys.exit(f"needs numpy, torch and safetensors ({error}): pip install numpy torch safetensors")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "bench"))
from network import Network  # noqa: E402

STEPS = 60
BATCH = 128
SEED = 1


def read_split(folder, split):
    """(float32 [n,1,28,28] of 0 to 255, int64 [n])"""
    images, labels = (folder / f"{split}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1"))
    for file in (images, labels):
        if not file.is_file():
            sys.exit(f"no {file}: give the folder of the four MNIST files with --data")
    pixels = torch.from_numpy(numpy.fromfile(images, numpy.uint8, offset=16)).reshape(-1, 1, 28, 28)
    return pixels.float(), torch.from_numpy(numpy.fromfile(labels, numpy.uint8, offset=8)).long()


def count_correct(predict, images, labels):
    """`predict` turns float32 [n,1,28,28] into probabilities [n,10]."""
    correct = 0
    for rows in torch.arange(len(labels)).split(500):
        correct += int((predict(images[rows]).argmax(1) == labels[rows]).sum())
    return correct


def predictor(state):
    """The network in PyTorch with exactly those tensors."""
    network = Network()
    network.load_state_dict(state, strict=True)
    network.eval()

    def predict(images):
        with torch.no_grad():
            return network(images)

    return predict


def onnx_predictor(file):
    """None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run(["probabilities"], {"pixels": images.numpy()})[0])


def trained(images, labels):
    """A state_dict after STEPS steps of the workload's training."""
    torch.manual_seed(SEED)
    network = Network().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for rows in torch.randperm(len(labels)).split(BATCH)[:STEPS]:
        optimizer.zero_grad()
        functional.cross_entropy(network(images[rows]), labels[rows]).backward()
        optimizer.step()
    return network.state_dict()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    args = parser.parse_args()
    test = read_split(args.data, "t10k")

    correct = {
        "exported.pth": count_correct(predictor(torch.load(args.folder / "exported.pth", weights_only=True)), *test),
        "exported.safetensors": count_correct(
            predictor(safetensors.torch.load_file(args.folder / "exported.safetensors")), *test
        ),
    }
    predict = onnx_predictor(args.folder / "exported.onnx")
    correct["exported.onnx"] = None if predict is None else count_correct(predict, *test)
    torch.save(trained(*read_split(args.data, "train")), args.folder / "trained.pth")
    state = torch.load(args.folder / "trained.pth", weights_only=True)
    correct["trained.pth"] = count_correct(predictor(state), *test)
    print(json.dumps({"torch": torch.__version__, "safetensors": safetensors.__version__, "correct": correct}))


if __name__ == "__main__":
    main()
