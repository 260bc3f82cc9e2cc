/**
 * msgpackr without its native addon, which takes a thread 25 ms to load and gains nothing on messages as small as ours. The types
 * that the package has of these entries cannot be resolved by modules; they are those of the whole.
 */
import type * as msgpackr from 'msgpackr';
import * as packing from 'msgpackr/pack';
import * as unpacking from 'msgpackr/unpack';

export const { Packr } = packing as unknown as Pick<typeof msgpackr, 'Packr'>;
export const { Unpackr } = unpacking as unknown as Pick<typeof msgpackr, 'Unpackr'>;
