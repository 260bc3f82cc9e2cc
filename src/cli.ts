#!/usr/bin/env node
import { run } from './commands/main.js';

process.exitCode = await run(process.argv.slice(2));
