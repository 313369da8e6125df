import type { Readable } from 'node:stream';
import type { TextStream } from './output/output.js';
import type { Session } from './session.js';

/** The process around the command line, so that tests can be another one. */
export interface Surroundings {
  /** Asked for only by a command that reads it. */
  readonly stdin: () => Readable & { readonly isTTY?: boolean };
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts with an `Interruption`. */
  readonly signal: AbortSignal;
}

/** Options that every command takes. */
export interface GlobalFlags {
  readonly root?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
  readonly unsafeNoSync?: boolean;
}

export interface StoreFlags {
  /** Leave what is not deleted yet to a later sweep when the store is closed. Default: false. */
  readonly leaveSweep?: boolean | undefined;
  /** How pulls are shown on stderr. Default: `bar` on a terminal, else `plain`; `none` with `--json`. */
  readonly progress?: 'bar' | 'plain' | 'json' | 'none' | undefined;
  /** Whom new containers belong to. Default: the library's. */
  readonly owner?: string | undefined;
}

/** One run of the command line: what a command's action is given. */
export class Cli {
  readonly surroundings: Surroundings;
  readonly #flags: () => GlobalFlags;
  #exitStatus = 0;

  /** @param flags what was parsed; known once an action runs */
  constructor(surroundings: Surroundings, flags: () => GlobalFlags) {
    this.surroundings = surroundings;
    this.#flags = flags;
  }

  /** 0, or 1 after a failure, or an interruption's own. */
  get exitStatus(): number {
    return this.#exitStatus;
  }

  /** Opens the store, does the work, and closes the store whatever comes of it. Failures are reported and give the exit status. */
  async withStore(work: (session: Session) => Promise<void>, flags: StoreFlags = {}): Promise<void> {
    // Loaded here, so that help, version and usage errors come without the library's start-up.
    const { withSession } = await import('./session.js');
    this.#exitStatus = await withSession(this.surroundings, { ...this.#flags(), ...flags }, work);
  }
}
