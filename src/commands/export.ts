/** `mnist-ddp export`: writes a trained network as a file of other programs. */
import type { CommandModule } from 'yargs';
import { exportWeights, weightFormats, type WeightFormat } from '../index.js';
import { nameWritten, note, once } from './shell/options.js';

interface ExportArguments {
  run: string;
  out: string;
  format: WeightFormat;
}

export const exportCommand: CommandModule<object, ExportArguments> = {
  command: 'export <run> <out>',
  describe: 'write the weights as a PyTorch, safetensors or ONNX file',
  builder: (yargs) =>
    yargs
      .positional('run', {
        type: 'string',
        demandOption: true,
        describe: 'run folder, checkpoint, PyTorch or safetensors file',
      })
      .positional('out', { type: 'string', demandOption: true, describe: 'the file to write' })
      .option('format', {
        ...once,
        choices: weightFormats,
        demandOption: true,
        describe:
          'pytorch: a state_dict; safetensors: the same tensors; onnx: the whole network, pixels to probabilities',
      }),
  handler: async ({ run, out, format }) => {
    const exported = await exportWeights({ checkpoint: run, out, format, onNote: note });
    nameWritten(exported.out);
  },
};
