/** Types of paper-pictures.mjs, which tests use too. */
export function randomNumbers(seed: number): () => number;
export const kinds: readonly string[];
export function paperPicture(row: Uint8Array, kind: string, random: () => number): Promise<Buffer>;
export function numberPicture(rows: readonly Uint8Array[], kind: string, random: () => number): Promise<Buffer>;
