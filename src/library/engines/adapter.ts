/** A WebGPU adapter, for people. Apart from what the library's types name: `Adapter` leads to types of packages that are optional. */
import type { Adapter } from '../../worker/engines/registry.js';

/** An adapter in its driver's words, and whether it is worth a try. */
export function adapterDetail({ description, device, architecture, vendor, software }: Adapter): string {
  const called = device.replace(/-+$/, '') || architecture || vendor;
  const name = [called, description].filter((text) => text !== '').join(', ') || 'an adapter without a name';
  return software ? `WebGPU on a software adapter, far slower than wasm: ${name}` : `WebGPU on ${name}`;
}
