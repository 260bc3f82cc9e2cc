/**
 * Engines on TensorFlow.js, one for each library or backend that it computes with. They are one program: only what is loaded
 * differs. Its kernels sum in an order of their own, so none of them is `exact`.
 */
import type { Engine, TensorFlowName } from '../../../shared/engine.js';
import { parameterCount } from '../../../shared/model/network.js';
import { layerUnits } from '../host/units.js';
import { createTensorFlowReplica } from './replica.js';

export const tensorFlowEngines: Readonly<Record<TensorFlowName, Engine>> = {
  'tfjs-node-gpu': engineOn('tfjs-node-gpu'),
  'tfjs-node': engineOn('tfjs-node'),
  'tfjs-webgpu': engineOn('tfjs-webgpu'),
};

function engineOn(name: TensorFlowName): Engine {
  return {
    name,
    exact: false,
    kernels: null,
    units: layerUnits,
    accumulatorLength: parameterCount,
    preparedBytes: 0,
    // The device has its own memory.
    workspaceBytes: () => 0,
    createReplica: (binding) => createTensorFlowReplica(name, binding),
  };
}
