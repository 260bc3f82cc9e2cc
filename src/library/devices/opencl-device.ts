/** Devices of OpenCL as users see them. Apart from what finds them, which leads to types of packages that are optional. */

/** A device of OpenCL, for people and programs. */
export interface OpenClDevice {
  /** As the option `devices` names it: `opencl:N`. */
  readonly device: string;
  /** `gpu:N` for a GPU, which may be named by that too; else null. */
  readonly gpu: string | null;
  /** Such as `NVIDIA H100 80GB HBM3`. */
  readonly name: string;
  readonly vendor: string;
  /** Of its driver: `NVIDIA CUDA`. */
  readonly platform: string;
  /** Such as `OpenCL 3.0 CUDA`. */
  readonly version: string;
  readonly driver: string;
  readonly kind: 'gpu' | 'cpu' | 'other';
  readonly computeUnits: number;
  readonly clockMHz: number;
  readonly memoryGiB: number;
  readonly localKiB: number;
  /** Whether it computes in float64 too. */
  readonly float64: boolean;
  /** Whether it was found to give the bits of the CPU. */
  readonly exact: boolean;
  /** What it lacks for that; empty of one that was not tried, or lacks nothing. */
  readonly lacks: readonly string[];
}

export type OpenClSearch =
  | {
      readonly found: true;
      readonly version: string;
      readonly libraries: readonly string[];
      readonly devices: readonly OpenClDevice[];
    }
  | { readonly found: false; readonly version: string | null; readonly why: string };

/** A device as it is called: `gpu:0 (NVIDIA H100 80GB HBM3)`. */
export function titleOf({ device, gpu, name }: Pick<OpenClDevice, 'device' | 'gpu' | 'name'>): string {
  return `${gpu ?? device} (${name})`;
}
