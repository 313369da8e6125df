import type { LockHolder } from '../syscalls/lock-file.js';

/** Who is at the lock, as seen from any process. */
export interface StoreLockState {
  /** Those that hold it. Readers hold it for about a millisecond. */
  readonly holders: readonly LockHolder[];
  /** The writer that holds it or waits for it. */
  readonly writer: LockWriter | undefined;
}

export interface LockWriter {
  readonly pid: number;
  /** What it does: `prune`, `recover`, `destroy`, `check` or `pull`; docs/architecture.md, "Locks", says what for. */
  readonly purpose: string;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** See `LockHolder`. */
  readonly stopped: boolean;
}
