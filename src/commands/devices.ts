/** `mnist-ddp devices`: what this machine offers to train on, and what training would take. */
import { devices, type DevicesReport, type EngineStatus, type Machine, type OpenClDevice } from '../index.js';
import { counted } from '../shared/text.js';
import { visible } from '../shared/text.js';
import { command } from './shell/command.js';
import { inFlags } from './shell/flags.js';
import { jsonLine } from './shell/output.js';

export const devicesCommand = command('devices', 'show what this machine offers to train on', async ({ json }) => {
  const report = await devices();
  process.stdout.write(json ? jsonLine(withFlags(report)) : describe(report));
});

/** With advice by the flags of `train`, which it is for. */
function withFlags(report: DevicesReport): DevicesReport {
  const { engines, choice } = report;
  return {
    ...report,
    engines: engines.map((engine) => ({ ...engine, detail: inFlags(engine.detail, 'train') })),
    choice: { ...choice, why: inFlags(choice.why, 'train') },
  };
}

/** The report for people: sections of aligned lines. */
export function describe(report: DevicesReport): string {
  const { machine, engines, opencl, mpi, choice } = withFlags(report);
  const sections = [
    ['Machine', ...aligned([...machineLines(machine), ...simdLines(engines)])],
    ['GPUs', ...aligned(gpuLines(machine))],
    ['Engines', ...aligned(engines.map(engineLine))],
    ...(opencl.length === 0 ? [] : [['OpenCL', ...aligned(opencl.map(openClLine))]]),
    ['Several machines', ...aligned([['MPI', mpi.available ? mpi.detail : `not available: ${mpi.detail}`]])],
    ['Choices', ...aligned([['--engine auto', `${choice.engine ?? 'none'}: ${choice.why}`], ...deviceLines(report)])],
  ];
  return `${sections.map((lines) => lines.join('\n  ')).join('\n\n')}\n`;
}

type Line = readonly [name: string, value: string];

function machineLines({ processor, ...machine }: Machine): Line[] {
  const limited =
    machine.memoryLimitGiB === null ? '' : `, of which this process may use ${gib(machine.memoryLimitGiB)}`;
  const { physicalCores, logicalCores, usableCores } = processor;
  const cores = [
    `${physicalCores === null ? 'an unknown number' : String(physicalCores)} physical`,
    `${String(logicalCores)} logical`,
    `this process may use ${String(usableCores)} physical`,
  ];
  return [
    ['processor', processor.model ?? 'unknown'],
    ['vendor', processor.vendor ?? 'unknown'],
    ['cores', cores.join(', ')],
    ['instruction sets', processor.instructionSets.join(', ') || 'unknown'],
    ['memory', `${gib(machine.memoryGiB)}${limited}`],
    ['system', `${machine.system}, ${machine.kernel}, ${machine.architecture}`],
    ['Node', `${machine.node}, V8 ${machine.v8}`],
  ];
}

/** How wide the kernels' vectors are, and what would make them wider. */
function simdLines(engines: DevicesReport['engines']): Line[] {
  const simd = engines.find(({ name }) => name === 'wasm')?.simd ?? null;
  if (simd === null) return [];
  const line: Line = ['WebAssembly SIMD', `${String(simd.bits)} bits wide: ${simd.why}`];
  return simd.advice === null ? [line] : [line, ['advice', simd.advice]];
}

function gpuLines({ gpus }: Machine): Line[] {
  if (gpus === null) return [['unknown', 'looking for them took too long']];
  if (gpus.length === 0) return [['none found', '']];
  return gpus.map(({ vendor, model, memoryGiB, driver }) => {
    const memory = memoryGiB === null ? [] : [gib(memoryGiB)];
    return [model ?? 'unknown', [vendor ?? 'unknown vendor', ...memory, `driver ${driver ?? 'unknown'}`].join(', ')];
  });
}

function engineLine({ name, version, available, exact, detail }: EngineStatus): Line {
  const title = version === null ? name : `${name} ${version}`;
  if (!available) return [title, `not available: ${detail}`];
  return [
    title,
    `available, ${exact ? 'same bits on every machine' : 'bits depend on machine and workers'}: ${detail}`,
  ];
}

function openClLine({ device, gpu, name, vendor, version, driver, exact, lacks, ...sizes }: OpenClDevice): Line {
  const units = `${counted(sizes.computeUnits, 'compute unit')} at ${String(sizes.clockMHz)} MHz`;
  const memory = `${gib(sizes.memoryGiB)}, ${String(sizes.localKiB)} KiB local`;
  const poor = sizes.float64 ? '' : '; without float64, so the processor takes its part, which costs copies';
  const verdict = exact ? `gives the bits of the CPU${poor}` : `not used: ${lacks.join(', ')}`;
  const what = `${name}, ${vendor}, ${version}, driver ${driver}, ${units}, ${memory}`;
  return [gpu === null ? device : `${gpu}, ${device}`, `${what}: ${verdict}`];
}

/** What `--devices` takes here. */
function deviceLines({ machine: { processor }, opencl }: DevicesReport): Line[] {
  const lines: Line[] = [['--devices cpu', 'any core']];
  if (processor.usableCpus.length > 0) {
    lines.push(['--devices cpu:N', `pinned to CPU N, here one of ${ranges(processor.usableCpus)}`]);
  }
  const exact = opencl.filter((device) => device.exact);
  const gpus = exact.filter(({ gpu }) => gpu !== null);
  if (gpus.length > 0) lines.push(['--devices gpu', `all of ${gpus.map(({ gpu }) => gpu).join(', ')}, in turn`]);
  if (exact.length > 0) lines.push(['--devices opencl:N', exact.map(({ device }) => device).join(', ')]);
  return lines;
}

function aligned(lines: readonly Line[]): string[] {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => visible(`${name.padEnd(width)}  ${value}`.trimEnd()));
}

function gib(amount: number): string {
  return `${String(amount)} GiB`;
}

/** 0, 1, 2, 5 as `0-2,5`. */
export function ranges(numbers: readonly number[]): string {
  const runs: [first: number, last: number][] = [];
  for (const number of numbers) {
    const run = runs.at(-1);
    if (run?.[1] === number - 1) run[1] = number;
    else runs.push([number, number]);
  }
  return runs.map(([first, last]) => (first === last ? String(first) : `${String(first)}-${String(last)}`)).join(',');
}
