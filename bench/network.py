"""The workload in PyTorch: what bench/pytorch.py measures and test/golden/pytorch.py takes its figures from."""

from torch import nn
from torch.nn import functional


class Network(nn.Module):
    """Returns the softmax; the loss takes another one of it."""

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
