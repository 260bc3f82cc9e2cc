/** The exports of the AssemblyScript module (`assembly/`), which documents each. Addresses and sizes are in bytes. */

type ConvolutionKernels = {
  [name in `conv${2 | 3 | 4 | 5}Input`]: Kernel<[x: number, rows: number, v: number, plane: number, scratch: number]>;
} & {
  [name in `conv${2 | 3 | 4 | 5}Output`]: Kernel<
    [source: number, plane: number, bias: number, rows: number, activation: number, choices: number, scratch: number]
  >;
} & {
  [name in `conv${2 | 3 | 4 | 5}OutputAdjoint`]: Kernel<
    [delta: number, choices: number, rows: number, dm: number, plane: number, panel: number, scratch: number]
  >;
} & {
  [name in `conv${2 | 3 | 4 | 5}InputAdjoint`]: Kernel<
    [dv: number, plane: number, rows: number, x: number, scratch: number]
  >;
} & {
  [name in `conv${2 | 3 | 4 | 5}Weights`]: Kernel<[w: number, u: number, ut: number, column: number, scratch: number]>;
} & {
  [name in `conv${2 | 3 | 4 | 5}WeightsAdjoint`]: Kernel<[du: number, divisor: number, w: number, scratch: number]>;
};

type Kernel<Arguments extends number[]> = (...parameters: Arguments) => void;

export interface Kernels extends ConvolutionKernels {
  loadImage(source: number, target: number): void;
  conv1Forward(image: number, weights: number, output: number, signs: number): void;
  conv1Gradient(image: number, signs: number, delta: number, gradient: number): void;
  product(
    a: number,
    aPlane: number,
    aPanel: number,
    kPanels: number,
    b: number,
    bPlane: number,
    bPanel: number,
    nPanels: number,
    c: number,
    cPlane: number,
    cPanel: number,
    points: number,
    tiles: number,
  ): void;
  weightGradient(
    a: number,
    aPanel: number,
    kPanels: number,
    d: number,
    dPanel: number,
    nPanels: number,
    runs: number,
    end: number,
    nodes: number,
    top: number,
    merges: number,
    nodeBytes: number,
    target: number,
    unitBytes: number,
  ): void;
  biasGradient(
    d: number,
    runs: number,
    end: number,
    nodes: number,
    top: number,
    merges: number,
    nodeBytes: number,
    target: number,
  ): void;
  normSums(x: number, values: number, channels: number, sums: number): void;
  normGradientSums(
    x: number,
    dy: number,
    values: number,
    channels: number,
    mean: number,
    invStd: number,
    sums: number,
  ): void;
  normalise(x: number, values: number, channels: number, mean: number, scale: number, shift: number, y: number): void;
  normaliseGradient(
    x: number,
    dy: number,
    values: number,
    channels: number,
    mean: number,
    scale: number,
    slope: number,
    shift: number,
  ): void;
  normForwardCoefficients(
    sums: number,
    n: number,
    channels: number,
    epsilon: number,
    momentum: number,
    gamma: number,
    runningMean: number,
    runningVariance: number,
    nextMean: number,
    nextVariance: number,
    mean: number,
    invStd: number,
    scale: number,
  ): void;
  normEvaluationCoefficients(
    channels: number,
    epsilon: number,
    gamma: number,
    runningVariance: number,
    scale: number,
  ): void;
  normBackwardCoefficients(
    sums: number,
    n: number,
    channels: number,
    invStd: number,
    scale: number,
    slope: number,
    shift: number,
  ): void;
  storeNormGradient(sums: number, channels: number, target: number): void;
  packRows(w: number, outputs: number, inputs: number, panel: number): void;
  packColumns(w: number, outputs: number, inputs: number, columns: number, column: number, panels: number): void;
  unpackRows(panel: number, outputs: number, inputs: number, divisor: number, w: number): void;
  rowsToPanels(x: number, rows: number, panels: number, target: number, panel: number): void;
  panelsToRows(source: number, panel: number, rows: number, panels: number, x: number): void;
  biasRelu(y: number, panel: number, panels: number, rows: number, bias: number): void;
  maskRelu(delta: number, activation: number, panel: number, panels: number, rows: number): void;
  softmax(logits: number, bias: number, rows: number, target: number, scratch: number): void;
  lossGradient(
    logits: number,
    bias: number,
    rows: number,
    labels: number,
    rowNumbers: number,
    losses: number,
    scratch: number,
  ): number;
  probeMultiply(a: number, b: number): number;
  probeAdd(a: number, b: number): number;
  probeMultiplyAdd(a: number, b: number, c: number): number;
  probeRoot(a: number): number;
  probeExp(a: number): number;
  add(target: number, source: number, length: number): void;
  divide(source: number, length: number, divisor: number, target: number): void;
  isAllFinite(source: number, length: number): number;
  adam(
    gradient: number,
    length: number,
    w: number,
    m: number,
    v: number,
    nextW: number,
    nextM: number,
    nextV: number,
    rate: number,
    beta1: number,
    beta2: number,
    epsilon: number,
    beta1Power: number,
    beta2Power: number,
  ): number;
}

/** The kernels over `memory`, which is imported and never grows. */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const abort = (): never => {
    throw new Error('a kernel aborted');
  };
  const instance = new WebAssembly.Instance(module, { env: { memory, abort } });
  return instance.exports as unknown as Kernels;
}
