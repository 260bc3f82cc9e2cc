/** `mnist-ddp bench`: throughput of training by number of workers. */
import type { CommandModule } from 'yargs';
import { benchmark, type BenchmarkOptions, type BenchmarkRow } from '../index.js';
import { dataOption, engineOption, jsonLine, note, numbersOf, numeric, once } from './shell/options.js';

interface BenchArguments {
  workers?: string | undefined;
  steps?: number | undefined;
  engine?: string | undefined;
  batchNorm?: string | undefined;
  batchSize?: number | undefined;
  microBatch?: number | undefined;
  data?: string | undefined;
  json: boolean;
}

export const benchCommand: CommandModule<object, BenchArguments> = {
  command: 'bench',
  describe: 'measure images per second by number of workers',
  builder: (yargs) =>
    yargs
      .option('workers', { ...once, describe: 'numbers of worker threads to compare, such as 1,2,4 [1 and all cores]' })
      .option('steps', numeric('steps', 'measured steps for each [30]'))
      .option('engine', engineOption)
      .option('batch-norm', { ...once, describe: 'as in train [sync]', choices: ['sync', 'local'] })
      .option('batch-size', numeric('batch-size', 'as in train [128]'))
      .option('micro-batch', numeric('micro-batch', 'as in train [8]'))
      .option('data', dataOption)
      .option('json', { type: 'boolean', default: false, describe: 'print one JSON array' }),
  handler: async ({ workers, steps, engine, batchNorm, batchSize, microBatch, data, json }) => {
    const rows = await benchmark({
      workers: workers === undefined ? undefined : numbersOf(workers),
      steps,
      engine: engine as BenchmarkOptions['engine'],
      batchNorm: batchNorm as BenchmarkOptions['batchNorm'],
      batchSize,
      microBatch,
      data,
      onNote: note,
    });
    process.stdout.write(json ? jsonLine(rows) : table(rows));
  },
};

function table(rows: readonly BenchmarkRow[]): string {
  const header = [
    'workers',
    'images/s',
    'step ms',
    'efficiency',
    'compute',
    'all-reduce',
    'optimiser',
    'waiting',
    'data',
  ];
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const lines = rows.map(({ workers, imagesPerSecond, stepMsP50, efficiency, share }) => [
    String(workers),
    imagesPerSecond.toFixed(0),
    stepMsP50.toFixed(1),
    efficiency === null ? '-' : percent(efficiency),
    ...[share.compute, share.allReduce, share.optimiser, share.waiting, share.data].map(percent),
  ]);
  const widths = header.map((title, column) =>
    Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)),
  );
  const format = (line: readonly string[]): string => line.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  ');
  const simdBits = rows[0]?.simdBits ?? null;
  const width = simdBits === null ? '' : `${String(simdBits)}-bit vectors\n`;
  return width + [header, ...lines].map((line) => `${format(line)}\n`).join('');
}
