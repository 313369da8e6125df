import type { GlobalFlags, StoreFlags } from './flags.js';
import type { HostProcess } from './host-process.js';
import type { Session, StorelessSession } from './session.js';

/** One run of the command line: what a command's action is given. */
export class Cli {
  readonly host: HostProcess;
  readonly #flags: () => GlobalFlags;
  #exitStatus = 0;

  /** @param flags what was parsed; known once an action runs */
  constructor(host: HostProcess, flags: () => GlobalFlags) {
    this.host = host;
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
    this.#exitStatus = await withSession(this.host, { ...this.#flags(), ...flags }, work);
  }
  /** Does the work of a command that needs no store: none is looked for. Failures are reported and give the exit status. */
  async withoutStore(work: (session: StorelessSession) => Promise<void>): Promise<void> {
    const { withoutStore } = await import('./session.js');
    this.#exitStatus = await withoutStore(this.host, this.#flags(), work);
  }
}
