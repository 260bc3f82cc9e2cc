/** Whether a launcher started this process as one of several, by the environment that it leaves. */

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Launched {
  /** The variable that says how many processes there are. */
  readonly variable: string;
  readonly processes: number;
  readonly process: number;
  /** Of the processes on this host, and how many they are; null where the launcher does not say. */
  readonly localProcess: number;
  readonly localProcesses: number | null;
  /** Whose library is tried first. */
  readonly library: 'Open MPI' | 'MPICH';
}

/**
 * Open MPI's mpirun; MPICH's, and Slurm's srun with PMI; Slurm's srun with PMIx. SLURM_NTASKS would be there in a batch
 * script too, which is one process.
 */
const launchers = [
  {
    library: 'Open MPI',
    size: 'OMPI_COMM_WORLD_SIZE',
    rank: 'OMPI_COMM_WORLD_RANK',
    local: 'OMPI_COMM_WORLD_LOCAL_RANK',
    localSize: 'OMPI_COMM_WORLD_LOCAL_SIZE',
  },
  { library: 'MPICH', size: 'PMI_SIZE', rank: 'PMI_RANK', local: 'MPI_LOCALRANKID', localSize: 'MPI_LOCALNRANKS' },
  {
    library: 'Open MPI',
    size: 'SLURM_STEP_NUM_TASKS',
    rank: 'SLURM_PROCID',
    local: 'SLURM_LOCALID',
    localSize: null,
  },
] as const;

/** Null where this process is on its own. */
export function launchedAs(environment: Environment): Launched | null {
  for (const { library, size, rank, local, localSize } of launchers) {
    const processes = count(environment[size]);
    if (processes === null) continue;
    if (processes < 2) return null;
    const process = count(environment[rank]) ?? 0;
    const localProcesses = localSize === null ? null : count(environment[localSize]);
    const localProcess = count(environment[local]) ?? process;
    return { variable: size, processes, process, localProcess, localProcesses, library };
  }
  return null;
}

function count(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}
