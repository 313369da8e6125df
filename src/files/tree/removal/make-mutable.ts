import { basename, dirname } from 'node:path';
import { toBytePath } from '../../../system/syscalls/byte-path.js';
import { loadSyscalls } from '../../../system/syscalls/load-syscalls.js';
import { loadTreeCalls } from '../../../system/syscalls/load-tree-calls.js';

/** Takes the immutable and append-only flags off a file or directory. @param path absolute @returns false when it has none, or they cannot be taken */
export function makeMutable(path: string): boolean {
  const above = loadTreeCalls(loadSyscalls()).openDirectory(`${dirname(path)}/.`);
  try {
    return above.makeMutable(toBytePath(basename(path)));
  } finally {
    above.close();
  }
}
