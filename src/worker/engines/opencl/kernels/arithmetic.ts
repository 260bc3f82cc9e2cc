/** What all kernels compute with: sums and products are OpenCL's own, which the full profile rounds correctly. */

/**
 * Arithmetic on request, in the forms that the kernels use: what a device must get right before it may train.
 * @param functions of `a`, besides the operations
 */
export function probeSource(name: string, type: 'float' | 'double', functions: readonly string[] = []): string {
  const answers = ['a + b', 'a * b', 'a / b', 'sqrt(a)', 'a * b + c', ...functions];
  const value = (k: number): string => `values[3 * i + ${String(k)}]`;
  return `__kernel void ${name}(__global const ${type} *values, __global ${type} *answers) {
  const size_t i = get_global_id(0);
  const ${type} a = ${value(0)}, b = ${value(1)}, c = ${value(2)};
${answers.map((answer, k) => `  answers[${String(answers.length)} * i + ${String(k)}] = ${answer};`).join('\n')}
}`;
}

export const arithmeticSource = `
// A multiplication and an addition are two roundings; fused they would be one.
#pragma OPENCL FP_CONTRACT OFF

// As WebAssembly's max with 0: NaN stays, and of two zeros the positive one is the larger.
static inline float relu(float x) {
  return x <= 0.0f ? 0.0f : x;
}

${probeSource('probeFloats', 'float')}
`;
