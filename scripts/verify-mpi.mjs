// Several hosts on this machine: network namespaces that share a switch, a host name each, and Open MPI over TCP.
//
//   npm run verify:mpi -- [--hosts 3] [--workers 1] [--steps 20] [--rates none,1gbit,100mbit]
//
// Needs `npm run build`, Linux, root, iproute2 and Open MPI (Debian: openmpi-bin). Trains MNIST on one process, then on that
// many hosts with links of each rate, then has one host killed and one cut off the network, resumes on the others, and
// compares the hashes. Prints what the exchanges of a step cost, beside the formula for their bytes.
//
// Exit code 0: all hashes are equal, and both losses ended the job in time and by name.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const cli = join(dirname(fileURLToPath(import.meta.url)), '../dist/cli.js');
const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '3' },
    workers: { type: 'string', default: '1' },
    steps: { type: 'string', default: '20' },
    rates: { type: 'string', default: 'none,1gbit,100mbit' },
  },
});
const network = '10.213.77.0/24';
const timeoutSeconds = 10;
/** Of two losses: the launcher's own second or two, and the deadline's second look. */
const endsWithinMs = 1000 * (timeoutSeconds + 15);

const tag = `mddp${process.pid}`;
const hosts = Array.from({ length: Number(values.hosts) }, (_, i) => `${tag}h${i}`);
const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'] });
const inside = (host, ...args) => ip('netns', 'exec', host, ...args);

function refusal() {
  if (process.platform !== 'linux') return 'needs Linux, for network namespaces';
  if (process.getuid() !== 0) return 'needs root, to make network namespaces';
  if (!existsSync(cli)) return 'dist/cli.js is missing: npm run build';
  for (const command of [
    ['ip', '-V'],
    ['tc', '-V'],
    ['mpirun', '--version'],
  ]) {
    try {
      execFileSync(command[0], command.slice(1), { stdio: 'ignore' });
    } catch {
      return `${command[0]} is missing, on Debian: apt-get install iproute2 openmpi-bin`;
    }
  }
  return null;
}

/** A switch in a namespace of its own, and a cable to each host. */
function plugIn() {
  ip('netns', 'add', `${tag}sw`);
  inside(`${tag}sw`, 'ip', 'link', 'add', 'bridge', 'type', 'bridge');
  inside(`${tag}sw`, 'ip', 'link', 'set', 'bridge', 'up');
  hosts.forEach((host, i) => {
    ip('netns', 'add', host);
    ip('link', 'add', `port${i}`, 'netns', `${tag}sw`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host);
    inside(`${tag}sw`, 'ip', 'link', 'set', `port${i}`, 'master', 'bridge', 'up');
    inside(host, 'ip', 'addr', 'add', network.replace('.0/', `.${i + 1}/`), 'dev', 'eth0');
    for (const device of ['lo', 'eth0']) inside(host, 'ip', 'link', 'set', device, 'up');
  });
}

function unplug() {
  for (const name of [`${tag}sw`, ...hosts]) {
    try {
      ip('netns', 'del', name);
    } catch {
      // It was never made.
    }
  }
}

function shape(rate) {
  for (const host of hosts) {
    if (rate === 'none') continue;
    inside(
      host,
      'tc',
      'qdisc',
      'replace',
      'dev',
      'eth0',
      'root',
      'tbf',
      'rate',
      rate,
      'burst',
      '256kb',
      'latency',
      '50ms',
    );
  }
}

/** What mpirun calls instead of ssh: its first word is the host. */
function writeAgent(folder) {
  const path = join(folder, 'agent.sh');
  writeFileSync(
    path,
    '#!/bin/sh\nhost="$1"\nshift\nexec ip netns exec "$host" unshare --uts sh -c "hostname $host; $*"\n',
  );
  chmodSync(path, 0o755);
  return path;
}

/** Trains on these hosts; `onLine` sees each line of stdout and stderr. */
async function train(agent, on, args, onLine = () => {}) {
  const mca = {
    plm_rsh_agent: agent,
    btl: 'tcp,self',
    btl_tcp_if_include: network,
    oob_tcp_if_include: network,
    // Else mpirun waits for the daemon of a host that is cut off.
    oob_tcp_keepalive_time: '2',
    oob_tcp_keepalive_intvl: '1',
    oob_tcp_keepalive_probes: '2',
  };
  const flags = Object.entries(mca).flatMap(([name, value]) => ['--mca', name, value]);
  const command = [
    'mpirun',
    '--host',
    on.join(','),
    '--bind-to',
    'none',
    ...flags,
    process.execPath,
    cli,
    'train',
    ...args,
  ];
  const start = 'hostname "$0"; exec "$@"';
  const child = spawn('ip', ['netns', 'exec', on[0], 'unshare', '--uts', 'sh', '-c', start, on[0], ...command], {
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk;
      for (const line of String(chunk).split('\n')) onLine(line);
    });
  }
  // Not `close`: the launcher's daemon on a host that is cut off holds the pipes, and stays.
  await once(child, 'exit');
  await sleep(500);
  for (const host of on) endAllOn(host);
  return { code: child.exitCode, text };
}

const summaryIn = (folder) => JSON.parse(readFileSync(join(folder, 'summary.json'), 'utf8'));

/** What a lost job left on a host; only our own processes are in its namespace. */
function endAllOn(host) {
  for (const pid of String(ip('netns', 'pids', host))
    .split('\n')
    .filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended meanwhile.
    }
  }
}

/** The operating system's number of the training process on a host. */
function pidOn(host) {
  for (const pid of String(ip('netns', 'pids', host))
    .trim()
    .split('\n')) {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    if (words[0] === process.execPath && words.includes(cli)) return Number(pid);
  }
  throw new Error(`no training on ${host}`);
}

/** Bytes that process 0 sends for the gradients of a full batch, by the formula of docs/cluster.md. */
async function formula(processes) {
  const { wasmEngine } = await import('../dist/worker/engines/wasm/wasm-engine.js');
  const { sharesOf, subtreesOf } = await import('../dist/shared/sums/tree.js');
  const k = subtreesOf(sharesOf(16, processes)[0]).length;
  return ((k + 1) * 4 * wasmEngine.accumulatorLength * (processes - 1)) / processes;
}

async function measure(agent, folder, common, rate, expected) {
  shape(rate);
  const out = join(folder, `rate-${rate}`);
  const { code, text } = await train(agent, hosts, [...common, '--out', out]);
  if (code !== 0) throw new Error(`training at ${rate} ended with ${code}: ${text}`);
  const { parametersSha256, imagesPerSecond, traffic, step } = summaryIn(out);
  const perStep = (amount, digits) => (amount / step).toFixed(digits);
  return {
    rate: rate === 'none' ? 'unshaped' : rate,
    hash: parametersSha256 === expected ? 'equal' : 'DIFFERS',
    'images/s': imagesPerSecond.toFixed(0),
    'statistics ms': perStep(traffic.statistics.ms, 1),
    'statistics kB': perStep(traffic.statistics.bytesSent / 1e3, 1),
    'gradients ms': perStep(traffic.gradients.ms, 1),
    'gradients MB': perStep(traffic.gradients.bytesSent / 1e6, 3),
    'formula MB': ((await formula(hosts.length)) / 1e6).toFixed(3),
  };
}

/** Trains until the first checkpoint, does `harm` to the last host, and goes on with the others. */
async function lose(agent, folder, common, name, harm, mend, expected) {
  const out = join(folder, name);
  const last = hosts.at(-1);
  let harmedAt = 0;
  const losing = (async () => {
    while (!existsSync(join(out, 'checkpoint.msgpack'))) await sleep(50);
    harmedAt = Date.now();
    harm(last);
  })();
  const args = [...common, '--checkpoint-every', '2', '--timeout', String(timeoutSeconds), '--out', out];
  const { code, text } = await train(agent, hosts, args);
  await losing;
  const ms = Date.now() - harmedAt;
  mend(last);
  const said = text.split('\n').filter((line) => line.startsWith('mnist-ddp: '));
  const named = said.some((line) => line.includes(`process ${hosts.length - 1} on host ${last}`));
  const resumed = await train(agent, hosts.slice(0, -1), [...common, '--resume', out]);
  const equal = resumed.code === 0 && summaryIn(out).parametersSha256 === expected;
  console.log(`\n${name}: ended after ${(ms / 1000).toFixed(1)} s with code ${code}`);
  for (const line of said) console.log(`  ${line.replaceAll(tag, '').replaceAll(folder, '')}`);
  if (!named) console.log(text);
  console.log(`  resumed on ${hosts.length - 1} hosts: ${equal ? 'equal hash' : `DIFFERS or failed: ${resumed.text}`}`);
  return code !== 0 && named && equal && ms < endsWithinMs;
}

const problem = refusal();
if (problem !== null) {
  console.error(`verify:mpi ${problem}`);
  process.exit(1);
}
const folder = mkdtempSync(join(tmpdir(), 'mnist-ddp-mpi-'));
let good = true;
try {
  const agent = writeAgent(folder);
  plugIn();
  const common = ['--max-steps', values.steps, '--workers', values.workers, '--quiet'];
  const one = join(folder, 'one');
  execFileSync(process.execPath, [cli, 'train', ...common, '--out', one], { stdio: 'ignore' });
  const { parametersSha256, imagesPerSecond } = summaryIn(one);
  console.log(`one process: ${parametersSha256.slice(0, 12)}, ${imagesPerSecond.toFixed(0)} images/s`);
  const rows = [];
  for (const rate of values.rates.split(',')) rows.push(await measure(agent, folder, common, rate, parametersSha256));
  console.log(`${hosts.length} hosts, a step of process 0:`);
  console.table(rows);
  good = rows.every(({ hash }) => hash === 'equal');
  for (const host of hosts) {
    try {
      inside(host, 'tc', 'qdisc', 'del', 'dev', 'eth0', 'root');
    } catch {
      // It was never shaped.
    }
  }
  const port = `port${hosts.length - 1}`;
  const link = (state) => () => inside(`${tag}sw`, 'ip', 'link', 'set', port, state);
  const kill = (host) => process.kill(pidOn(host), 'SIGKILL');
  good = (await lose(agent, folder, common, 'killed', kill, () => {}, parametersSha256)) && good;
  good = (await lose(agent, folder, common, 'cut off', link('down'), link('up'), parametersSha256)) && good;
} finally {
  unplug();
  rmSync(folder, { recursive: true, force: true });
}
console.log(good ? '\nall equal, and both losses named' : '\nNOT as promised');
if (!good) process.exitCode = 1;
