/**
 * Parameters on their way to the device and gradients on their way back. Outside they are one flat array in PyTorch's layout;
 * on the device they are tensors, with a convolution's OIHW turned into HWIO.
 */
import type { Rank, Tensor, Tensor1D, Tensor2D, Tensor4D } from '@tensorflow/tfjs';
import { assert } from '../../../shared/errors.js';
import { parameters, type LayerName } from '../../../shared/model/network.js';
import type { TensorFlowModule } from './load.js';

type Kind = 'weight' | 'bias';

/** A tensor for each learnable one, by layer. */
export class ParameterTensors {
  readonly #tensors = new Map<string, Tensor>();

  set(layer: LayerName, kind: Kind, tensor: Tensor): void {
    this.#tensors.set(`${layer}.${kind}`, tensor);
  }

  /** HWIO */
  filter(layer: LayerName): Tensor4D {
    return this.#get(layer, 'weight') as Tensor4D;
  }

  /** [outputs][inputs] */
  matrix(layer: LayerName): Tensor2D {
    return this.#get(layer, 'weight') as Tensor2D;
  }

  vector(layer: LayerName, kind: Kind): Tensor1D {
    return this.#get(layer, kind) as Tensor1D;
  }

  #get(layer: LayerName, kind: Kind): Tensor {
    const tensor = this.#tensors.get(`${layer}.${kind}`);
    assert(tensor !== undefined, `a tensor of ${layer}.${kind}`);
    return tensor;
  }

  /** One array in PyTorch's order and layout, float32 [parameterCount]. */
  async download(tf: TensorFlowModule): Promise<Float32Array> {
    const flat = tf.tidy(() =>
      tf.concat1d(
        parameters.map(({ layer, kind, shape, length }) => {
          const tensor = this.#get(layer, kind);
          return tf.reshape<Rank.R1>(shape.length === 4 ? tf.transpose(tensor, [3, 2, 0, 1]) : tensor, [length]);
        }),
      ),
    );
    return await flat.data<'float32'>();
  }
}

/** @param flat float32 [parameterCount]; belongs to the device's library from here on */
export function uploadParameters(tf: TensorFlowModule, flat: Float32Array): ParameterTensors {
  const tensors = new ParameterTensors();
  const parts = tf.split(
    tf.tensor1d(flat),
    parameters.map(({ length }) => length),
  );
  parameters.forEach(({ layer, kind, shape }, k) => {
    const tensor = parts[k]!.reshape([...shape]);
    tensors.set(layer, kind, shape.length === 4 ? tf.transpose(tensor, [2, 3, 1, 0]) : tensor);
  });
  return tensors;
}
