/** The data set that the page's server has, whole in the page's memory. */
import {
  checkLabels,
  countRows,
  kindOf,
  mapParts,
  nameOf,
  type OpenDataset,
} from '../../coordinator/dataset/dataset-parts.js';
import { demoPaths } from '../../shared/demo.js';
import { parseIdxHeader } from '../../shared/idx.js';
import { hexSha256 } from '../../shared/sha256.js';
import { fetchBytes } from '../fetch-bytes.js';

/** Fetches and checks the four files. Throws OperationalError DATA_MISSING or DATA_INVALID. */
export async function fetchDataset(): Promise<OpenDataset> {
  const names = await mapParts((part) => Promise.resolve(`${demoPaths.data}${part}`));
  const files = await mapParts((part) => fetchBytes(names[part]));
  const headers = await mapParts((part) =>
    Promise.resolve(parseIdxHeader(kindOf(part), names[part], files[part], files[part].length)),
  );
  return {
    ...countRows(names, headers),
    load: async (buffer, offsets) => {
      const sums = await mapParts((part) => {
        const rows = files[part].subarray(headers[part].headerLength);
        if (kindOf(part) === 'labels') checkLabels(names[part], rows);
        new Uint8Array(buffer, offsets[part], rows.length).set(rows);
        return hexSha256(files[part]);
      });
      return nameOf(sums);
    },
  };
}
