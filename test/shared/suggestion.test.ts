import { expect, it } from 'vitest';
import { nearest } from '../../src/commands/shell/suggestion.js';

it.each([
  ['trian', 'train'],
  ['evla', 'eval'],
  ['predcit', 'predict'],
  ['rport', 'report'],
  ['exports', 'export'],
  ['train', 'train'],
  ['flibbertigibbet', null],
  ['x', null],
])('%s may mean %s', (word, meant) => {
  expect(nearest(word, ['train', 'eval', 'predict', 'report', 'export'])).toBe(meant);
});
