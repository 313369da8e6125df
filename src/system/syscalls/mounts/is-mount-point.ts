import { loadSyscalls } from '../load-syscalls.js';
import { loadTreeCalls } from '../load-tree-calls.js';

/** Whether something is mounted at a directory, as far as the system tells: quicker than the table of all mounts, which may be long. */
export function isMountPoint(path: string): boolean {
  const directory = loadTreeCalls(loadSyscalls()).openDirectory(path);
  try {
    return directory.usage('').mountPoint ?? false;
  } finally {
    directory.close();
  }
}
