// Runs command lines one after the other in this process, as dist/cli.js would each: for such as end before anything is begun. Reads
// them as JSON from stdin, [argv, ...], and writes [{ code, stdout, stderr }, ...] to file descriptor 3.
import { writeSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { run } from '../../../dist/commands/main.js';

const results = [];
for (const argv of JSON.parse(await text(process.stdin))) {
  const result = { code: 0, stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    process[name].write = (chunk, ...rest) => {
      result[name] += String(chunk);
      rest.find((last) => typeof last === 'function')?.();
      return true;
    };
  }
  result.code = await run(argv);
  results.push(result);
}
writeSync(3, JSON.stringify(results));
