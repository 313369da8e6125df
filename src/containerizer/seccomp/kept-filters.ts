import { createHash } from 'node:crypto';
import { readFileSync, renameSync } from 'node:fs';
import { arch, release } from 'node:os';
import { join } from 'node:path';
import { writeOwnFile } from '../../base/own-files.js';
import type { OciSeccomp } from '../../system/seccomp/oci-seccomp.js';

/** Raised when the same filter is made into another program than before. */
const VERSION = 1;
/** `struct sock_filter`, in Base64; at most as many as the kernel takes. @see linux/filter.h */
const INSTRUCTION_BYTES = 8;
const MOST_BYTES = 4096 * INSTRUCTION_BYTES;

/**
 * The program of a filter as another process has made it on this machine since it was started, else as it is made now, and kept for the next: to load libseccomp and have it make one takes 12 to 40 ms,
 * which each command line would take. One that a crash has left half written is not taken; where none can be kept, it is made each time.
 * @param directory root's own, not on the store's disk: what is there is trusted
 * @returns Base64; undefined when `make` gives nothing @throws what `make` throws
 */
export async function keptFilter(
  directory: string,
  filter: OciSeccomp,
  make: () => Promise<Buffer | undefined>,
): Promise<string | undefined> {
  const key = createHash('sha256')
    .update(JSON.stringify([VERSION, arch(), release(), filter]))
    .digest('hex');
  const path = join(directory, `filter-${key.slice(0, 32)}`);
  const kept = read(path);
  if (kept !== undefined) return kept;
  const made = (await make())?.toString('base64');
  if (made !== undefined) keep(path, made);
  return made;
}

function read(path: string): string | undefined {
  try {
    const text = readFileSync(path, 'latin1');
    const program = Buffer.from(text, 'base64');
    const isWhole = program.length > 0 && program.length <= MOST_BYTES && program.length % INSTRUCTION_BYTES === 0;
    return isWhole && program.toString('base64') === text ? text : undefined;
  } catch {
    return undefined;
  }
}

function keep(path: string, text: string): void {
  const draft = `${path}.${process.pid}`;
  try {
    writeOwnFile(draft, text);
    renameSync(draft, path);
  } catch {
    // It is made anew the next time.
  }
}
