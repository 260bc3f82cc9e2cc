/** What someone who mistyped a word, or knows it from another program, may have meant. */

/** Words of PyTorch Lightning, Keras, the Hugging Face trainer and torchrun, and what they are called here. */
const elsewhere: ReadonlyMap<string, string> = new Map([
  ...(['fit', 'finetune'] as const).map((word) => [word, 'train'] as const),
  ...(['evaluate', 'test', 'validate'] as const).map((word) => [word, 'eval'] as const),
  ...(['max-epochs', 'num-epochs', 'num-train-epochs'] as const).map((word) => [word, 'epochs'] as const),
  ...(['early-stopping', 'early-stopping-patience'] as const).map((word) => [word, 'patience'] as const),
  ...(['ckpt-path', 'resume-from-checkpoint'] as const).map((word) => [word, 'resume'] as const),
  ...(['val-split', 'validation-split'] as const).map((word) => [word, 'validation'] as const),
  ...(['num-workers', 'nproc-per-node'] as const).map((word) => [word, 'workers'] as const),
  ...(['output-dir', 'log-dir', 'default-root-dir'] as const).map((word) => [word, 'out'] as const),
  ...(['max-time', 'limit-train-batches', 'fast-dev-run'] as const).map((word) => [word, 'max-steps'] as const),
  ...(['save-top-k', 'monitor', 'save-best-only'] as const).map((word) => [word, 'keep-best'] as const),
  ['accelerator', 'devices'],
  ['logging-steps', 'log-every'],
  ['run-name', 'name'],
  ['save-steps', 'checkpoint-every'],
]);

/** The candidate that another program calls by that word, or else the nearest; null where neither is there. */
export function meantBy(word: string, candidates: readonly string[]): string | null {
  const here = elsewhere.get(word.replaceAll('_', '-'));
  return here !== undefined && candidates.includes(here) ? here : nearest(word, candidates);
}

/** The candidate that the word is a slip of the keyboard away from: a letter more, less, other or exchanged in three. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let [best, least]: [string | null, number] = [null, Math.max(1, Math.floor(word.length / 3)) + 1];
  for (const candidate of candidates) {
    const distance = editsBetween(word, candidate);
    if (distance < least) [best, least] = [candidate, distance];
  }
  return best;
}

/** Letters to insert, delete, replace or exchange with their neighbour (optimal string alignment). */
function editsBetween(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const crossed = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const exchanged = crossed ? at(i - 2, j - 2) + 1 : Infinity;
      rows[i]?.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, replaced, exchanged));
    }
  }
  return at(a.length, b.length);
}
