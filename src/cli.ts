#!/usr/bin/env node
/** The program: loads the command line and runs it. What keeps a module of it from being loaded is said in one line. */
import { limitLine, moduleMissing, workingFolderGone } from './commands/shell/limits.js';

try {
  const { run } = await import('./commands/main.js');
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const line = limitLine(error) ?? moduleMissing(error) ?? workingFolderGone(error);
  if (line === null) throw error;
  process.stderr.write(`mnist-ddp: ${line}\n`);
  process.exitCode = 1;
}
