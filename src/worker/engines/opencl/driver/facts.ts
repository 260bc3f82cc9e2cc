/** What a device of OpenCL is, without the device: plain facts that may travel in a message, and what it lacks. */

/** How it computes with floating-point numbers of one precision. */
export interface FloatFacts {
  /** Whether subnormals are kept. */
  readonly denormals: boolean;
  readonly roundsToNearest: boolean;
  readonly infinitiesAndNaNs: boolean;
}

export interface DeviceFacts {
  /** Among all devices, from 0, in the order in which the main thread enumerated them: N of `opencl:N`. */
  readonly index: number;
  /** Its address in this process, from which every thread opens it. */
  readonly handle: bigint;
  /** Such as `NVIDIA H100 80GB HBM3`. */
  readonly name: string;
  readonly vendor: string;
  readonly platform: string;
  /** Such as `OpenCL 3.0 CUDA`. */
  readonly version: string;
  readonly driver: string;
  readonly kind: 'gpu' | 'cpu' | 'other';
  /** Whether it has the full profile, in which arithmetic is correctly rounded. */
  readonly fullProfile: boolean;
  readonly available: boolean;
  readonly compiler: boolean;
  readonly littleEndian: boolean;
  readonly float32: FloatFacts & {
    /** Whether / and sqrt can be had correctly rounded. */
    readonly correctlyRoundedDivideAndSqrt: boolean;
  };
  /** Null for a device without. */
  readonly float64: FloatFacts | null;
  readonly computeUnits: number;
  readonly clockMHz: number;
  /** Work-items of a work-group at most. */
  readonly maxWorkGroupSize: number;
  readonly localBytes: number;
  readonly globalBytes: number;
  /** Of one buffer at most. */
  readonly maxAllocationBytes: number;
  /** What the offset of a part of a buffer must be a multiple of. */
  readonly alignmentBytes: number;
  readonly extensions: readonly string[];
}

/** What keeps a device from the bits of the CPU, in a few words each; none of a device that may be tried. */
export function lacksOf({ available, compiler, ...facts }: DeviceFacts): string[] {
  const { fullProfile, littleEndian, float32 } = facts;
  const lacks: readonly (readonly [has: boolean, what: string])[] = [
    [available, 'is not available'],
    [compiler, 'has no compiler'],
    [fullProfile, 'has the embedded profile alone'],
    [littleEndian, 'is big-endian'],
    [float32.roundsToNearest, 'does not round float32 to nearest'],
    [float32.infinitiesAndNaNs, 'has no infinities and NaNs in float32'],
    [float32.denormals, 'flushes float32 subnormals to zero'],
    [float32.correctlyRoundedDivideAndSqrt, 'has no correctly rounded float32 division and square root'],
  ];
  return lacks.filter(([has]) => !has).map(([, what]) => what);
}

/** A device as a message names it: `opencl:0 (NVIDIA H100 80GB HBM3)`. */
export function deviceTitle({ index, name }: Pick<DeviceFacts, 'index' | 'name'>): string {
  return `opencl:${String(index)} (${name})`;
}
