/** WebAssembly's binary format, as far as it takes to break one kernel of a module on purpose. */

/** f32x4.add, f32x4.sub and unreachable with two nops, which are as long. */
const addition = [0xfd, 0xe4, 0x01];
const replacements = { subtract: [0xfd, 0xe5, 0x01], trap: [0x00, 0x01, 0x01] } as const;

interface Section {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

export function exportedFunctions(module: Uint8Array): string[] {
  return [...exportsOf(module).keys()];
}

/** A copy of the module in which an f32x4.add in the body of that export is another instruction; null where it has none. */
export function breakAddition(
  module: Uint8Array<ArrayBuffer>,
  name: string,
  which: 'first' | 'last' = 'last',
  by: keyof typeof replacements = 'subtract',
): Uint8Array<ArrayBuffer> | null {
  const { start, end } = bodyOf(module, name);
  for (let i = start; i + addition.length <= end; i++) {
    const at = which === 'first' ? i : start + end - addition.length - i;
    if (!addition.every((byte, j) => module[at + j] === byte)) continue;
    const broken = Uint8Array.from(module);
    broken.set(replacements[by], at);
    // Bytes of a constant may look like the instruction.
    if (WebAssembly.validate(broken)) return broken;
  }
  return null;
}

/** A copy of the module with one bit of its static data turned over, at a share from 0 to 1 of the section. */
export function breakData(module: Uint8Array<ArrayBuffer>, share: number): Uint8Array<ArrayBuffer> {
  const { start, end } = sectionOf(module, 11);
  const broken = Uint8Array.from(module);
  const at = Math.floor(start + share * (end - start));
  broken[at] = (broken[at] ?? 0) ^ 32;
  return broken;
}

function bodyOf(module: Uint8Array, name: string): { start: number; end: number } {
  const index = exportsOf(module).get(name);
  if (index === undefined) throw new Error(`no export ${name}`);
  const code = new Reader(module, sectionOf(module, 10).start);
  const count = code.number();
  const imported = WebAssembly.Module.imports(new WebAssembly.Module(Uint8Array.from(module)));
  const wanted = index - imported.filter(({ kind }) => kind === 'function').length;
  for (let i = 0; i < count; i++) {
    const length = code.number();
    if (i === wanted) return { start: code.at, end: code.at + length };
    code.at += length;
  }
  throw new Error(`no body of ${name}`);
}

/** Index of each exported function. */
function exportsOf(module: Uint8Array): Map<string, number> {
  const reader = new Reader(module, sectionOf(module, 7).start);
  const found = new Map<string, number>();
  for (let left = reader.number(); left > 0; left--) {
    const length = reader.number();
    const name = new TextDecoder().decode(module.slice(reader.at, reader.at + length));
    reader.at += length;
    const kind = reader.number();
    const index = reader.number();
    if (kind === 0) found.set(name, index);
  }
  return found;
}

function sectionOf(module: Uint8Array, id: number): Section {
  const reader = new Reader(module, 8);
  while (reader.at < module.length) {
    const found = reader.number();
    const length = reader.number();
    if (found === id) return { id, start: reader.at, end: reader.at + length };
    reader.at += length;
  }
  throw new Error(`no section ${String(id)}`);
}

class Reader {
  constructor(
    readonly bytes: Uint8Array,
    public at: number,
  ) {}

  /** An unsigned LEB128. */
  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++] ?? 0;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  }
}
