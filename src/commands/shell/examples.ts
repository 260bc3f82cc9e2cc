/** What help shows of each command. */
import type { CommandName } from './flags.js';

/** Of each command: its words behind the command's name, and what comes of them. */
export const examples: Readonly<Record<CommandName, readonly (readonly [words: string, what: string])[]>> = {
  train: [
    ['--workers 4 --seed 1', 'four threads; the same bits as with any other number'],
    ['--resume', 'goes on with the newest run'],
    ['--out DIR --resume-or-start', 'begins the run in DIR or goes on with it, for jobs'],
    ['--recipe better', 'the same network, augmented and averaged: reads digits better'],
    ['--init weights.pth --lr 1e-4', 'trains a network of PyTorch further'],
  ],
  eval: [
    ['', 'the newest run'],
    ['weights.pth --json', 'a network of PyTorch, as JSON'],
    ['RUN RUN RUN', 'three networks as one'],
    ['RUN --split validation', 'the rows that the run held out'],
  ],
  predict: [
    ['photo.jpg drawing.png', 'pictures, by the newest run'],
    ['t10k-images-idx3-ubyte --rows 0-9', 'rows of MNIST'],
  ],
  report: [['runs/RUN --out run.html', 'curves, confusion matrix and mistakes']],
  export: [
    ['runs/RUN weights.pth', 'what torch.load and load_state_dict take'],
    ['runs/RUN network.onnx', 'the whole network, from pixels to probabilities'],
  ],
  runs: [
    ['', 'name, start, state, steps, accuracy and speed of each run'],
    ['compare baseline wide', 'what differs in configuration and result'],
  ],
  demo: [['runs/RUN --port 8080', 'reads what one draws with the network of a run']],
  devices: [['', 'engines, devices, and why what is missing is missing']],
  bench: [['--workers 1,2,4 --steps 50', 'three groups, one after the other']],
  verify: [['--workers 1,16', 'one worker and sixteen']],
};
