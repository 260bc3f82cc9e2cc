/** `mnist-ddp bench`: throughput of training by number of workers. */
import { benchmark, type BenchmarkRow } from '../index.js';
import { counted } from '../shared/text.js';
import { command } from './shell/command.js';
import { jsonLine, note } from './shell/output.js';

export const benchCommand = command(
  'bench',
  'measure images per second by number of workers',
  async ({ json, ...options }) => {
    const rows = await benchmark({ ...options, onNote: note });
    process.stdout.write(json ? jsonLine(rows) : table(rows) + rows.map(profileTable).join(''));
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
  const simdBits = rows[0]?.simdBits ?? null;
  const width = simdBits === null ? '' : `${String(simdBits)}-bit vectors\n`;
  return width + aligned([header, ...lines]);
}

/** What a worker's device ran in a step, the longest first. */
function profileTable({ workers, stepMsP50, profile }: BenchmarkRow): string {
  if (profile === null) return '';
  const { kernels, peaks } = profile;
  const rate = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
  const lines = [...kernels]
    .sort((one, other) => other.ms - one.ms)
    .map(({ label, launches, ms, gflops, gigabytes }) => [
      label,
      launches.toFixed(1),
      ms.toFixed(3),
      `${((100 * ms) / stepMsP50).toFixed(1)} %`,
      rate(gflops),
      rate(gigabytes),
    ]);
  const total = kernels.reduce((sum, { ms }) => sum + ms, 0);
  const heading = `\n${counted(workers, 'worker')}: ${total.toFixed(2)} of ${stepMsP50.toFixed(2)} ms of a step on the device\n`;
  const most = peaks.map(({ title, gflops, gigabytes }) => [title, '', '', 'at most', rate(gflops), rate(gigabytes)]);
  return heading + aligned([['kernel', 'launches', 'ms', 'of a step', 'GFLOP/s', 'GB/s'], ...lines, ...most]);
}

/** The first column to the left, the others to the right. */
function aligned(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  const format = (line: readonly string[]): string =>
    line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return lines.map((line) => `${format(line)}\n`).join('');
}
