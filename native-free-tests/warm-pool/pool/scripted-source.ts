import { Pool } from '#src/warm-pool/pool/pool.js';
import type { PoolOptions } from '#src/warm-pool/pool/pool-setup.js';
import type { PoolEvent, PoolSource } from '#src/warm-pool/pool/pool-source.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';

/** What follows at once from what was done has happened. */
export async function settled(): Promise<void> {
  for (let turns = 0; turns < 3; turns++) await new Promise((resolve) => setImmediate(resolve));
}

/** A promise that a test keeps or breaks. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((kept, broken) => {
    resolve = kept;
    reject = broken;
  });
  return { promise, resolve, reject };
}

export interface Creating {
  readonly signal: AbortSignal;
  /** @returns the name of what was made */
  readonly succeed: () => string;
  readonly fail: (error?: unknown) => void;
}

/** Makes names, and what becomes of them is up to the test. */
export class ScriptedSource implements PoolSource<string, string, string> {
  /** All that were begun, in their order. */
  readonly begun: Creating[] = [];
  /** What happened to what was made: `destroyed a1`, `handed out a2 to me`. */
  readonly deeds: string[] = [];
  readonly faults = new Map<string, string>();
  readonly memory = new Map<string, number>();
  readonly looked: string[] = [];
  /** Creators succeed at once. */
  isQuick = true;
  /** Undefined: at once. */
  handingOut: (() => Promise<boolean>) | undefined;
  destroying: (() => Promise<void>) | undefined;
  readonly #prefix: string;
  #made = 0;

  constructor(prefix = 'a') {
    this.#prefix = prefix;
  }

  create(signal: AbortSignal): Promise<string> {
    const { promise, resolve, reject } = deferred<string>();
    const succeed = () => {
      const name = `${this.#prefix}${++this.#made}`;
      resolve(name);
      return name;
    };
    this.begun.push({ signal, succeed, fail: (error = new Error('it cannot be made')) => reject(error) });
    if (this.isQuick) succeed();
    return promise;
  }

  async destroy(made: string): Promise<void> {
    await this.destroying?.();
    this.deeds.push(`destroyed ${made}`);
  }

  async discard(made: string): Promise<void> {
    this.deeds.push(`discarded ${made}`);
  }

  async fault(made: string): Promise<string | undefined> {
    this.looked.push(made);
    return this.faults.get(made);
  }

  async handOut(made: string, how: string): Promise<string | undefined> {
    if (this.handingOut !== undefined && !(await this.handingOut())) return undefined;
    this.deeds.push(`handed out ${made} to ${how}`);
    return made;
  }

  costOf(made: string) {
    return { memory: this.memory.get(made) ?? 0, disk: 0 };
  }

  nameOf(made: string): string {
    return made;
  }
}

export type ScriptedPool = Pool<string, string, string>;

/** A pool of names, whose time stands still until the test steps on. What is told is written as `claimed a1`. */
export function poolOf(
  options: Partial<PoolOptions<string, string, string>> = {},
  source = new ScriptedSource(),
  clock = new SteppedClock(),
) {
  const events: PoolEvent[] = [];
  const pool: ScriptedPool = new Pool({
    ...{ source, clock, size: { min: 2, max: 2 }, random: () => 0.5, mayCreate: () => true },
    tell: (event) => events.push(event),
    ...options,
  });
  return { pool, source, clock, events, told: () => events.splice(0).map(wordsOf) };
}

function wordsOf(event: PoolEvent): string {
  const { kind } = event;
  if (kind === 'retired') return `retired ${event.container}: ${event.reason}`;
  return 'container' in event ? `${kind} ${event.container}` : kind;
}
