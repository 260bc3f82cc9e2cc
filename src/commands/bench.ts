/** `mnist-ddp bench`: throughput of training by number of workers. */
import { benchmark, type BenchmarkRow } from '../index.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const benchCommand = command(
  'bench',
  'measure images per second by number of workers',
  async ({ json, ...options }) => {
    const rows = await benchmark({ ...options, onNote: note });
    process.stdout.write(json ? jsonLine(rows) : table(rows));
  },
);

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
