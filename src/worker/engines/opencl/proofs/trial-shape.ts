/**
 * What all trials are made of: eight rows in leaves of four, and a layer's tiles of them, on the device and for the wasm kernels alike.
 */
import {
  floatBytes,
  inputPanels,
  lineBytes,
  outputPanels,
  panelWidth,
  productLayers,
} from '../../winograd/geometry.js';
import { panelTiles } from '../geometry.js';
import type { Both, Workbench } from './workbench.js';

/** Does the same work on the device and by the wasm kernels, see `Workbench.agrees`. */
export type Trial = (bench: Workbench) => void;
export type Trials = Readonly<Record<string, Trial>>;

export const rows = 8;
export const microBatch = 4;
export const leaves = rows / microBatch;
/** Positions in a split of as many. */
export const rowNumbers = [3, 0, 7, 2, 1, 4, 6, 5];

/** A layer's tiles of `rows` rows, on the device and for the wasm kernels alike. */
export function tilesOf(name: keyof typeof productLayers) {
  const layer = productLayers[name];
  const padded = panelTiles(layer, rows);
  const panel = padded * lineBytes;
  return {
    layer,
    count: rows * layer.rowTiles,
    padded: { int32: padded },
    panel,
    /** Bytes of a point of the inputs and of the outputs. */
    inputPlane: inputPanels(layer) * panel,
    outputPlane: outputPanels(layer) * panel,
    inputFloats: (layer.points * inputPanels(layer) * panel) / floatBytes,
    outputFloats: (layer.points * outputPanels(layer) * panel) / floatBytes,
  };
}

/** An array of tiles in which those of the rows are results, and those behind them nobody's. */
export function tilesMade(bench: Workbench, planes: number, panel: number, tiles: number) {
  const address = bench.arena.room(planes * panel);
  const buffer = bench.room(planes * panel);
  for (let plane = 0; plane < planes; plane++) {
    bench.arena.result(address + plane * panel, tiles * panelWidth);
    bench.arrives(buffer, plane * panel, address + plane * panel, tiles * lineBytes);
  }
  return { at: address, buffer };
}

/** An array of tiles that is given, and changed where the rows are. */
export function tilesChanged(bench: Workbench, panels: number, panel: number, tiles: number): Both {
  const both = bench.given((panels * panel) / floatBytes);
  for (let p = 0; p < panels; p++) {
    bench.arena.result(both.at + p * panel, tiles * panelWidth);
    bench.arrives(both.buffer, p * panel, both.at + p * panel, tiles * lineBytes);
  }
  return both;
}

/** The panels' calls of the wasm kernels, each of which handles one. */
export function eachPanel(panels: number, visit: (panel: number) => void): void {
  for (let panel = 0; panel < panels; panel++) visit(panel);
}
