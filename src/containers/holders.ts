import { ProvisionerError } from '../base/errors.js';

/**
 * Something that runs processes in containers, and so holds these: a containerizer, say. It answers for all that its kind runs, whichever process began it, and says
 * so from before something begins until it has ended. So that nobody takes the rootfs away in between, it begins in the container's turn (`containers.inTurn`).
 *
 * It is asked in the turn of the container, so nothing that it does then may provision or destroy that one.
 */
export interface ContainerHolder {
  /** What it runs in a container, as a clause: `process 4711 runs in it`. Asked when it is the turn of whoever would destroy it. @returns undefined when it is nothing */
  running(containerId: string): Promise<string | undefined> | string | undefined;
  /** Ends what it runs in a container. Resolves when nothing does any more. */
  end(containerId: string, signal: AbortSignal | undefined): Promise<void>;
  /** The containers in which it runs something, of all owners. */
  held(): Promise<readonly string[]> | readonly string[];
}

/** What becomes of what runs in a container that is to be destroyed. */
export type Running = 'refuse' | 'kill';

/** All that hold containers. */
export class Holders {
  readonly #holders = new Set<ContainerHolder>();

  get isEmpty(): boolean {
    return this.#holders.size === 0;
  }

  /** @returns takes it out again */
  add(holder: ContainerHolder): () => void {
    const own: ContainerHolder = {
      running: (id) => holder.running(id),
      end: (id, signal) => holder.end(id, signal),
      held: () => holder.held(),
    };
    this.#holders.add(own);
    return () => void this.#holders.delete(own);
  }

  /**
   * Sees to it that nothing runs in containers.
   * @param containerIds children before parents
   * @throws ProvisionerError `ERR_CONTAINER_RUNNING` when something does and is not to be ended; then nothing has been
   */
  async release(containerIds: Iterable<string>, running: Running, signal: AbortSignal | undefined): Promise<void> {
    if (this.isEmpty) return;
    const holding: { readonly holder: ContainerHolder; readonly id: string }[] = [];
    for (const id of new Set(containerIds)) {
      for (const holder of this.#holders) {
        const what = await holder.running(id);
        if (!what) continue;
        if (running === 'refuse') throw containerRunning(id, what);
        holding.push({ holder, id });
      }
    }
    for (const { holder, id } of holding) await holder.end(id, signal);
  }

  /** The containers in which something runs. */
  async held(): Promise<string[]> {
    const held: string[] = [];
    for (const holder of this.#holders) for (const id of await holder.held()) held.push(id);
    return held;
  }
}

function containerRunning(containerId: string, what: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_RUNNING', `something runs in container ${containerId}: ${what}`, {
    hint: 'wait until it has ended, stop it, or destroy it by force (`--force`; in the library `running: "kill"`)',
    details: { containerId, running: what },
  });
}
