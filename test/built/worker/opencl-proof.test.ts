/** The proof of an OpenCL device: that it finds a device here exact, and that it finds each kind of fault in one that is not. */
import { beforeAll, describe, expect, it } from 'vitest';
import { at } from '../../../src/shared/errors.js';
import { Context } from '../../../src/worker/engines/opencl/driver/context.js';
import type { DeviceFacts } from '../../../src/worker/engines/opencl/driver/facts.js';
import { arithmeticSource } from '../../../src/worker/engines/opencl/kernels/arithmetic.js';
import { lossSource } from '../../../src/worker/engines/opencl/kernels/classifier.js';
import { convolutionsSource } from '../../../src/worker/engines/opencl/kernels/convolutions.js';
import { float64Source } from '../../../src/worker/engines/opencl/kernels/float64.js';
import { gradientsSource } from '../../../src/worker/engines/opencl/kernels/gradients.js';
import { normSumsSource } from '../../../src/worker/engines/opencl/kernels/normalisation.js';
import { blockSideOf, productsSource } from '../../../src/worker/engines/opencl/kernels/products.js';
import { buildOptions, headSource, kernelsSource } from '../../../src/worker/engines/opencl/kernels/source.js';
import { transformsSource } from '../../../src/worker/engines/opencl/kernels/transforms.js';
import { proveDevice } from '../../../src/worker/engines/opencl/proofs/proof.js';
import { firstWrongAnswer } from '../../../src/worker/engines/opencl/proofs/probes.js';
import { trialsFor } from '../../../src/worker/engines/opencl/proofs/trials.js';
import { Workbench } from '../../../src/worker/engines/opencl/proofs/workbench.js';
import { compileKernels } from '../../support/compute/kernels.js';
import { findOpenCl, withoutFloat64, type FoundOpenCl } from '../../support/compute/opencl.js';

const found = await findOpenCl();
const missing = typeof found === 'string' ? ` (left out: ${found})` : '';
const trials = trialsFor({ float64: true });

/** What a device or its compiler might do, done to the text of the kernels; `trial` is the one that is to see it, null for the probes. */
const faults: readonly { what: string; source: string; from: string; to: string; trial: string | null }[] = [
  {
    what: 'a multiplication and an addition that are fused',
    source: arithmeticSource,
    ...{ from: 'FP_CONTRACT OFF', to: 'FP_CONTRACT ON', trial: null },
  },
  {
    what: 'a division by the reciprocal',
    source: arithmeticSource,
    ...{ from: '= a / b', to: '= a * (1.0f / b)', trial: null },
  },
  {
    what: 'subnormals that are flushed to zero',
    source: arithmeticSource,
    ...{ from: '= a * b;', to: '= fabs(a * b) < 1.1754943508222875e-38f ? 0.0f : a * b;', trial: null },
  },
  {
    what: 'an exponential of the device',
    source: arithmeticSource + float64Source + lossSource,
    ...{ from: 'q[j] = exponential(p[j])', to: 'q[j] = (double)exp((float)p[j])', trial: 'lossGradient' },
  },
  {
    what: 'sums of a batch norm in float32',
    source: arithmeticSource + float64Source + normSumsSource,
    ...{ from: 'double s = 0.0, q = 0.0;', to: 'float s = 0.0f, q = 0.0f;', trial: 'normSums' },
  },
  {
    what: 'a product that takes its terms from the last to the first',
    source: arithmeticSource + productsSource(16),
    from: 'for (int panel = 0; panel < kPanels; panel++)',
    ...{ to: 'for (int panel = kPanels - 1; panel >= 0; panel--)', trial: 'conv4 product' },
  },
  {
    what: 'a tree of another shape',
    source: headSource(true) + arithmeticSource + gradientsSource,
    ...{ from: 'v2 = v2 + v3;\n  v0 = v0 + v2;', to: 'v0 = v0 + v2;\n  v0 = v0 + v3;', trial: 'sumLeaves4' },
  },
  {
    what: 'a transform whose additions are in another order',
    source: arithmeticSource + transformsSource + convolutionsSource,
    from: 'const float v6 = v0 + v4;\n  const float v7 = v5 + v3;',
    ...{ to: 'const float v6 = v0 + v1 + v2;\n  const float v7 = v5 + v3;', trial: 'conv5Output' },
  },
];

describe.skipIf(missing !== '')(`the proof of a device${missing}`, () => {
  const { cl, devices } = found as FoundOpenCl;
  let module: WebAssembly.Module;
  let context: Context;
  let bench: Workbench;
  beforeAll(async () => {
    module = await compileKernels();
    const device = at(devices, 0);
    context = new Context(cl, device);
    bench = new Workbench(context, context.program(wholeSource(device), buildOptions), module);
    return () => {
      context.release();
    };
  });

  it.each(Object.keys(trials))('%s leaves the bits of its counterpart in WebAssembly', (name) => {
    expect(bench.agrees(trials[name] ?? unknownTrial)).toBe(true);
  });

  it('finds the device exact', () => {
    expect(proveDevice(cl, at(devices, 0), module)).toBeNull();
  });

  it.each(faults)('finds out $what', ({ source, from, to, trial }) => {
    const broken = source.replace(from, to);
    expect(broken).not.toBe(source);
    const faulty = new Workbench(context, context.program(broken, buildOptions), module);
    if (trial === null) expect(firstWrongAnswer(context, faulty.program, faulty.wasm)).not.toBeNull();
    else expect(faulty.agrees(trials[trial] ?? unknownTrial)).toBe(false);
  });

  it('names what failed', () => {
    const fused = (source: string): string => source.replace('FP_CONTRACT OFF', 'FP_CONTRACT ON');
    expect(proveDevice(cl, at(devices, 0), module, fused)).toMatch(
      /^is not exact: a product and a sum in two roundings gives /,
    );
  });

  it('finds a device without float64 exact, which compiles a text that has none', () => {
    const text = kernelsSource({ side: 16, float64: false });
    const code = text.replace(/\/\/.*/g, '');
    // A literal without its f is one of float64.
    expect(/\bdouble|fp64|(?<![\w.])(\d+\.\d*|\.\d+|\d+(\.\d*)?e[+-]?\d+)(?![\w.])/.exec(code)).toBeNull();
    const build = (source: string) => context.program(`#define double no_float64\n${source}`, buildOptions);
    expect(() => build(headSource(true) + normSumsSource)).toThrow('clBuildProgram');
    build(text).release();
    expect(proveDevice(cl, withoutFloat64(at(devices, 0)), module)).toBeNull();
  });
});

function wholeSource(device: DeviceFacts): string {
  return kernelsSource({ side: blockSideOf(device), float64: device.float64 !== null });
}

function unknownTrial(): never {
  throw new Error('no trial of that name');
}
