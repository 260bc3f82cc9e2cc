/**
 * A process of its own: loads TensorFlow.js for one engine, and prints what it is as JSON. Native code that does not fit this
 * machine may end the process that loads it, or hang; and what was loaded is gone with the process.
 */
import { messageOf } from '../../shared/errors.js';
import type { TensorFlowName } from '../../shared/engine.js';
import { loadTensorFlow, type TensorFlow } from '../../worker/engines/registry.js';

export interface ProbeRequest {
  readonly name: TensorFlowName;
  readonly libraries: readonly string[];
}

export type ProbeAnswer = Pick<TensorFlow, 'libtensorflow' | 'adapter'> | { readonly error: string };

async function answerTo({ name, libraries }: ProbeRequest): Promise<ProbeAnswer> {
  try {
    const { libtensorflow, adapter } = await loadTensorFlow(name, libraries);
    return { libtensorflow, adapter };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

const answer = await answerTo(JSON.parse(process.argv[2] ?? '') as ProbeRequest);
// Dawn keeps the process alive.
process.stdout.write(`\n${JSON.stringify(answer)}\n`, () => process.exit(0));
