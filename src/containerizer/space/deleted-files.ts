import { opendirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { systemCode, throwIfAborted } from '../../base/errors.js';
import { Turns } from '../../base/unhurried.js';

/** What stat(2) counts blocks in. */
const BLOCK = 512n;
/** How a link of /proc ends that leads to a file which has no name any more; one may be called so, too. @see proc(5), /proc/pid/fd */
const DELETED = ' (deleted)';
/** Others get a turn after so many descriptors. */
const AT_ONCE = 64;

/**
 * What files take that processes have open, and that have no name any more: no directory shows them, and they take space until the last of these processes closes them. Not those that are only mapped,
 * or on their way through a socket.
 * @param pids as this machine sees them; one that has ended has none
 * @param counts whether files of a mount count, by its line in the table of mounts
 * @returns bytes, each file once
 * @throws ProvisionerError `ERR_ABORTED`; like Node's `fs`, such as for want of descriptors
 * @see proc(5): /proc/pid/fd, /proc/pid/fdinfo, /proc/pid/mountinfo
 */
export async function measureDeleted(
  pids: readonly number[],
  counts: (mount: string) => boolean,
  signal?: AbortSignal | undefined,
): Promise<number> {
  const turns = new Turns();
  /** By mount namespace: the ids of mounts that count. */
  const known = new Map<string, ReadonlySet<string>>();
  /** By file system and inode: bytes. */
  const files = new Map<string, bigint>();
  for (const pid of pids) {
    let descriptors = 0;
    for (const descriptor of descriptorsOf(pid)) {
      const file = unlessGone(() => deletedFile(pid, descriptor, known, counts));
      if (file !== undefined) files.set(file.name, file.bytes);
      if (++descriptors % AT_ONCE === 0) await turns.take();
    }
    throwIfAborted(signal);
    await turns.take();
  }
  return Number([...files.values()].reduce((sum, bytes) => sum + bytes, 0n));
}

function* descriptorsOf(pid: number): Generator<string> {
  const directory = unlessGone(() => opendirSync(`/proc/${pid}/fd`));
  if (directory === undefined) return;
  try {
    for (;;) {
      const entry = unlessGone(() => directory.readSync());
      if (entry === undefined || entry === null) return;
      yield entry.name;
    }
  } finally {
    directory.closeSync();
  }
}

/** @returns undefined for what has a name, is no file, or does not count */
function deletedFile(
  pid: number,
  descriptor: string,
  known: Map<string, ReadonlySet<string>>,
  counts: (mount: string) => boolean,
): { readonly name: string; readonly bytes: bigint } | undefined {
  const path = `/proc/${pid}/fd/${descriptor}`;
  if (!readlinkSync(path).endsWith(DELETED)) return undefined;
  // The number of a process may be another one's by now: what that one has open is on other mounts.
  const [, mount = ''] = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'latin1')) ?? [];
  if (!mountsOf(pid, known, counts).has(mount)) return undefined;
  const status = statSync(path, { bigint: true });
  if (!status.isFile() || status.nlink > 0n) return undefined;
  return { name: `${status.dev} ${status.ino}`, bytes: status.blocks * BLOCK };
}

function mountsOf(
  pid: number,
  known: Map<string, ReadonlySet<string>>,
  counts: (mount: string) => boolean,
): ReadonlySet<string> {
  const namespace = readlinkSync(`/proc/${pid}/ns/mnt`);
  const found = known.get(namespace);
  if (found !== undefined) return found;
  const lines = readFileSync(`/proc/${pid}/mountinfo`, 'latin1').split('\n').filter(counts);
  const mounts = new Set(lines.map((line) => line.split(' ', 1)[0] ?? ''));
  known.set(namespace, mounts);
  return mounts;
}

/** It has ended, was closed, or may not be looked at: whoever watches what he may not look at goes by what he sees. */
const GONE = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM']);

function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (GONE.has(systemCode(error) ?? '')) return undefined;
    throw error;
  }
}
