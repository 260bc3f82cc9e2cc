// Everything the replica calls. All state is in the imported memory; addresses are byte offsets.
export * from './classifier';
export * from './convolution1';
export * from './generated/layers';
export * from './normalisation';
export * from './optimiser';
export * from './probe';
export * from './products';
