/** OpenCL through koffi: what its classes promise, on whatever device there is. */
import { afterEach, describe, expect, it } from 'vitest';
import { Context } from '../../src/worker/engines/opencl/driver/context.js';
import { enumerateDevices, factsOf } from '../../src/worker/engines/opencl/driver/device.js';
import { lacksOf } from '../../src/worker/engines/opencl/driver/facts.js';
import { loadOpenCl } from '../../src/worker/engines/opencl/driver/library.js';
import { Ledger } from '../../src/worker/engines/opencl/driver/owned.js';
import { OpenClError } from '../../src/worker/engines/opencl/driver/status.js';
import { at } from '../../src/shared/errors.js';
import { operationalError } from '../support/compute/errors.js';
import { findOpenCl, type FoundOpenCl } from '../support/compute/opencl.js';
import { randomBits } from '../support/inputs/random.js';

const found = await findOpenCl();
const missing = typeof found === 'string' ? ` (left out: ${found})` : '';

const doubling = `
kernel void twice(global float *values, float factor) {
  values[get_global_id(0)] *= factor;
}
kernel void sums(global const float *values, global float *result, local float *scratch) {
  size_t item = get_local_id(0);
  scratch[item] = values[get_global_id(0)];
  barrier(CLK_LOCAL_MEM_FENCE);
  if (item != 0) return;
  float sum = 0.0f;
  for (size_t i = 0; i < get_local_size(0); i++) sum += scratch[i];
  result[get_group_id(0)] = sum;
}
`;

/** Products of rows and columns, in ascending order. */
const products = `
#pragma OPENCL FP_CONTRACT OFF
kernel void products(global const float *left, global const float *right, global float *result, int depth) {
  size_t item = get_global_id(0);
  float sum = 0.0f;
  for (int k = 0; k < depth; k++) sum += left[item * depth + k] * right[item * depth + k];
  result[item] = sum;
}
`;

describe.skipIf(missing !== '')(`OpenCL through koffi${missing}`, () => {
  const { cl, devices, libraries } = found as FoundOpenCl;
  const contexts: Context[] = [];
  afterEach(() => {
    for (const context of contexts.splice(0)) context.release();
  });
  const open = (options?: ConstructorParameters<typeof Context>[2]): Context => {
    const context = new Context(cl, at(devices, 0), options);
    contexts.push(context);
    return context;
  };
  const shared = (...values: number[]): Float32Array => {
    const array = new Float32Array(new SharedArrayBuffer(values.length * 4));
    array.set(values);
    return array;
  };

  it('enumerates devices with what they are, and asks one again by its handle', () => {
    for (const [index, device] of devices.entries()) {
      expect(device.index).toBe(index);
      expect(device.name).not.toBe('');
      expect(device.version).toMatch(/^OpenCL \d/);
      expect(device.maxWorkGroupSize).toBeGreaterThan(0);
      expect(device.globalBytes).toBeGreaterThanOrEqual(device.maxAllocationBytes);
      expect(device.computeUnits).toBeGreaterThan(0);
      expect(factsOf(cl, device.handle, index)).toEqual(device);
    }
  });

  it('says what a device lacks for the bits of the CPU', () => {
    const device = { ...at(devices, 0), fullProfile: true, available: true, compiler: true, littleEndian: true };
    const float32 = { denormals: true, roundsToNearest: true, infinitiesAndNaNs: true };
    const good = { ...device, float32: { ...float32, correctlyRoundedDivideAndSqrt: true } };
    expect(lacksOf(good)).toEqual([]);
    const poor = { ...good, float32: { ...float32, denormals: false, correctlyRoundedDivideAndSqrt: false } };
    expect(lacksOf(poor)).toEqual([
      'flushes float32 subnormals to zero',
      'has no correctly rounded float32 division and square root',
    ]);
  });

  it('writes, computes and reads without a copy, in views of shared memory', () => {
    const context = open();
    const { queue } = context;
    const [input, output] = [shared(1, 2, 3, 4), shared(0, 0, 0, 0)];
    const buffer = context.buffer(16);
    const kernel = context
      .program(doubling)
      .kernel('twice', [buffer, { float32: 2 }])
      .setSize([4]);
    queue.write(buffer, 0, input);
    queue.launch(kernel);
    kernel.setFloat(1, 10);
    queue.launch(kernel);
    queue.read(buffer, 4, output.subarray(1));
    queue.finish();
    expect([...output]).toEqual([0, 40, 60, 80]);
  });

  it('copies, clears, and takes parts of buffers', () => {
    const context = open();
    const align = context.device.alignmentBytes;
    const [source, target] = [context.buffer(2 * align), context.buffer(2 * align)];
    const part = target.part(align, align);
    const values = shared(...Array.from({ length: align / 4 }, (_, i) => i + 1));
    const output = shared(...Array.from({ length: align / 2 }, () => -1));
    context.queue.clear(target, 0, 2 * align);
    context.queue.write(source, align, values);
    context.queue.copy(source, align, part, 0, align);
    context.queue.read(target, 0, output);
    context.queue.finish();
    expect([...output.subarray(0, align / 4)]).toEqual([...values].fill(0));
    expect([...output.subarray(align / 4)]).toEqual([...values]);
  });

  it('gives work-groups their local memory and size', () => {
    const context = open();
    const [values, result] = [context.buffer(16), context.buffer(8)];
    const kernel = context
      .program(doubling)
      .kernel('sums', [values, result, { local: 8 }])
      .setSize([4], [2]);
    const output = shared(0, 0);
    context.queue.write(values, 0, shared(1, 2, 3, 4));
    context.queue.launch(kernel);
    context.queue.read(result, 0, output);
    context.queue.finish();
    expect([...output]).toEqual([3, 7]);
    expect(kernel.maxWorkGroupSize).toBeGreaterThanOrEqual(2);
    expect(kernel.workGroupMultiple).toBeGreaterThan(0);
  });

  it('sums products without contraction with the bits of Math.fround', () => {
    const [items, depth] = [64, 512];
    const random = randomBits(1);
    const operand = (): Float32Array => shared(...Array.from({ length: items * depth }, () => random() / 65536 - 0.5));
    const [left, right] = [operand(), operand()];
    const expected = new Float32Array(items).map((_, item) => {
      let sum = 0;
      for (let k = item * depth; k < (item + 1) * depth; k++) {
        sum = Math.fround(sum + Math.fround(at(left, k) * at(right, k)));
      }
      return sum;
    });
    const context = open();
    const buffers = [left, right].map((array) => {
      const buffer = context.buffer(array.byteLength);
      context.queue.write(buffer, 0, array);
      return buffer;
    });
    const result = context.buffer(4 * items);
    const kernel = context
      .program(products)
      .kernel('products', [...buffers, result, { int32: depth }])
      .setSize([items]);
    const output = shared(...Array.from({ length: items }, () => 0));
    context.queue.launch(kernel);
    context.queue.read(result, 0, output);
    context.queue.finish();
    expect(output).toEqual(expected);
  });

  it('takes the times of kernels and transfers by label, with the work that kernels name', () => {
    const context = open({ profiling: true });
    const buffer = context.buffer(4096);
    const kernel = context
      .program(doubling)
      .kernel('twice', [buffer, { float32: 2 }], 'conv1 doubling')
      .setSize([1024]);
    kernel.work = { operations: 1024, bytes: 8192 };
    context.queue.write(buffer, 0, shared(...Array.from({ length: 1024 }, () => 1)));
    for (let i = 0; i < 3; i++) context.queue.launch(kernel);
    context.queue.finish();
    const times = context.queue.takeTimes();
    expect(times.map(({ label, launches, work }) => ({ label, launches, work }))).toEqual([
      { label: 'write', launches: 1, work: { operations: 0, bytes: 4096 } },
      { label: 'conv1 doubling', launches: 3, work: { operations: 3072, bytes: 3 * 8192 } },
    ]);
    expect(at(times, 1).ms).toBeGreaterThan(0);
    expect(context.queue.takeTimes()).toEqual([]);
  });

  it('sets a mark again and again, which is done when what is before it is', () => {
    const context = open();
    const buffer = context.buffer(4);
    const mark = context.queue.newMark();
    const output = shared(0);
    expect(mark.isDone()).toBe(true);
    for (let i = 1; i < 4; i++) {
      context.queue.write(buffer, 0, shared(i));
      context.queue.read(buffer, 0, output);
      mark.set();
      mark.wait();
      expect(mark.isDone()).toBe(true);
      expect([...output]).toEqual([i]);
    }
  });

  it('names the call, the status and the device where one fails, and for a program what its compiler says', () => {
    const context = open();
    const failure = (act: () => unknown): OpenClError => {
      try {
        act();
      } catch (error) {
        if (error instanceof OpenClError) return error;
        throw error;
      }
      throw new Error('it did not fail');
    };
    const { device } = context;
    const broken = failure(() => context.program('kernel void broken(global float *values) { values[0] = nothing; }'));
    expect(broken.message).toMatch(/^clBuildProgram gives CL_BUILD_PROGRAM_FAILURE on .*nothing/);
    expect(broken.log).toContain('nothing');
    expect(broken.isWantOfMemory).toBe(false);
    const program = context.program(doubling);
    expect(failure(() => program.kernel('absent')).message).toContain('CL_INVALID_KERNEL_NAME');
    const kernel = program.kernel('twice', [context.buffer(16), { float32: 1 }]);
    expect(failure(() => kernel.setInt(7, 1)).message).toMatch(/CL_INVALID_ARG_INDEX.*argument 7 of kernel twice/);
    const launch = (): void => {
      context.queue.launch(kernel);
    };
    kernel.setSize([4 * device.maxWorkGroupSize], [2 * device.maxWorkGroupSize]);
    expect(failure(launch).message).toMatch(/CL_INVALID_WORK_\w+ on .*kernel twice/);
  });

  it('says in one line where its memory does not suffice, and what to do', async () => {
    const context = open();
    const { code, message } = await operationalError(() => context.buffer(2 ** 52));
    expect(code).toBe('MEMORY_EXCEEDED');
    expect(message).toMatch(
      /^clCreateBuffer gives CL_\w+ on opencl:0 \(.+\): its memory does not suffice; take a smaller `batchSize`, or fewer/,
    );
  });

  it('names the device whose command failed, as where it was lost', () => {
    const lost = new Context(
      {
        ...cl,
        clGetEventInfo: (_event, _what, _bytes, answer) => {
          (answer as Int32Array)[0] = -5;
          return 0;
        },
      },
      at(devices, 0),
    );
    contexts.push(lost);
    expect(() => {
      lost.queue.finish();
    }).toThrow(/^a command gives CL_OUT_OF_RESOURCES on opencl:0 \(/);
  });

  it('releases all that it made, once, and refuses to use it afterwards', () => {
    const ledger = new Ledger();
    const context = new Context(cl, at(devices, 0), { ledger });
    const buffer = context.buffer(2 * context.device.alignmentBytes);
    buffer.part(0, 16);
    const kernel = context.program(doubling).kernel('twice', [buffer, { float32: 1 }]);
    expect(ledger.live).toBe(6);
    kernel.release();
    buffer.release();
    expect(ledger.live).toBe(3);
    context.release();
    context.release();
    expect(ledger.live).toBe(0);
    expect(() => {
      context.queue.flush();
    }).toThrow('used after clReleaseCommandQueue');
  });

  it('enters what it owns in shared memory, from which the main thread releases what an ended thread left', () => {
    const ofThread = new Ledger();
    const context = new Context(cl, at(devices, 0), { ledger: ofThread });
    context.program(doubling).kernel('twice', [context.buffer(16), { float32: 1 }]);
    const ledger = new Ledger(ofThread.buffer);
    expect(ledger.live).toBe(5);
    ledger.releaseAll(cl);
    expect(ledger.live).toBe(0);
  });

  it('says in one line what is missing, and what to do', async () => {
    const named = (file: string) => loadOpenCl(libraries, { MNIST_DDP_OPENCL: file });
    await expect(named('/nowhere/libOpenCL.so.1')).rejects.toThrow(
      '`engine` opencl: /nowhere/libOpenCL.so.1 (from MNIST_DDP_OPENCL) cannot be loaded: name a loader of OpenCL there',
    );
    await expect(named('libc.so.6')).rejects.toThrow('libc.so.6 is no loader of OpenCL 1.2 or newer');
    await expect(loadOpenCl([])).rejects.toThrow('npm install koffi');
    const empty = { ...cl, clGetPlatformIDs: () => -1001 };
    expect(() => enumerateDevices(empty)).toThrow('there is no driver of OpenCL: install');
    const without = { ...cl, clGetDeviceIDs: () => -1 };
    expect(() => enumerateDevices(without)).toThrow(/the driver of OpenCL, .+, has no device: see that/);
    const broken = { ...cl, clGetDeviceIDs: () => -6 };
    expect(() => enumerateDevices(broken)).toThrow('has no device (clGetDeviceIDs gives CL_OUT_OF_HOST_MEMORY)');
  });
});
