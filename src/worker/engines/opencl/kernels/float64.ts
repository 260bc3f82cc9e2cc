/**
 * What kernels in float64 compute with. exp and log of OpenCL are not exact, so they are brought along, operation by operation as
 * the wasm kernels have them. A program for a device without float64 has nothing of this.
 */
import { probeSource } from './arithmetic.js';
import { tablesSource } from './tables.js';

export const float64Source = `
#pragma OPENCL EXTENSION cl_khr_fp64 : enable

${tablesSource.trim()}

static inline double exponentialBeyond(double tmp, ulong bits, ulong k) {
  if ((k & 0x80000000UL) == 0) {
    const double scale = as_double(bits - (1009UL << 52));
    return as_double(0x7f00000000000000UL) * (scale + scale * tmp);
  }
  bits += 1022UL << 52;
  const double scale = as_double(bits);
  double y = scale + scale * tmp;
  if (fabs(y) < 1.0) {
    const double one = y < 0.0 ? -1.0 : 1.0;
    double lo = scale - y + scale * tmp;
    const double hi = one + y;
    lo = one - hi + y + lo;
    y = (hi + lo) - one;
    if (y == 0.0) y = as_double(bits & 0x8000000000000000UL);
  }
  return y * as_double(0x0010000000000000UL);
}

static inline double exponential(double x) {
  const ulong ux = as_ulong(x);
  uint top = (uint)(ux >> 52) & 0x7ffu;
  if (top - 0x3c9u >= 0x03fu) {
    if (top - 0x3c9u >= 0x80000000u) return 1.0;
    if (top >= 0x409u) {
      if (ux == 0xfff0000000000000UL) return 0.0;
      if (top >= 0x7ffu) return 1.0 + x;
      return (long)ux < 0 ? 0.0 : as_double(0x7ff0000000000000UL);
    }
    top = 0;
  }
  const double shift = as_double(0x4338000000000000UL);
  const double z = as_double(0x3ff71547652b82feUL) * 128.0 * x;
  double kd = z + shift;
  const ulong k = as_ulong(kd);
  kd -= shift;
  const double r = x + kd * as_double(0xbf762e42fefa0000UL) + kd * as_double(0xbd0cf79abc9e3b3aUL);
  const int i = (int)(k & 127UL) << 1;
  const double tail = as_double(exponentialTable[i]);
  const ulong bits = exponentialTable[i + 1] + (k << 45);
  const double r2 = r * r;
  const double tmp = tail + r + r2 * (as_double(0x3fdffffffffffdbdUL) + r * as_double(0x3fc555555555543cUL)) +
    r2 * r2 * (as_double(0x3fa55555cf172b91UL) + r * as_double(0x3f81111167a4d017UL));
  if (top == 0) return exponentialBeyond(tmp, bits, k);
  const double scale = as_double(bits);
  return scale + scale * tmp;
}

static inline double logarithm(double x) {
  ulong ix = as_ulong(x);
  if (ix - 0x3fee000000000000UL < 0x0003090000000000UL) {
    const double r = x - 1.0, r2 = r * r, r3 = r2 * r;
    const double y = r3 * (as_double(0x3fd5555555555577UL) + r * as_double(0xbfcffffffffffdcbUL) +
      r2 * as_double(0x3fc999999995dd0cUL) +
      r3 * (as_double(0xbfc55555556745a7UL) + r * as_double(0x3fc24924a344de30UL) + r2 * as_double(0xbfbfffffa4423d65UL) +
      r3 * (as_double(0x3fbc7184282ad6caUL) + r * as_double(0xbfb999eb43b068ffUL) + r2 * as_double(0x3fb78182f7afd085UL) +
      r3 * as_double(0xbfb5521375d145cdUL))));
    double w = r * as_double(0x41a0000000000000UL);
    const double rhi = r + w - w;
    const double rlo = r - rhi;
    w = rhi * rhi * -0.5;
    const double hi = r + w;
    double lo = r - hi + w;
    lo += -0.5 * rlo * (rhi + r);
    return y + lo + hi;
  }
  const uint top = (uint)(ix >> 48);
  if (top - 0x0010u >= 0x7ff0u - 0x0010u) {
    if ((ix << 1) == 0) return -1.0 / (x * x);
    if (ix == 0x7ff0000000000000UL) return x;
    if ((top & 0x8000u) != 0 || (top & 0x7ff0u) == 0x7ff0u) return (x - x) / (x - x);
    ix = as_ulong(x * as_double(0x4330000000000000UL));
    ix -= 52UL << 52;
  }
  const ulong tmp = ix - 0x3fe6000000000000UL;
  const int i = (int)((tmp >> 45) & 127UL) << 1;
  const long k = (long)tmp >> 52;
  const double z = as_double(ix - (tmp & (0xfffUL << 52)));
  const double r = (z - as_double(logarithmCentres[i]) - as_double(logarithmCentres[i + 1])) * as_double(logarithmTable[i]);
  const double kd = (double)k;
  const double w = kd * as_double(0x3fe62e42fefa3800UL) + as_double(logarithmTable[i + 1]);
  const double hi = w + r;
  const double lo = w - hi + r + kd * as_double(0x3d2ef35793c76730UL);
  const double r2 = r * r;
  return lo + r2 * as_double(0xbfe0000000000001UL) +
    r * r2 * (as_double(0x3fd555555551305bUL) + r * as_double(0xbfcfffffffeb4590UL) +
    r2 * (as_double(0x3fc999b324f10111UL) + r * as_double(0xbfc55575e506c89fUL))) + hi;
}

${probeSource('probeDoubles', 'double', ['exponential(a)', 'logarithm(a)'])}
`;
