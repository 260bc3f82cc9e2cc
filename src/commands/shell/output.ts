/** What commands print. */
import { fstatSync, statSync } from 'node:fs';
import { visible } from '../../shared/text.js';
import { inFlags, type CommandName } from './flags.js';

/** The command that runs, whose flags messages name; null before it is known. */
let running: CommandName | null = null;

export function begin(command: CommandName): void {
  running = command;
}

/** A message of the library, or one of the command line, as a line on the screen. */
export function shown(message: string): string {
  return visible(running === null ? message : inFlags(message, running));
}

/** Writes a line for a person to stderr; stdout stays for results. */
export function note(message: string): void {
  process.stderr.write(`${shown(message)}\n`);
}

/** A value as one line of JSON that holds printable characters only. */
export function jsonLine(value: unknown): string {
  return `${visible(JSON.stringify(value))}\n`;
}

/** Names the file that was written, on stdout; where that is stdout itself, whose bytes are then all that stands there, on stderr. */
export function nameWritten(path: string): void {
  const [file, stdout] = [statSync(path, { bigint: true, throwIfNoEntry: false }), fstatSync(1, { bigint: true })];
  const isStdout = file?.ino === stdout.ino && file.dev === stdout.dev;
  (isStdout ? process.stderr : process.stdout).write(`${visible(path)}\n`);
}
