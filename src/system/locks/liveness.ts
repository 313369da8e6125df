import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { fileError, systemCode } from '../../base/errors.js';
import { ensureOwnDirectory } from '../../base/own-files.js';
import { hasOpen, isStopped } from '../syscalls/process-state.js';
import type { LifeLock, LifeLocks } from './life-locks.js';
import { lifeOf, type ProcessIdentity, pidOf } from './process-identity.js';

/**
 * Tells who is alive among all that have a store open, whichever PID, mount or user namespace they are in: alive is who holds the lock on the file that
 * his identity names, and the kernel lets go of it when he dies, however that comes about.
 *
 * | the file     | its lock                                 | its process                                   |
 * |--------------|------------------------------------------|-----------------------------------------------|
 * | is not there |                                          | dead: a file goes only after its lock is free |
 * | is there     | is free                                  | dead                                          |
 * | is there     | is held, or that cannot be found out     | alive                                         |
 *
 * A life begins when its identity is first asked for, so a process that only reads leaves no trace. Work that holds something in the records for a while, such
 * as a pull, a prune or a copy, has a life of its own (`another`), which ends with it: what it could not give back then counts for nothing at once, while its process lives on.
 */
export class Liveness {
  readonly #life: Life;

  /** @param directory holds the files; made with the first life */
  static in(directory: string, locks: LifeLocks): Liveness {
    return new Liveness(new Life(directory, locks));
  }

  private constructor(life: Life) {
    this.#life = life;
  }

  /** This life's own, alive from now on until `close`. @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO` when the file cannot be made */
  get identity(): ProcessIdentity {
    return this.#life.identity;
  }

  /** False once its life has ended. True in doubt. */
  readonly isAlive = (identity: ProcessIdentity): boolean => this.#life.isAlive(identity);

  /** Of one that is alive: whether its process is seen to be stopped, so that it does nothing until somebody continues it. False in doubt, as where its PID namespace is another one. */
  readonly isStopped = (identity: ProcessIdentity): boolean => this.#life.isStopped(identity);

  /** A life beside this one, for one piece of work: close it when that is over. */
  another(): Liveness {
    return new Liveness(this.#life.another());
  }

  /** Does one piece of work in a life of its own. */
  async during<T>(work: (liveness: Liveness) => Promise<T>): Promise<T> {
    const liveness = this.another();
    try {
      return await work(liveness);
    } finally {
      liveness.close();
    }
  }

  /** Removes what dead processes left. What cannot be removed stays for the next time. */
  tidy(): void {
    this.#life.tidy();
  }

  /** The names in the directory whose lives have ended. */
  dead(): string[] {
    return this.#life.dead();
  }

  /** Ends this life, and no other. Safe to call twice. */
  close(): void {
    this.#life.end();
  }
}

/** One file, locked from the first `identity` to `end`. */
class Life {
  /** Kept from garbage collection, which would close SQLite's file and so end a life whose identity is all that somebody kept. */
  static readonly #begun = new Set<Life>();

  readonly #directory: string;
  readonly #locks: LifeLocks;
  #held: { readonly name: string; readonly lock: LifeLock } | undefined;
  /** What it was called, once it is over; nobody lives by that name. */
  #ended: string | undefined;
  /** The last one that was looked for among the processes here, and what came of it: it stays so while it lives, and a process may have very many files open. */
  #sought: { readonly identity: ProcessIdentity; readonly isHere: boolean } | undefined;

  constructor(directory: string, locks: LifeLocks) {
    this.#directory = directory;
    this.#locks = locks;
  }

  get identity(): ProcessIdentity {
    if (this.#ended === undefined && this.#held === undefined) {
      this.#held = this.#begin();
      Life.#begun.add(this);
    }
    return `${this.#ended ?? this.#held?.name}.${process.pid}`;
  }

  another(): Life {
    return new Life(this.#directory, this.#locks);
  }

  isAlive(identity: ProcessIdentity): boolean {
    const life = lifeOf(identity);
    if (life === undefined) return false;
    return life === this.#held?.name || this.#locks.isHeld(this.#path(life));
  }

  isStopped(identity: ProcessIdentity): boolean {
    return isStopped(pidOf(identity)) && this.#isHere(identity);
  }

  dead(): string[] {
    return this.#names().filter((name) => name !== this.#held?.name && !this.#locks.isHeld(this.#path(name)));
  }

  tidy(): void {
    for (const name of this.dead()) {
      try {
        this.#locks.removeUnheld(this.#path(name));
      } catch (error) {
        if (systemCode(error) === undefined) throw error;
      }
    }
  }

  end(): void {
    const held = this.#held;
    this.#held = undefined;
    this.#ended ??= held?.name ?? newName();
    Life.#begun.delete(this);
    if (held === undefined) return;
    held.lock.release();
    this.#locks.removeUnheld(this.#path(held.name));
  }

  /** Whether the process of that number is the very one that lives by that name, and not one of another PID namespace. */
  #isHere(identity: ProcessIdentity): boolean {
    if (this.#sought?.identity !== identity) {
      this.#sought = { identity, isHere: hasOpen(pidOf(identity), lifeOf(identity) ?? '') };
    }
    return this.#sought.isHere;
  }

  #begin(): { readonly name: string; readonly lock: LifeLock } {
    try {
      ensureOwnDirectory(this.#directory);
      for (;;) {
        const name = newName();
        const lock = this.#locks.hold(this.#path(name));
        if (lock !== undefined) return { name, lock };
      }
    } catch (error) {
      throw fileError(error, 'show that this process is alive', this.#directory);
    }
  }

  #path(name: string): string {
    return `${this.#directory}/${name}`;
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory).filter((name) => lifeOf(`${name}.0`) !== undefined);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}

function newName(): string {
  return randomBytes(16).toString('hex');
}
