/** Numbers as a reader wants them; the same text on every machine. */

const noBreakSpace = '\u00a0';
let grouped: Intl.NumberFormat | undefined;

/** Such as `6,097`. */
export function count(value: number): string {
  // At the first use: it takes 20 ms, which a start without a report need not wait for.
  grouped ??= new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
  return grouped.format(value);
}

/** Such as `1 mistake` and `45 mistakes`. */
export function counted(value: number, singular: string): string {
  return `${count(value)}${noBreakSpace}${singular}${value === 1 ? '' : 's'}`;
}

/** @param value in percent, such as 99.55 for `99.55 %` */
export function percent(value: number, digits = 2): string {
  return `${value.toFixed(digits)}${noBreakSpace}%`;
}

/** A probability in percent, never rounded to a certainty that it is not. */
export function probability(value: number): string {
  if (value > 0.9999 && value < 1) return `>${noBreakSpace}${percent(99.99)}`;
  if (value > 0 && value < 0.0001) return `<${noBreakSpace}${percent(0.01)}`;
  return percent(100 * value);
}

/** Five digits at most, without trailing zeros: `0.001`, `1e-5`. */
export function short(value: number): string {
  const rounded = Number(value.toPrecision(5));
  return rounded !== 0 && Math.abs(rounded) < 1e-4 ? rounded.toExponential() : String(rounded);
}

/** In UTC to the minute. */
export function moment(time: Date): string {
  return `${time.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
