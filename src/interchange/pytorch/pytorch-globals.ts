/**
 * All that a pickle may name: what `torch.load(..., weights_only=True)` allows, and of that as much as is needed to find
 * tensors. The rest becomes null: data that nothing here looks into.
 *
 * Source: torch/_weights_only_unpickler.py, torch/_utils.py and torch/_tensor.py of PyTorch 2.15.
 */
import { bfloat16, bool, float16, float32, float64 } from '../element-types.js';
import { int16, int32, int64, int8, uint16, uint32, uint64, uint8 } from '../element-types.js';
import type { ElementType } from '../element-types.js';
import { PickleFunction } from './pickle.js';
import { notOfTorch, PickledStorage, PickledTensor, StorageClass, TensorType } from './pickled-tensors.js';
import { WeightsFormatError } from '../problem.js';

const storages: Readonly<Record<string, ElementType | null>> = {
  ...{ Float: float32, Double: float64, Half: float16, BFloat16: bfloat16 },
  ...{ Long: int64, Int: int32, Short: int16, Char: int8, Byte: uint8, Bool: bool },
  ...{ ComplexFloat: null, ComplexDouble: null },
  ...{ QInt8: null, QUInt8: null, QInt32: null, QUInt4x2: null, QUInt2x4: null },
};

const types: Readonly<Record<string, ElementType>> = {
  ...{ float32, float64, float16, bfloat16, int64, int32, int16, int8, uint64, uint32, uint16, uint8, bool },
};
const otherTypes = [
  'complex32 complex64 complex128 bcomplex32 qint8 quint8 qint32 quint4x2 quint2x4',
  'float8_e5m2 float8_e4m3fn float8_e5m2fnuz float8_e4m3fnuz float8_e8m0fnu float4_e2m1fn_x2',
  'bits8 bits16 bits1x8 bits2x4 bits4x2 int1 int2 int3 int4 int5 int6 int7 uint1 uint2 uint3 uint4 uint5 uint6 uint7',
].flatMap((names) => names.split(' '));

/** Functions and classes whose results are left alone. */
const ofNoInterest = [
  ...['torch Tensor', 'torch device', 'torch.serialization _get_layout'],
  ...['torch per_tensor_affine', 'torch per_tensor_symmetric', 'torch per_channel_affine'],
  ...['torch per_channel_symmetric', 'torch per_channel_affine_float_qparams'],
  ...['torch._utils _rebuild_qtensor', 'torch._utils _rebuild_sparse_tensor'],
  ...['torch._utils _rebuild_meta_tensor_no_storage', 'torch._utils _rebuild_wrapper_subclass'],
  ...['torch._utils _rebuild_device_tensor_from_numpy', 'torch._utils _rebuild_device_tensor_from_cpu_tensor'],
  // In protocol 2 Python 3 writes the names that Python 2 had.
  ...['_codecs encode', '__builtin__ set', '__builtin__ bytearray', '__builtin__ complex'],
  ...['builtins set', 'builtins bytearray', 'builtins complex'],
];

const ignored = new PickleFunction(() => null);
/** What follows the first argument says nothing that matters here. */
const firstArgument = new PickleFunction(([value]) => value);

/** (storage, offset, size, stride, requires_grad, backward_hooks, metadata) */
const rebuildTensor = new PickleFunction(([storage, offset, size, stride, , , metadata]) => {
  if (!(storage instanceof PickledStorage)) throw notOfTorch();
  refuseBits(metadata);
  return new PickledTensor(storage, storage.storageClass, offset, size, stride);
});

/** (storage, offset, size, stride, requires_grad, backward_hooks, type, metadata) */
const rebuildTypedTensor = new PickleFunction(([storage, offset, size, stride, , , type, metadata]) => {
  if (!(storage instanceof PickledStorage) || !(type instanceof TensorType)) throw notOfTorch();
  refuseBits(metadata);
  return new PickledTensor(storage, type, offset, size, stride);
});

/** What a view may leave to be done, by name: torch negates or conjugates such values when it uses them. */
function refuseBits(metadata: unknown): void {
  if (!(metadata instanceof Map) || ![...metadata.values()].includes(true)) return;
  throw new WeightsFormatError(
    'has a tensor that is stored negated or conjugated',
    'call resolve_neg() or resolve_conj() on it, and save it again',
  );
}

/** (function, class, arguments, state): of a tensor that has attributes of its own. */
const rebuildWithAttributes: PickleFunction = new PickleFunction(([rebuild, , args]) => {
  // Its arguments may contain themselves, so one level it is.
  const plain = rebuild instanceof PickleFunction && rebuild !== rebuildWithAttributes;
  if (!plain || !Array.isArray(args)) throw notOfTorch();
  return rebuild.apply(args);
});

/** An OrderedDict: Map keeps the order. Its items follow as SETITEMS. */
const newDict = new PickleFunction((args) => {
  if (args.length > 0) throw notOfTorch();
  return new Map();
});

/** By "module name". */
export const globals: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['collections OrderedDict', newDict],
  // Of a dict that was built before.
  ['collections Counter', firstArgument],
  ['torch Size', firstArgument],
  ['torch.nn.parameter Parameter', firstArgument],
  ['torch._utils _rebuild_parameter', firstArgument],
  ['torch._utils _rebuild_parameter_with_state', firstArgument],
  ['torch._utils _rebuild_tensor', rebuildTensor],
  ['torch._utils _rebuild_tensor_v2', rebuildTensor],
  ['torch._utils _rebuild_tensor_v3', rebuildTypedTensor],
  ['torch._tensor _rebuild_from_type_v2', rebuildWithAttributes],
  ['torch.storage UntypedStorage', new StorageClass('UntypedStorage', null)],
  ...Object.entries(storages).map(([name, type]) => pair(`${name}Storage`, new StorageClass(`${name}Storage`, type))),
  ...Object.entries(types).map(([name, type]) => pair(name, new TensorType(name, type))),
  ...otherTypes.map((name) => pair(name, new TensorType(name, null))),
  ...ofNoInterest.map((name) => [name, ignored] as const),
]);

function pair(name: string, type: TensorType): readonly [string, TensorType] {
  return [`torch ${name}`, type];
}
