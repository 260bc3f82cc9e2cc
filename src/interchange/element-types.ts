/** Numbers as other programs store them, little-endian. */

export interface ElementType {
  /** Safetensors' name of it. */
  readonly name: string;
  readonly bytes: number;
  /** The value, rounded to float64 where that cannot hold it. Throws RangeError outside of the view. */
  readonly read: (view: DataView, position: number) => number;
}

export const float32 = type('F32', 4, (view, position) => view.getFloat32(position, true));
export const float64 = type('F64', 8, (view, position) => view.getFloat64(position, true));
export const float16 = type('F16', 2, (view, position) => float16Of(view.getUint16(position, true)));
export const bfloat16 = type('BF16', 2, (view, position) => float32Of(view.getUint16(position, true) << 16));
export const int64 = type('I64', 8, (view, position) => Number(view.getBigInt64(position, true)));
export const int32 = type('I32', 4, (view, position) => view.getInt32(position, true));
export const int16 = type('I16', 2, (view, position) => view.getInt16(position, true));
export const int8 = type('I8', 1, (view, position) => view.getInt8(position));
export const uint64 = type('U64', 8, (view, position) => Number(view.getBigUint64(position, true)));
export const uint32 = type('U32', 4, (view, position) => view.getUint32(position, true));
export const uint16 = type('U16', 2, (view, position) => view.getUint16(position, true));
export const uint8 = type('U8', 1, (view, position) => view.getUint8(position));
export const bool = type('BOOL', 1, (view, position) => (view.getUint8(position) === 0 ? 0 : 1));

/** What a tensor may be stored as: PyTorch, too, turns any of them into the type that the network has. */
export const elementTypes: readonly ElementType[] = [
  ...[float32, float64, float16, bfloat16],
  ...[int64, int32, int16, int8, uint64, uint32, uint16, uint8, bool],
];

function type(name: string, bytes: number, read: ElementType['read']): ElementType {
  return { name, bytes, read };
}

const scratch = new DataView(new ArrayBuffer(4));

function float32Of(bits: number): number {
  scratch.setInt32(0, bits);
  return scratch.getFloat32(0);
}

/** IEEE 754 binary16: 5 bits of exponent, biased by 15, and 10 of fraction. */
function float16Of(bits: number): number {
  const sign = (bits & 0x8000) << 16;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return (sign === 0 ? fraction : -fraction) / 2 ** 24;
  const wider = exponent === 0x1f ? 0xff : exponent - 15 + 127;
  return float32Of(sign | (wider << 23) | (fraction << 13));
}
