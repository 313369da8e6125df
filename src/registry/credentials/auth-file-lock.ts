import { lstatSync, rmSync } from 'node:fs';
import { Mutex } from 'async-mutex';
import { isProvisionerError, systemCode, throwIfAborted } from '../../base/errors.js';
import { orAborted } from '../../system/locks/or-aborted.js';
import { loadSyscalls } from '../../system/syscalls/load-syscalls.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import { badSetting } from '../registry-errors.js';
import { pause } from '../retry.js';

/** Between two looks, in milliseconds: who has it reads and writes one small file. */
const POLL = 20;
/** Milliseconds after which whoever has it does not come to an end by itself: it has been stopped. */
const PATIENCE = 10_000;

export interface AuthFileLockOptions {
  /** Milliseconds for another process. Default: 10 000. */
  readonly patience?: number;
  /** Default: the best there are. */
  readonly syscalls?: Pick<Syscalls, 'openLockFile'>;
}

/** Calls of this process wait for each other here, first come first served, by the file that they want. */
const turns = new Map<string, Mutex>();

/**
 * Keeps others of us from changing an auth file meanwhile; podman and Docker know no such lock. Between processes it is one of the kernel on a file beside it, which goes with its holder, and
 * the file goes before the lock does: who finds another one, or none, in its place once he has the lock tries anew. Where the system has no such locks, only this process is kept.
 * @param target the file itself, no symlink
 * @throws ProvisionerError `ERR_REGISTRY_CONFIG` when it is not to be had, `ERR_ABORTED`; system errors
 */
export async function withAuthFileLock<T>(
  target: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  { patience = PATIENCE, syscalls = loadSyscalls() }: AuthFileLockOptions = {},
): Promise<T> {
  const turn = turns.get(target) ?? new Mutex();
  turns.set(target, turn);
  const started = performance.now();
  const free = turn.acquire();
  try {
    const done = await orAborted(free, signal);
    try {
      // Those before us have waited for the same other process, and so have we.
      const lock = await take(syscalls, target, signal, patience - (performance.now() - started));
      try {
        return await work();
      } finally {
        if (lock !== undefined) release(lock);
      }
    } finally {
      done();
    }
  } catch (error) {
    if (signal?.aborted) void free.then((done) => done());
    throw error;
  } finally {
    if (!turn.isLocked()) turns.delete(target);
  }
}

function release(lock: LockFile): void {
  try {
    if (lock.isInPlace()) rmSync(lock.path, { force: true });
  } finally {
    lock.close();
  }
}

async function take(
  syscalls: Pick<Syscalls, 'openLockFile'>,
  target: string,
  signal: AbortSignal | undefined,
  patience: number,
): Promise<LockFile | undefined> {
  const path = `${target}.lock`;
  const started = performance.now();
  for (;;) {
    throwIfAborted(signal);
    requireLock(path, target);
    const file = open(syscalls, path, target);
    if (file === undefined) return undefined;
    let holders: readonly number[] = [];
    try {
      const locked = file.tryLock('exclusive');
      if (locked && file.isInPlace()) return file;
      if (!locked) holders = file.holders().map(({ pid }) => pid);
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
    if (performance.now() - started > patience) throw busy(path, target, holders);
    await pause(POLL, signal);
  }
}

/** Ours are empty, and another program's file of that name would be removed. */
function requireLock(path: string, target: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined || (stats.isFile() && stats.size === 0)) return;
  throw notOurs(path, target);
}

/** Undefined where the system has no such locks. */
function open(syscalls: Pick<Syscalls, 'openLockFile'>, path: string, target: string): LockFile | undefined {
  try {
    return syscalls.openLockFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOTSUP') return undefined;
    if (!isProvisionerError(error)) throw error;
    throw notOurs(path, target, error);
  }
}

function notOurs(path: string, target: string, cause?: unknown) {
  const problem = `${path}, the lock of the auth file ${target}, is none of ours`;
  return badSetting(problem, 'find out who put it there, and remove it', { path }, cause);
}

function busy(path: string, target: string, holders: readonly number[]) {
  const who = holders.length === 0 ? 'another process' : `process ${holders.join(', ')}`;
  return badSetting(
    `${who} is changing the auth file ${target}, and does not come to an end`,
    'it may have been stopped: let it go on (`kill -CONT`), or end it',
    { path, ...(holders.length === 0 ? {} : { pids: holders.join(', ') }) },
  );
}
