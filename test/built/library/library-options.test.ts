/** The library takes no option that it does not know: what a type would refuse, JavaScript is told at run time. */
import { expect, it } from 'vitest';
import { benchmark, demo, evaluate, exportWeights, predict, report, train, verify } from '../../../src/index.js';
import { operationalError } from '../../support/compute/errors.js';

const misspelt = { learning_rate: 3 };

it.each<[name: string, call: () => Promise<unknown>]>([
  ['train', () => train(misspelt as object).next()],
  ['evaluate', () => evaluate(misspelt as object)],
  ['predict', () => predict({ files: ['digit.png'], ...misspelt })],
  ['report', () => report(misspelt as object)],
  ['exportWeights', () => exportWeights({ format: 'pytorch', out: 'out.pth', ...misspelt })],
  ['benchmark', () => benchmark(misspelt as object)],
  ['verify', () => verify(misspelt as object)],
  ['demo', () => demo(misspelt as object)],
])('%s refuses an option that is none, by name', async (_, call) => {
  const error = await operationalError(call);
  expect(error.code).toBe('USAGE');
  expect(error.message).toMatch(/^there is no option "learning_rate"; there are .*(workers|files|format|run)/);
});

const odd = (options: unknown): object => options as object;

it.each<[name: string, call: () => Promise<unknown>, message: RegExp]>([
  ['options that are none', () => train(odd(3)).next(), /^options are an object/],
  ['null for options', () => evaluate(odd(null)), /^options are an object/],
  [
    'a folder that is no text',
    () => train({ ...odd({ out: new URL('file:///out') }) }).next(),
    /^the option `out` is a text/,
  ],
  ['an empty text', () => report({ out: '' }), /^the option `out` is a text/],
  ['devices as an array', () => train({ ...odd({ devices: ['cpu'] }) }).next(), /^the option `devices` is a text/],
  [
    'progress for no function',
    () => train({ ...odd({ onProgress: 3 }) }).next(),
    /^the option `onProgress` is a function/,
  ],
  ['a signal that is none', () => train({ ...odd({ signal: {} }) }).next(), /^the option `signal` is an AbortSignal/],
  [
    'overrides that are none',
    () => train({ ...odd({ override: ['nope'] }) }).next(),
    /^the option `override` is an array/,
  ],
  ['options as an array', () => train([] as object).next(), /^options are an object/],
  ['no files', () => predict({} as never), /^the option `files` is an array of paths/],
  ['files that are no paths', () => predict({ files: [3] } as never), /^the option `files` is an array of paths/],
  ['no place to write', () => exportWeights({ format: 'onnx' } as never), /^the option `out` is the path/],
  ['one number of workers', () => verify({ ...odd({ workers: 2 }) }), /^the option `workers` is an array/],
  ['a symbol', () => train({ ...odd({ engine: Symbol('x') }) }).next(), /^`engine` must be .* not "Symbol\(x\)"/],
  [
    'null for a number',
    () => train({ ...odd({ maxSteps: null }) }).next(),
    /^the option `maxSteps` is null; leave it out/,
  ],
  ['null for a text', () => evaluate({ ...odd({ data: null }) }), /^the option `data` is null/],
  ['overrides as a text', () => train({ ...odd({ override: 'data' }) }).next(), /^the option `override` is an array/],
])('nor %s', async (_, call, message) => {
  const error = await operationalError(call);
  expect([error.code, error.message]).toEqual(['USAGE', expect.stringMatching(message)]);
});
