/**
 * What this machine is: for the record of a run, and for `mnist-ddp devices`.
 *
 * Nothing here decides anything, so nothing here fails: what cannot be found out, or not in time, is null or empty. Each
 * function that interprets takes text, so it is tested without such a machine; those at the end are the ones that look.
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism, cpus, release, totalmem, type as kernelName, version as systemVersion } from 'node:os';
import { counted } from '../../shared/text.js';
import { allowedCpus, physicalCores } from './topology.js';

export interface Processor {
  /** Such as `Intel Xeon Processor`; null where it cannot be found out, and so below. */
  readonly model: string | null;
  readonly vendor: string | null;
  readonly physicalCores: number | null;
  readonly logicalCores: number;
  /** Physical cores that this process may use. */
  readonly usableCores: number;
  /** Numbers of the CPUs that this process may run on, for `cpu:N`; empty where pinning does not work. */
  readonly usableCpus: readonly number[];
  /** Those that matter to training, by their usual names; empty where they cannot be found out. */
  readonly instructionSets: readonly string[];
}

export interface Gpu {
  readonly vendor: string | null;
  readonly model: string | null;
  readonly memoryGiB: number | null;
  readonly driver: string | null;
}

export interface Machine {
  readonly processor: Processor;
  /** To a tenth. */
  readonly memoryGiB: number;
  /** What a container allows, where that is less. */
  readonly memoryLimitGiB: number | null;
  /** Name and version, such as `Debian 12`. */
  readonly system: string;
  /** Name and version, such as `Linux 6.1.0-18-amd64`. */
  readonly kernel: string;
  readonly architecture: string;
  readonly node: string;
  readonly v8: string;
  /** Empty without one; null where they were not looked for, or nothing was found out in time. */
  readonly gpus: readonly Gpu[] | null;
}

/** What systeminformation tells, as far as it is used; anything may be missing. */
interface Probed {
  readonly cpu?: {
    readonly manufacturer?: string;
    readonly brand?: string;
    readonly vendor?: string;
    readonly physicalCores?: number;
    readonly flags?: string;
  };
  readonly graphics?: { readonly controllers?: readonly Controller[] };
}

/** A graphics controller as systeminformation describes it; `vram` is in MiB. */
export interface Controller {
  readonly vendor?: string;
  readonly model?: string;
  readonly vram?: number | null;
  readonly driverVersion?: string;
}

const gibibyte = 2 ** 30;
const defaultTimeoutMs = 5000;

/**
 * Looks at the machine, off this thread.
 * @param thorough whether vendor, cores and GPUs are worth a process of some tenths of a second; without it Linux reads a few
 *   files, and other systems need that process for the processor's name
 * @returns what could be found out within the time limit; never rejects
 */
export async function describeMachine({
  thorough,
  timeoutMs = defaultTimeoutMs,
}: {
  thorough: boolean;
  timeoutMs?: number;
}): Promise<Machine> {
  const topics = thorough ? (['cpu', 'graphics'] as const) : process.platform === 'linux' ? [] : (['cpu'] as const);
  const [probed, nvidia, system, status, cpuinfo] = await Promise.all([
    probe(topics, timeoutMs),
    thorough ? nvidiaSmi(timeoutMs) : null,
    systemName(),
    read('/proc/self/status'),
    read('/proc/cpuinfo'),
  ]);
  const controllers = probed.graphics?.controllers ?? null;
  const limit = process.constrainedMemory();
  return {
    processor: processorOf(probed.cpu ?? {}, status ?? '', cpuinfo ?? ''),
    memoryGiB: toGiB(totalmem()),
    memoryLimitGiB: limit > 0 && limit < totalmem() ? toGiB(limit) : null,
    system: system ?? systemVersion(),
    kernel: `${kernelName()} ${release()}`,
    architecture: process.arch,
    node: process.versions.node,
    v8: process.versions.v8.replace(/-node.*$/, ''),
    gpus: controllers === null && nvidia === null ? null : gpusOf(controllers ?? [], nvidia),
  };
}

/** Name and value of what is worth a line in the record of a run. */
export function machineSummary(machine: Machine): [name: string, value: string][] {
  const { processor, memoryGiB, memoryLimitGiB, system, kernel, architecture, node } = machine;
  const cores = counted(processor.usableCores, 'core');
  const limited = memoryLimitGiB === null ? '' : `, of which ${String(memoryLimitGiB)} GiB may be used`;
  return [
    ['Processor', `${processor.model ?? 'unknown'}, ${cores}`],
    ['Instruction sets', processor.instructionSets.join(', ') || 'unknown'],
    ['Memory', `${String(memoryGiB)} GiB${limited}`],
    ['System', `${system}, ${kernel.replace(/^(\D*\d+\.\d+).*$/, '$1')}, ${architecture}`],
    ['Node', node],
  ];
}

/** The flags of the first processor in the text of Linux's /proc/cpuinfo, which is there also where lscpu is not. */
export function flagsOf(cpuinfo: string): string | null {
  return /^(?:flags|features)[ \t]*:(.*)$/im.exec(cpuinfo)?.[1]?.trim() ?? null;
}

/** The instruction sets that matter to training, from a processor's flags as Linux and macOS spell them. */
export function instructionSetsOf(flags: string, architecture: string): string[] {
  const has = new Set(flags.toLowerCase().replaceAll('.', '_').split(/\s+/));
  // AArch64 has NEON by definition, and macOS gives no flags there.
  if (architecture === 'arm64') has.add('asimd');
  const names: readonly (readonly [name: string, flag: string])[] = [
    ['SSE4.1', 'sse4_1'],
    ['AVX', 'avx'],
    ['AVX', 'avx1_0'],
    ['AVX2', 'avx2'],
    ['FMA', 'fma'],
    ['AVX-VNNI', 'avx_vnni'],
    ['AVX-512', 'avx512f'],
    ['AVX-512 BF16', 'avx512_bf16'],
    ['AVX-512 VNNI', 'avx512_vnni'],
    ['AMX', 'amx_tile'],
    ['NEON', 'neon'],
    ['NEON', 'asimd'],
    ['SVE', 'sve'],
    ['SVE2', 'sve2'],
  ];
  return [...new Set(names.filter(([, flag]) => has.has(flag)).map(([name]) => name))];
}

/** One name of maker and model, without marks: `Intel` and `Xeon® Processor` are `Intel Xeon Processor`. */
export function processorName(manufacturer: string, brand: string): string | null {
  const clean = (text: string): string =>
    text
      .replaceAll(/[®™©]|\((?:R|TM|C)\)/gi, '')
      .replaceAll(/\s+/g, ' ')
      .trim();
  const [maker, model] = [clean(manufacturer), clean(brand)];
  // A maker that is not known to systeminformation is the whole name again.
  const name = maker.endsWith(model) ? maker : `${maker} ${model}`.trim();
  return name === '' ? null : name;
}

/** Name and version of a Linux distribution from the text of /etc/os-release, such as `Debian 12`; null without a name. */
export function distributionOf(osRelease: string): string | null {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}=(["']?)(.*)\\1[ \t]*$`, 'm').exec(osRelease)?.[2]?.trim();
  const name = field('NAME')?.replace(/ (?:GNU\/)?Linux$/, '') ?? '';
  if (name === '') return null;
  return `${name} ${field('VERSION_ID') ?? ''}`.trim();
}

/** `macOS 14.1`, from the text of SystemVersion.plist; null where it names no version. */
export function macosOf(plist: string): string | null {
  const version = /<key>ProductVersion<\/key>\s*<string>([^<]+)<\/string>/.exec(plist)?.[1];
  return version === undefined ? null : `macOS ${version}`;
}

/**
 * @param controllers graphics controllers as systeminformation finds them, which needs lspci on Linux
 * @param nvidia what nvidia-smi prints for name, memory in MiB and driver, as CSV: it knows NVIDIA's better, and is there in
 *   containers that have no lspci; null where there is none
 */
export function gpusOf(controllers: readonly Controller[], nvidia: string | null): Gpu[] {
  const known = (text: string | undefined): string | null => (text === undefined || text === '' ? null : text);
  const gibibytes = (mebibytes: unknown): number | null => {
    return Number(mebibytes) > 0 ? toGiB(Number(mebibytes) * 2 ** 20) : null;
  };
  const fromNvidia = (nvidia ?? '')
    .split('\n')
    .map((line) => line.split(',').map((field) => field.trim()))
    .filter((fields) => fields.length === 3)
    .map(([model, memory, driver]) => {
      return { vendor: 'NVIDIA', model: known(model), memoryGiB: gibibytes(memory), driver: known(driver) };
    });
  const others = controllers
    .filter(({ vendor }) => fromNvidia.length === 0 || !/nvidia/i.test(vendor ?? ''))
    .map(({ vendor, model, vram, driverVersion }) => {
      return { vendor: known(vendor), model: known(model), memoryGiB: gibibytes(vram), driver: known(driverVersion) };
    });
  return [...fromNvidia, ...others];
}

function toGiB(bytes: number): number {
  return Number((bytes / gibibyte).toFixed(1));
}

function processorOf(cpu: NonNullable<Probed['cpu']>, status: string, cpuinfo: string): Processor {
  const { manufacturer = '', brand = '', vendor = '', flags = '' } = cpu;
  const instructionSets = instructionSetsOf(flagsOf(cpuinfo) ?? flags, process.arch);
  return {
    model: processorName(manufacturer, brand) ?? processorName('', cpus()[0]?.model ?? ''),
    vendor: vendor === '' ? null : vendor,
    physicalCores: cpu.physicalCores ?? null,
    logicalCores: cpus().length || availableParallelism(),
    usableCores: physicalCores(),
    usableCpus: allowedCpus(status),
    instructionSets,
  };
}

/**
 * Asks systeminformation in a process of its own: some of its questions block the thread that asks (dmidecode, nvidia-smi),
 * and a process can be ended when its time is over.
 */
async function probe(topics: readonly ('cpu' | 'graphics')[], timeoutMs: number): Promise<Probed> {
  const script =
    'import(process.argv[1]).then(({ default: { get } }) => get(JSON.parse(process.argv[2])))' +
    '.then((answer) => process.stdout.write(JSON.stringify(answer)))';
  if (topics.length === 0) return {};
  try {
    const request = JSON.stringify(Object.fromEntries(topics.map((topic) => [topic, '*'])));
    const args = ['-e', script, import.meta.resolve('systeminformation'), request];
    return JSON.parse((await outputOf(process.execPath, args, timeoutMs)) ?? '{}') as Probed;
  } catch {
    return {};
  }
}

function nvidiaSmi(timeoutMs: number): Promise<string | null> {
  const args = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader,nounits'];
  return outputOf('nvidia-smi', args, timeoutMs);
}

async function systemName(): Promise<string | null> {
  if (process.platform === 'darwin') {
    return macosOf((await read('/System/Library/CoreServices/SystemVersion.plist')) ?? '');
  }
  return distributionOf((await read('/etc/os-release')) ?? (await read('/usr/lib/os-release')) ?? '');
}

/** What a program prints; null where there is no such program, it fails, or its time is over. */
function outputOf(program: string, args: readonly string[], timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { timeout: timeoutMs, killSignal: 'SIGKILL', windowsHide: true } as const;
    execFile(program, args, options, (error, stdout) => {
      resolve(error === null ? stdout : null);
    });
  });
}

async function read(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null);
}
