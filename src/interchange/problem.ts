/** How files of other programs are refused. */

const savesTensors =
  'save the state_dict() of this network with torch.save or safetensors.torch.save_file, and read that';

/** Why bytes are no weights of this network: `problem` goes on from the file's name, `advice` says what to do. */
export class WeightsFormatError extends Error {
  constructor(
    readonly problem: string,
    readonly advice = savesTensors,
  ) {
    super(problem);
    this.name = 'WeightsFormatError';
  }
}

/** A name out of a file, fit for one line of a message: printable ASCII, and not long. */
export function printable(name: string): string {
  const plain = name.slice(0, 81).replace(/[^\x20-\x7e]/g, '?');
  return plain.length > 80 ? `${plain.slice(0, 77)}...` : plain;
}

/** Such as `[64, 1, 3, 3]`; `a scalar` for no dimensions. */
export function printableShape(shape: readonly unknown[]): string {
  if (shape.length === 0) return 'a scalar';
  return printable(`[${shape.slice(0, 16).map(String).join(', ')}]`);
}
