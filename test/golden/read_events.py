"""What TensorBoard's own reader makes of the event files in a folder, as figures for test/coordinator/metrics-files.test.ts.

    EVENT_FILES=FOLDER npx vitest run test/coordinator/metrics-files.test.ts
    python3 test/golden/read_events.py FOLDER > test/golden/tensorboard-figures.json

Needs tensorboard (pip install tensorboard); tried with the version that the figures name.
"""

import hashlib
import json
import pathlib
import sys

import tensorboard.version
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

folder = pathlib.Path(sys.argv[1])
reader = EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0})
reader.Reload()
scalars = {
    tag: [[event.step, event.value, event.wall_time] for event in reader.Scalars(tag)]
    for tag in sorted(reader.Tags()["scalars"])
}
files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*tfevents*"))}
json.dump({"tensorboard": tensorboard.version.VERSION, "files": files, "scalars": scalars}, sys.stdout, indent=1)
print()
