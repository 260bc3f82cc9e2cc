/** Errors that come from a limit of the system, for people. Imports nothing: it has to be there where little else can be loaded. */

/** Files that are enough for any command, threads and all. */
const enoughFiles = 1024;

/** One line on the limit that an error comes from, and what to do; null where it comes from none that is known. */
export function limitLine(error: unknown): string | null {
  const limit = openFilesLimit();
  // Node says of a file that it may not open that it is not there.
  const unseen = isMissingModule(error) && limit !== null && limit < enoughFiles;
  if (!unseen && !/^E[MN]FILE$/.test(codeOf(error))) return null;
  const had = limit === null ? '' : `: this process may have ${String(limit)}`;
  return `too many open files${had}; raise the limit, such as by ulimit -n ${String(enoughFiles)}`;
}

/** One line on a working folder that is not there any more; null for any other error. */
export function workingFolderGone(error: unknown): string | null {
  const gone = error instanceof Error && 'syscall' in error && error.syscall === 'uv_cwd';
  return gone ? 'the working folder was deleted; change to another one' : null;
}

/** One line on a module that is not there; null for any other error. */
export function moduleMissing(error: unknown): string | null {
  if (!isMissingModule(error)) return null;
  return `${error.message.split('\n')[0] ?? ''}: install the package again`;
}

function isMissingModule(error: unknown): error is Error {
  return error instanceof Error && /(^|_)MODULE_NOT_FOUND$/.test(codeOf(error));
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** How many files this process may have open; null where there is no such limit, or it cannot be told. */
function openFilesLimit(): number | null {
  try {
    const report = process.report.getReport() as unknown as {
      readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } };
    };
    const soft = report.userLimits?.open_files?.soft;
    return typeof soft === 'number' ? soft : null;
  } catch {
    return null;
  }
}
