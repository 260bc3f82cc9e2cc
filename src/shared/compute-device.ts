/** Devices besides the processor: what a rank is given to open its own, and what it tells of it. */

/** A device of OpenCL as the main thread found it; it travels to the thread of its rank by structured clone. */
export interface ComputeDevice {
  /** Among all devices of OpenCL: N of `opencl:N`. */
  readonly index: number;
  /** Its address in this process. */
  readonly handle: bigint;
  /** For messages, such as `gpu:0 (NVIDIA H100 80GB HBM3)`. */
  readonly title: string;
  /** Of the device, for all its ranks. */
  readonly memoryBytes: number;
  /** Of one buffer on it, at most. */
  readonly bufferBytes: number;
  /** Whether it computes in float64; else the processor does what needs that. */
  readonly float64: boolean;
  /** Whether the time of each kernel is taken, at the price of some. */
  readonly profiling: boolean;
  /** Where the thread enters what it owns on the device, see `Ledger`. */
  readonly ledger: SharedArrayBuffer;
}

/** Gives devices out to the ranks of groups. */
export interface DevicePool {
  /** One device for each rank, in turn where there are fewer. */
  take(groupSize: number): readonly ComputeDevice[];
  /** Frees what threads that were ended left on their devices: none of them may live. */
  reclaim(devices: readonly ComputeDevice[]): void;
  /** What its devices come to at most, by trial, while nothing else computes. */
  measurePeaks(): readonly DevicePeaks[];
}

export interface DevicePeaks {
  readonly title: string;
  /** Additions and multiplications in float32, not fused, in 10^9 a second. */
  readonly gflops: number;
  /** Bytes of its memory, read and written, in 10^9 a second. */
  readonly gigabytes: number;
}

/** What a device computes and moves in one launch or several, by the formula. */
export interface Work {
  readonly operations: number;
  /** Read from and written to the device's memory, each once. */
  readonly bytes: number;
}

/** What all launches of one kernel's label took, or all transfers of one kind. */
export interface DeviceTime {
  readonly label: string;
  readonly launches: number;
  readonly ms: number;
  /** Of all launches; null where the kernel does not say. */
  readonly work: Work | null;
}
