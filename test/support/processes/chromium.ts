/** A real browser for tests: Chromium at CHROMIUM, else at /usr/bin/chromium or in PATH, else none. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';

/** Where Chromium is; null where there is none, which is then said. */
export function findChromium(test: string): string | null {
  const inPath = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'chromium'));
  // One that is named has to work.
  const found = process.env['CHROMIUM'] ?? ['/usr/bin/chromium', ...inPath].find(isExecutable) ?? null;
  const advice = 'install one (Debian: chromium), or set CHROMIUM';
  if (found === null) console.warn(`${test}: skipped, for there is no Chromium: ${advice}`);
  return found;
}

export function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function launchChromium(executablePath: string | null): Promise<Browser> {
  const quiet = ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-gpu'];
  return chromium.launch({ executablePath: executablePath ?? '', args: ['--no-sandbox', ...quiet] });
}

/** Texts whose contrast with their ground is less than WCAG AA asks for; evaluated in the page. */
export const poorContrasts = `(() => {
  const channels = (colour) => {
    const [r, g, b, alpha = 1] = colour.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], alpha };
  };
  const over = (top, alpha, ground) => top.map((value, i) => alpha * value + (1 - alpha) * ground[i]);
  const groundOf = (element) => {
    if (element === null) return [255, 255, 255];
    const { rgb, alpha } = channels(getComputedStyle(element).backgroundColor);
    return alpha === 1 ? rgb : over(rgb, alpha, groundOf(element.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => (value <= 10 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = { texts: 0, poor: [] };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode;
    const element = text.parentElement;
    if (text.data.trim() === '') continue;
    const style = getComputedStyle(element);
    const ground = groundOf(element);
    const { rgb, alpha } = channels(element.closest('svg') ? style.fill : style.color);
    const [low, high] = [over(rgb, alpha, ground), ground].map(luminance).sort((a, b) => a - b);
    const ratio = (high + 0.05) / (low + 0.05);
    found.texts++;
    if (ratio < 4.5) found.poor.push(text.data.trim() + ': ' + ratio.toFixed(2));
  }
  return found;
})()`;
