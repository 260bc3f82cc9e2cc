/** The page's entry: says what this browser lacks, and starts both sections. */
import { trainedNetwork } from '../coordinator/checkpoint/trained-network.js';
import { initialiseParameters, initialiseRunningStatistics } from '../coordinator/session/initialisation.js';
import type { NetworkState } from '../coordinator/checkpoint/trained-network.js';
import { demoPaths, type DemoFacts, type DemoNetwork } from '../shared/demo.js';
import { OperationalError } from '../shared/errors.js';
import { batchNormChannels, parameterCount } from '../shared/model/network.js';
import { inWords } from '../shared/text.js';
import { DigitReader } from './drawing/digit-reader.js';
import { DrawSection } from './drawing/draw-section.js';
import { element, setText } from './elements.js';
import { fetchBytes } from './fetch-bytes.js';
import { TrainSection } from './training/train-section.js';

async function start(): Promise<void> {
  const facts = JSON.parse(new TextDecoder().decode(await fetchBytes(demoPaths.facts))) as DemoFacts;
  const reader = await openReader();
  const draw = reader && new DrawSection(reader);
  if (draw !== null) {
    await draw.use(facts.network === null ? untrained() : networkOf(await fetchBytes(demoPaths.network)));
    setText('network', describe(facts.network));
  }
  if (reader === null || !crossOriginIsolated) {
    forbidTraining();
    return;
  }
  new TrainSection(facts, async (checkpoint) => {
    await draw?.use(trainedNetwork(checkpoint));
    setText('network', `Reads with the network trained below, after step ${String(checkpoint.step)}.`);
  });
}

/** The engine on this thread, or null where the browser cannot run it, which is then said. */
async function openReader(): Promise<DigitReader | null> {
  try {
    return await DigitReader.open();
  } catch (error) {
    if (!(error instanceof OperationalError) || error.code === 'DATA_MISSING') throw error;
    say('This browser cannot run the kernels: they need WebAssembly with SIMD and shared memory. Try a newer one.');
    setText('network', 'There is no engine to read with.');
    return null;
  }
}

function forbidTraining(): void {
  for (const input of element('settings', HTMLFormElement).elements) input.setAttribute('disabled', '');
  if (!crossOriginIsolated) {
    say('This browser gives the page no SharedArrayBuffer, so it draws with one thread and does not train.');
  }
}

function networkOf(bytes: Uint8Array<ArrayBuffer>): NetworkState {
  const floats = new Float32Array(bytes.buffer);
  return { parameters: floats.subarray(0, parameterCount), runningStatistics: floats.subarray(parameterCount) };
}

function untrained(): NetworkState {
  const network = {
    parameters: new Float32Array(parameterCount),
    runningStatistics: new Float32Array(2 * batchNormChannels),
  };
  initialiseParameters(network.parameters, 0);
  initialiseRunningStatistics(network.runningStatistics);
  return network;
}

function describe(network: DemoNetwork | null): string {
  if (network === null) return 'There is no trained network yet, so these are guesses: train one below.';
  const { name, training } = network;
  return `Reads with the network of ${name}${training === null ? '' : `, step ${String(training.step)}`}.`;
}

function say(text: string): void {
  const notice = element('notice', HTMLElement);
  notice.textContent = text;
  notice.hidden = false;
}

try {
  await start();
} catch (error) {
  if (!(error instanceof OperationalError)) throw error;
  say(`${inWords(error.message)}.`);
}
