/**
 * The network with its weights as an ONNX model: raw pixels in, probabilities out.
 *
 * Names and numbers of the fields below are those of the messages in
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; operators and their attributes are described in
 * https://onnx.ai/onnx/operators/.
 */
import { PbfWriter } from 'pbf';
import {
  batchNormEpsilon,
  batchNormAfter,
  classes,
  convolutions,
  imageSize,
  linears,
  parameterOf,
} from '../shared/model/network.js';
import { tensorBytes } from './tensor-bytes.js';
import { stateTensors, type Weights } from './weights.js';

/** IR version 8 is that of ONNX 1.12, which introduced version 17 of the operators: readable since 2022. */
const irVersion = 8;
const operatorSet = 17;
/** TensorProto.DataType.FLOAT, and AttributeProto.AttributeType. */
const floatData = 1;
const attributeTypes = { float: 1, integer: 2, integers: 7 };

type Attributes = Readonly<Record<string, { float: number } | { integer: number } | { integers: readonly number[] }>>;

interface Node {
  readonly operator: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Attributes;
}

/** Name and shape of what goes in or comes out; a string is a size that is free. */
interface Port {
  readonly name: string;
  readonly shape: readonly (number | string)[];
}

const input: Port = { name: 'pixels', shape: ['N', 1, imageSize, imageSize] };
const output: Port = { name: 'probabilities', shape: ['N', classes] };

/**
 * Input `pixels`, float32 [N, 1, 28, 28] with values 0 to 255; output `probabilities`, float32 [N, 10].
 * @param version of the producer, left out where it is empty
 */
export function writeOnnx(weights: Weights, version: string): Uint8Array {
  const model = new PbfWriter();
  model.writeVarintField(1, irVersion);
  model.writeStringField(2, 'mnist-ddp');
  if (version !== '') model.writeStringField(3, version);
  model.writeMessage(7, writeGraph, weights);
  // The default operators, whose domain is the empty string.
  model.writeMessage(8, writeOperatorSet, operatorSet);
  return model.finish();
}

/** OperatorSetIdProto */
function writeOperatorSet(version: number, set: PbfWriter): void {
  set.writeVarintField(2, version);
}

/** GraphProto */
function writeGraph(weights: Weights, graph: PbfWriter): void {
  for (const node of networkNodes()) graph.writeMessage(1, writeNode, node);
  graph.writeStringField(2, 'mnist-ddp');
  for (const tensor of stateTensors) {
    if (tensor.part === 'batchesTracked') continue;
    graph.writeMessage(5, writeTensor, { ...tensor, bytes: tensorBytes(weights, tensor) });
  }
  graph.writeMessage(11, writePort, input);
  graph.writeMessage(12, writePort, output);
}

/** The network's table as nodes, each fed by the one before. */
function networkNodes(): Node[] {
  const nodes: Node[] = [];
  let previous = input.name;
  const add = (operator: string, name: string, tensors: readonly string[] = [], attributes: Attributes = {}): void => {
    nodes.push({ operator, inputs: [previous, ...tensors], output: name, attributes });
    previous = name;
  };
  for (const { name, pooled } of convolutions) {
    add('Conv', name, [`${name}.weight`, `${name}.bias`], {
      kernel_shape: { integers: parameterOf(name, 'weight').shape.slice(2) },
    });
    add('Relu', `${name}.relu`);
    if (!pooled) continue;
    add('MaxPool', `${name}.pool`, [], { kernel_shape: { integers: [2, 2] }, strides: { integers: [2, 2] } });
    const norm = batchNormAfter({ name }).name;
    const tensors = ['weight', 'bias', 'running_mean', 'running_var'].map((kind) => `${norm}.${kind}`);
    add('BatchNormalization', norm, tensors, { epsilon: { float: batchNormEpsilon } });
  }
  add('Flatten', 'flatten', [], { axis: { integer: 1 } });
  for (const [i, { name }] of linears.entries()) {
    add('Gemm', name, [`${name}.weight`, `${name}.bias`], { transB: { integer: 1 } });
    if (i < linears.length - 1) add('Relu', `${name}.relu`);
  }
  add('Softmax', output.name, [], { axis: { integer: 1 } });
  return nodes;
}

/** NodeProto */
function writeNode({ operator, inputs, output: result, attributes }: Node, node: PbfWriter): void {
  for (const name of inputs) node.writeStringField(1, name);
  node.writeStringField(2, result);
  node.writeStringField(3, result);
  node.writeStringField(4, operator);
  for (const attribute of Object.entries(attributes)) node.writeMessage(5, writeAttribute, attribute);
}

/** AttributeProto */
function writeAttribute([name, value]: [string, Attributes[string]], attribute: PbfWriter): void {
  attribute.writeStringField(1, name);
  if ('float' in value) {
    attribute.writeFloatField(2, value.float);
    attribute.writeVarintField(20, attributeTypes.float);
  } else if ('integer' in value) {
    attribute.writeVarintField(3, value.integer);
    attribute.writeVarintField(20, attributeTypes.integer);
  } else {
    for (const integer of value.integers) attribute.writeVarintField(8, integer);
    attribute.writeVarintField(20, attributeTypes.integers);
  }
}

/** TensorProto */
function writeTensor(
  { name, shape, bytes }: { name: string; shape: readonly number[]; bytes: Uint8Array },
  tensor: PbfWriter,
): void {
  for (const size of shape) tensor.writeVarintField(1, size);
  tensor.writeVarintField(2, floatData);
  tensor.writeStringField(8, name);
  tensor.writeBytesField(9, bytes);
}

/** ValueInfoProto, with TypeProto, TypeProto.Tensor and TensorShapeProto inside */
function writePort({ name, shape }: Port, port: PbfWriter): void {
  port.writeStringField(1, name);
  port.writeMessage(2, writeType, shape);
}

function writeType(shape: Port['shape'], type: PbfWriter): void {
  type.writeMessage(1, writeTensorType, shape);
}

function writeTensorType(shape: Port['shape'], type: PbfWriter): void {
  type.writeVarintField(1, floatData);
  type.writeMessage(2, writeShape, shape);
}

function writeShape(sizes: Port['shape'], shape: PbfWriter): void {
  for (const size of sizes) shape.writeMessage(1, writeDimension, size);
}

function writeDimension(size: number | string, dimension: PbfWriter): void {
  if (typeof size === 'number') dimension.writeVarintField(1, size);
  else dimension.writeStringField(2, size);
}
