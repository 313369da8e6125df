import { firstLine } from '../../base/errors.js';
import type { Connections } from './connections.js';
import type { OwnNetworks } from './own-networks.js';

/** Milliseconds between looks whether other processes have taken some, and until it is tried again when none could be made: at first, and at most. */
const AGAIN = 1000;
const AGAIN_AT_MOST = 60_000;
/** Milliseconds until another one is made when one has been taken: whoever has taken it is just launching, and has the processors for that. */
const AFTER_LAUNCH = 200;

/**
 * Namespaces that are connected already and wait for launches, so that these do not: to make one takes a hundred times as long as to take one over. They belong to this process: when it closes they go, and when it has died
 * whoever recovers takes them away. Others may take them over as well.
 */
export class ReadyNetworks {
  readonly #connections: Connections;
  readonly #networks: OwnNetworks;
  readonly #wanted = new Map<string, number>();
  /** Ids of those that are there, as far as is known: others may have taken some. */
  readonly #own = new Set<string>();
  readonly #closing = new AbortController();
  #filling: Promise<void> | undefined;
  #isStale = false;
  #later: NodeJS.Timeout | undefined;
  #pause = AGAIN;
  /** Of which networks none could be made the last time, and why. */
  problems: ReadonlyMap<string, string> = new Map();

  constructor(connections: Connections, networks: OwnNetworks) {
    this.#connections = connections;
    this.#networks = networks;
  }

  /** From now on so many of each network are to be ready. */
  keep(wanted: Readonly<Record<string, number>>): void {
    for (const [name, count] of Object.entries(wanted)) this.#wanted.set(name, count);
    this.refill();
  }

  /** One has been taken. */
  taken(): void {
    if (this.#wanted.size === 0 || this.#closing.signal.aborted) return;
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.refill(), AFTER_LAUNCH);
    this.#later.unref();
  }

  /** As many are made as are missing; nobody waits for that. */
  refill(): void {
    if (this.#wanted.size === 0 || this.#closing.signal.aborted) return;
    this.#isStale = true;
    this.#filling ??= this.#fill().finally(() => {
      this.#filling = undefined;
    });
  }

  async #fill(): Promise<void> {
    clearTimeout(this.#later);
    const failures = new Map<string, string>();
    try {
      while (this.#isStale && !this.#closing.signal.aborted) {
        this.#isStale = false;
        for (const [name, count] of this.#wanted) {
          // One that cannot be had keeps none of the others waiting.
          await this.#fillOne(name, count).catch((error) => failures.set(name, firstLine(error)));
        }
      }
    } catch {
      // The store is closed: it is over.
    }
    this.problems = failures;
    this.#pause = failures.size === 0 ? AGAIN : Math.min(2 * this.#pause, AGAIN_AT_MOST);
    if (this.#closing.signal.aborted) return;
    this.#later = setTimeout(() => this.refill(), this.#pause);
    this.#later.unref();
  }

  async #fillOne(name: string, count: number): Promise<void> {
    for (;;) {
      const waiting = (await this.#connections.list()).filter(({ holder }) => holder === undefined);
      const ready = waiting.filter((one) => this.#own.has(one.name) && one.note.network.name === name);
      if (ready.length === count || this.#closing.signal.aborted) return;
      const [spare] = ready;
      if (ready.length > count && spare !== undefined) {
        await this.#connections.free(spare);
        this.#own.delete(spare.name);
        continue;
      }
      const network = await this.#networks.find(name);
      const wanted = { network, ports: [], names: [], dns: [] };
      const made = await this.#connections.connect(undefined, wanted, this.#closing.signal);
      this.#own.add(made.name);
    }
  }

  /** Those that nobody has taken go. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#later);
    await this.#filling;
    if (this.#own.size === 0) return;
    for (const one of await this.#connections.list()) {
      if (one.holder !== undefined || !this.#own.has(one.name)) continue;
      // What cannot be taken away now, the next recovery takes.
      await this.#connections.free(one).catch(() => undefined);
    }
  }
}
