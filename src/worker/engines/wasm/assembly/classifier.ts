// The linear layers and the loss. A linear layer is a product of panels like a convolution at a single point; here stand
// the copies between PyTorch's [outputs][inputs] and panels, and what is done row by row.
//
// The loss `double-softmax` is cross-entropy applied to the softmax outputs as if they were logits, as the reference program does it:
//
//   p = softmax(z),  q = softmax(p),  loss = -ln q[label] = ln(sum of exp(p)) - p[label]
//   dloss/dz[j] = p[j] (g[j] - sum of g p),  g[j] = q[j] - (j == label)
//
// `cross-entropy` is that of the logits: loss = ln(sum of exp(z)) - z[label], dloss/dz[j] = p[j] - (j == label).

const classes: usize = 10;

/** PyTorch's weight rows [outputs <= 16][inputs] into a panel [inputs][16]; missing outputs become 0. */
export function packRows(w: usize, outputs: i32, inputs: i32, panel: usize): void {
  for (let k = 0; k < inputs; k++) {
    const target = panel + (<usize>k << 6);
    for (let o = 0; o < 16; o++) {
      store<f32>(target + (o << 2), o < outputs ? load<f32>(w + (<usize>(o * inputs + k) << 2)) : 0);
    }
  }
}

/** The transpose: columns `column`.. of panels [inputs / 16][columns][16] from weight rows [16][inputs]; missing ones 0. */
export function packColumns(w: usize, outputs: i32, inputs: i32, columns: i32, column: i32, panels: usize): void {
  for (let o = 0; o < 16; o++) {
    for (let k = 0; k < inputs; k += 4) {
      const target = panels + (<usize>((k >> 4) * columns + column + o) << 6) + (<usize>(k & 15) << 2);
      v128.store(target, o < outputs ? v128.load(w + (<usize>(o * inputs + k) << 2)) : f32x4.splat(0));
    }
  }
}

/** PyTorch's [outputs <= 16][inputs] = panel [inputs][16] / divisor. */
export function unpackRows(panel: usize, outputs: i32, inputs: i32, divisor: f32, w: usize): void {
  for (let o = 0; o < outputs; o++) {
    for (let k = 0; k < inputs; k++) {
      store<f32>(w + (<usize>(o * inputs + k) << 2), load<f32>(panel + (<usize>k << 6) + (o << 2)) / divisor);
    }
  }
}

/** rows [rows][16 panels of 16] into panels, `panel` bytes apart. */
export function rowsToPanels(x: usize, rows: i32, panels: i32, target: usize, panel: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let p = 0; p < panels; p++) {
      memory.copy(target + <usize>p * panel + (<usize>row << 6), x + (<usize>(row * panels + p) << 6), 64);
    }
  }
}

/** The way back. */
export function panelsToRows(source: usize, panel: usize, rows: i32, panels: i32, x: usize): void {
  for (let row = 0; row < rows; row++) {
    for (let p = 0; p < panels; p++) {
      memory.copy(x + (<usize>(row * panels + p) << 6), source + <usize>p * panel + (<usize>row << 6), 64);
    }
  }
}

/** y = relu(y + bias) in place over panels. */
export function biasRelu(y: usize, panel: usize, panels: i32, rows: i32, bias: usize): void {
  const zero = f32x4.splat(0);
  for (let p = 0; p < panels; p++) {
    for (let c: usize = 0; c < 64; c += 16) {
      const b = v128.load(bias + (<usize>p << 6) + c);
      const end = y + <usize>p * panel + c + (<usize>rows << 6);
      for (let at = y + <usize>p * panel + c; at < end; at += 64) {
        v128.store(at, f32x4.max(f32x4.add(v128.load(at), b), zero));
      }
    }
  }
}

/** delta = 0 where the activation is 0, in place over panels. */
export function maskRelu(delta: usize, activation: usize, panel: usize, panels: i32, rows: i32): void {
  const zero = f32x4.splat(0), bytes = <usize>rows << 6;
  for (let p = 0; p < panels; p++) {
    for (let i: usize = 0; i < bytes; i += 16) {
      const at = <usize>p * panel + i;
      v128.store(delta + at, v128.and(v128.load(delta + at), f32x4.gt(v128.load(activation + at), zero)));
    }
  }
}

// p = softmax(logits + bias), float64 [10].
// @ts-ignore: decorator
@inline
function softmaxRow(logits: usize, bias: usize, p: usize): void {
  let top = -Infinity;
  for (let j: usize = 0; j < classes; j++) {
    const z = <f64>(load<f32>(logits + (j << 2)) + load<f32>(bias + (j << 2)));
    store<f64>(p + (j << 3), z);
    top = max<f64>(top, z);
  }
  let sum: f64 = 0;
  for (let j: usize = 0; j < classes; j++) {
    const e = Math.exp(load<f64>(p + (j << 3)) - top);
    store<f64>(p + (j << 3), e);
    sum += e;
  }
  for (let j: usize = 0; j < classes; j++) store<f64>(p + (j << 3), load<f64>(p + (j << 3)) / sum);
}

/** softmax(logits + bias) of each row of one panel, as float32 [rows][10]. `scratch` holds 20 float64. */
export function softmax(logits: usize, bias: usize, rows: i32, target: usize, scratch: usize): void {
  for (let row = 0; row < rows; row++) {
    softmaxRow(logits + (<usize>row << 6), bias, scratch);
    for (let j: usize = 0; j < classes; j++) {
      store<f32>(target + (<usize>row * classes << 2) + (j << 2), <f32>load<f64>(scratch + (j << 3)));
    }
  }
}

/**
 * Loss of each row into float64 `losses` [rows], and the gradient of the summed loss over `logits`, in place, with zeros in
 * the six columns beyond the classes.
 */
export function lossGradient(
  logits: usize, bias: usize, rows: i32, labels: usize, rowNumbers: usize, losses: usize, scratch: usize,
): void {
  const p = scratch, q = scratch + classes * 8;
  for (let row: usize = 0; row < <usize>rows; row++) {
    const z = logits + (row << 6);
    const label = <usize>load<u8>(labels + <usize>load<u32>(rowNumbers + (row << 2)));
    softmaxRow(z, bias, p);
    let sum: f64 = 0;
    for (let j: usize = 0; j < classes; j++) {
      const e = Math.exp(load<f64>(p + (j << 3)));
      store<f64>(q + (j << 3), e);
      sum += e;
    }
    store<f64>(losses + (row << 3), Math.log(sum) - load<f64>(p + (label << 3)));
    let inner: f64 = 0;
    for (let j: usize = 0; j < classes; j++) {
      const g = load<f64>(q + (j << 3)) / sum - (j == label ? 1 : 0);
      store<f64>(q + (j << 3), g);
      inner += g * load<f64>(p + (j << 3));
    }
    for (let j: usize = 0; j < 16; j++) {
      const value = j < classes ? load<f64>(p + (j << 3)) * (load<f64>(q + (j << 3)) - inner) : 0;
      store<f32>(z + (j << 2), <f32>value);
    }
  }
}

/** The same of the loss `cross-entropy`. */
export function crossEntropyGradient(
  logits: usize, bias: usize, rows: i32, labels: usize, rowNumbers: usize, losses: usize, scratch: usize,
): void {
  const e = scratch, d = scratch + classes * 8;
  for (let row: usize = 0; row < <usize>rows; row++) {
    const z = logits + (row << 6);
    const label = <usize>load<u8>(labels + <usize>load<u32>(rowNumbers + (row << 2)));
    let top = -Infinity;
    for (let j: usize = 0; j < classes; j++) {
      const value = <f64>(load<f32>(z + (j << 2)) + load<f32>(bias + (j << 2)));
      store<f64>(d + (j << 3), value);
      top = max<f64>(top, value);
    }
    let sum: f64 = 0;
    for (let j: usize = 0; j < classes; j++) {
      const below = load<f64>(d + (j << 3)) - top;
      store<f64>(d + (j << 3), below);
      const power = Math.exp(below);
      store<f64>(e + (j << 3), power);
      sum += power;
    }
    store<f64>(losses + (row << 3), Math.log(sum) - load<f64>(d + (label << 3)));
    for (let j: usize = 0; j < 16; j++) {
      const value = j < classes ? load<f64>(e + (j << 3)) / sum - (j == label ? 1 : 0) : 0;
      store<f32>(z + (j << 2), <f32>value);
    }
  }
}
