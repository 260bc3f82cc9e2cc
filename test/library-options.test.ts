/** The library takes no option that it does not know: what a type would refuse, JavaScript is told at run time. */
import { expect, it } from 'vitest';
import { benchmark, demo, evaluate, exportWeights, predict, report, train, verify } from '../dist/index.js';
import { operationalError } from './support/errors.js';

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
