import { randomBytes } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { fileError, systemCode } from '../errors.js';
import { ensureOwnDirectory } from '../own-files.js';
import type { LifeLock, LifeLocks } from './life-locks.js';
import { lifeOf, type ProcessIdentity } from './process-identity.js';

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
 * A process begins its life with the first identity that it is asked for, so one that only reads leaves no trace.
 */
export class Liveness {
  readonly #life: Life;
  #identity: ProcessIdentity | undefined;

  /** @param directory holds the files; made with the first life */
  static in(directory: string, locks: LifeLocks): Liveness {
    return new Liveness(new Life(directory, locks));
  }

  private constructor(life: Life) {
    this.#life = life;
  }

  /** This one's own, alive from now on until `close`. @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO` when the file cannot be made */
  get identity(): ProcessIdentity {
    this.#identity ??= this.#life.newIdentity();
    return this.#identity;
  }

  /** False once its process has ended. True in doubt. */
  readonly isAlive = (identity: ProcessIdentity): boolean => this.#life.isAlive(identity);

  /** Another identity of the same life, for work that must not take the claims of other work of this process for its own. */
  another(): Liveness {
    return new Liveness(this.#life);
  }

  /** Removes what dead processes left. What cannot be removed stays for the next time. */
  tidy(): void {
    this.#life.tidy();
  }

  /** The names in the directory whose lives have ended. */
  dead(): string[] {
    return this.#life.dead();
  }

  /** Ends this life, and so that of all identities which came of it. Safe to call twice. */
  close(): void {
    this.#life.end();
  }
}

/** One file, locked from `newIdentity` to `end`. */
class Life {
  readonly #directory: string;
  readonly #locks: LifeLocks;
  #held: { readonly name: string; readonly lock: LifeLock } | undefined;
  #identities = 0;

  constructor(directory: string, locks: LifeLocks) {
    this.#directory = directory;
    this.#locks = locks;
  }

  newIdentity(): ProcessIdentity {
    this.#held ??= this.#begin();
    this.#identities += 1;
    return `${this.#held.name}.${process.pid}.${this.#identities}`;
  }

  isAlive(identity: ProcessIdentity): boolean {
    const life = lifeOf(identity);
    if (life === undefined) return false;
    return life === this.#held?.name || this.#locks.isHeld(this.#path(life));
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
    if (held === undefined) return;
    held.lock.release();
    this.#locks.removeUnheld(this.#path(held.name));
  }

  #begin(): { readonly name: string; readonly lock: LifeLock } {
    try {
      ensureOwnDirectory(this.#directory);
      for (;;) {
        const name = randomBytes(16).toString('hex');
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
      return readdirSync(this.#directory).filter((name) => lifeOf(`${name}.0.0`) !== undefined);
    } catch (error) {
      if (systemCode(error) === 'ENOENT') return [];
      throw error;
    }
  }
}
