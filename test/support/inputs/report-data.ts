/** What a report shows, made up: enough of everything to see each part of it. */
import type { ReportData } from '../../../src/report/report-data.js';
import { defaultConfig } from '../../../src/shared/model/config.js';
import { randomBits } from './random.js';

/** A test set of random pictures and labels, where `accuracy` of 1 is a network that is always right. */
export function exampleTest(total: number, accuracy: number): ReportData['test'] {
  const random = randomBits(total);
  const labels = Uint8Array.from({ length: total }, () => random() % 10);
  const probabilities = new Float32Array(10 * total);
  labels.forEach((label, row) => {
    const said = random() < accuracy * 65_536 ? label : random() % 10;
    // A few levels only, so that confidences are often equal.
    const confidence = 0.6 + 0.1 * (random() % 4);
    for (let j = 0; j < 10; j++) probabilities[row * 10 + j] = j === said ? confidence : (1 - confidence) / 9;
  });
  return { images: Uint8Array.from({ length: 784 * total }, () => random() & 255), labels, probabilities };
}

/** Three epochs of 100 steps, scored on 400 images. */
export function exampleReport(changes: Partial<ReportData> = {}): ReportData {
  return {
    run: 'runs/example',
    version: '1.2.3',
    time: new Date('2024-05-06T07:08:09Z'),
    config: { ...defaultConfig, epochs: 3, seed: 7 },
    dataset: 'mnist',
    engine: 'wasm',
    exact: true,
    workers: 2,
    step: 300,
    stepsPerEpoch: 100,
    parametersSha256: '0123456789abcdef'.repeat(4),
    init: null,
    overridden: [],
    command: 'mnist-ddp train --epochs 3 --seed 7',
    machine: [
      ['Processor', 'A processor, 2 cores'],
      ['Node', '20.19.0'],
    ],
    steps: Array.from({ length: 30 }, (_, i) => ({
      step: 10 * (i + 1),
      loss: 1.5 + 1 / (i + 1),
      steps: 10,
      learningRate: i < 15 ? 1e-3 : 1e-4,
      imagesPerSecond: 900 + i,
    })),
    evaluations: [90, 95, 97.25].map((accuracy, i) => ({
      ...{ step: 100 * (i + 1), epoch: i + 1, accuracy },
      ...{ split: 'test' as const, loss: 1.55 },
      trainLoss: 1.6 - 0.01 * i,
    })),
    test: exampleTest(400, 0.9),
    committee: null,
    ...changes,
  };
}
