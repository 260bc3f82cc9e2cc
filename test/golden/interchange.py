"""Writes weights as PyTorch and safetensors do, for the tests of what reads them.

    python test/golden/interchange.py     (needs torch and safetensors; run from anywhere)

writes, gzipped, beside this script:

    state-dict.pth.gz            torch.save of a state_dict: float32, contiguous
    lightning-bfloat16.pth.gz    {"state_dict": ..., and what else Lightning keeps}: bfloat16, channels_last, names with
                                 `model.`
    ddp-float16.pth.gz           {"model_state_dict": ..., "optimizer_state_dict": ...}: float16, channels_last, names with
                                 `module._orig_mod.`
    parameters-float64.pth.gz    the same values as parameters (not plain tensors) and buffers in one storage, float64,
                                 without num_batches_tracked
    state-dict.safetensors.gz    safetensors.torch.save_file of the state_dict

Value i of tensor number t of the state_dict, counted row-major, is ((i + 1) (t + 3) mod 251 - 125) / 128, but for a
running variance ((i + 1) (t + 3) mod 125 + 1) / 128: exact in every one of the types, and all
num_batches_tracked are 4711. test/support/inputs/weights.ts repeats this.
"""

import gzip
import io
import pathlib
import sys

import safetensors.torch
import torch

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "bench"))
from network import Network  # noqa: E402

BATCHES = 4711


def patterned_network():
    network = Network()
    for t, (name, tensor) in enumerate(network.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            tensor.fill_(BATCHES)
            continue
        i = torch.arange(tensor.numel())
        counter = (i + 1) * (t + 3)
        values = counter % 125 + 1 if name.endswith("running_var") else counter % 251 - 125
        tensor.copy_((values / 128).reshape(tensor.shape))
    return network


def prefixed(state, prefix):
    return {prefix + name: tensor for name, tensor in state.items()}


def in_one_storage(network):
    """Parameters and running statistics as views of one storage, with a gap before each."""
    state = {name: tensor for name, tensor in network.state_dict().items() if "batches" not in name}
    learned = {name for name, _ in network.named_parameters()}
    storage = torch.full((sum(tensor.numel() + 1 for tensor in state.values()),), float("nan"), dtype=torch.float64)
    views, position = {}, 0
    for name, tensor in state.items():
        view = storage[position + 1 : position + 1 + tensor.numel()].view(tensor.shape)
        view.copy_(tensor)
        position += tensor.numel() + 1
        views[name] = torch.nn.Parameter(view) if name in learned else view
    return views


def optimizer_state(network):
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network(torch.zeros(2, 1, 28, 28)).sum().mul(0).backward()
    optimizer.step()
    return optimizer.state_dict()


def write(name, saved):
    buffer = io.BytesIO()
    if name.endswith(".pth"):
        torch.save(saved, buffer)
    else:
        buffer.write(safetensors.torch.save(saved, {"format": "pt"}))
    packed = gzip.compress(buffer.getvalue(), 9, mtime=0)
    (HERE / f"{name}.gz").write_bytes(packed)
    print(f"{name}.gz: {len(packed):,} bytes")


def main():
    torch.manual_seed(0)
    network = patterned_network()
    write("state-dict.pth", network.state_dict())
    write("state-dict.safetensors", network.state_dict())
    write("parameters-float64.pth", in_one_storage(network))
    network = network.to(torch.bfloat16, memory_format=torch.channels_last)
    lightning = {"epoch": 12, "global_step": 6097, "pytorch-lightning_version": "2.5.0", "loops": {"fit_loop": [0.5, None]}}
    write("lightning-bfloat16.pth", {**lightning, "state_dict": prefixed(network.state_dict(), "model.")})
    optimizer = optimizer_state(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)))
    network = patterned_network().to(torch.float16, memory_format=torch.channels_last)
    state = prefixed(network.state_dict(), "module._orig_mod.")
    write("ddp-float16.pth", {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer})


if __name__ == "__main__":
    main()
