/** Kills at random moments: what is on disk then is all that is left. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'vitest';
import { loadCheckpoint } from '../../../src/index.js';
import { cliPath } from './cli.js';
import { randomBits } from '../inputs/random.js';

/**
 * Trains into a folder in so many lives, each killed at a random moment and of another number of workers. The newest checkpoint
 * loads after each, of a step no earlier than before. Returns that step, which is later than 0.
 * @param flags of the first life; the others go on from the folder
 */
export async function liveAndDie(
  kills: number,
  data: string,
  folder: string,
  flags: readonly string[],
): Promise<number> {
  const random = randomBits(2025);
  let step = 0;
  // On a machine so busy that none of them came to a first step, some more lives, each a little longer.
  for (let life = 0; life < kills || (step === 0 && life < kills + 20); life++) {
    const workers = String(1 + (life % 4));
    const resume = step > 0 ? ['--resume', folder] : ['--out', folder, ...flags];
    const args = ['train', '--data', data, '--checkpoint-every', '1', '--workers', workers, ...resume];
    await killedAfter(args, ((400 + 100 * Math.max(0, life - kills)) * random()) / 65_536);
    const stepNow = (await loadCheckpoint(folder).catch(noneYet(step)))?.step ?? 0;
    expect(stepNow).toBeGreaterThanOrEqual(step);
    step = stepNow;
  }
  expect(step).toBeGreaterThan(0);
  return step;
}

/** Before the first checkpoint there is none to load; after it, always. */
function noneYet(step: number): (error: unknown) => null {
  return (error) => {
    if (step > 0) throw error;
    return null;
  };
}

/** Runs the command line and kills it so many milliseconds after its first line of output. */
async function killedAfter(args: readonly string[], delayMs: number): Promise<void> {
  const child = spawn(process.execPath, [cliPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
  const errors: string[] = [];
  child.stderr.on('data', (text: Buffer) => errors.push(text.toString()));
  child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), delayMs));
  await once(child, 'close');
  expect(child.signalCode, errors.join('')).toBe('SIGKILL');
}
