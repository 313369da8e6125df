import { ProvisionerError } from './errors.js';
import type { Rule } from './options/check-options.js';

/**
 * Something that is opened once, when it is first asked for, and let go when nothing that was opened with it is needed any more.
 * @typeParam Context what all services of an assembly have in common
 */
export interface Service<Context, T> {
  /** May be asynchronous: then whoever asks gets the promise. @param get another service that this one needs */
  readonly open: (context: Context, get: Get<Context>) => T;
  /** @param opened what `open` came to */
  readonly close?: (opened: Awaited<T>) => unknown;
}

export const SERVICE: Rule = {
  meant: 'an object with open, and close if it has one, that are functions',
  holds: (value) => {
    const { open, close } = (value ?? {}) as { readonly open?: unknown; readonly close?: unknown };
    return typeof open === 'function' && (close === undefined || typeof close === 'function');
  },
};

export type Get<Context> = <T>(service: Service<Context, T>) => T;

/**
 * Services with what they need of each other.
 *
 *   get(A) ──► A.open ──► get(B) ──► B.open        closing: A, then B
 *
 * Each is opened when somebody needs it and closed before what it needs, whatever became of the others. One that could not be opened is not tried again: whoever
 * asked has been told.
 */
export class Assembly<Context> {
  readonly #context: Context;
  /** What each came to; or throws why it did not. */
  readonly #opened = new Map<object, () => unknown>();
  /** How to let go of each, in the order in which they came to be whole. */
  readonly #closings: (() => unknown)[] = [];
  readonly #opening = new Set<Promise<unknown>>();
  #closed = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /** @throws what its `open` throws; ProvisionerError `ERR_CLOSED` for one that is not open when the others are being closed */
  readonly get = <T>(service: Service<Context, T>): T => {
    const opened = this.#opened.get(service) ?? this.#opener(service);
    this.#opened.set(service, opened);
    return opened() as T;
  };

  /** Whether nobody has asked for anything yet. */
  get isEmpty(): boolean {
    return this.#opened.size === 0;
  }

  /** One that somebody has asked for; undefined where nobody has, or it could not be opened. */
  async ifOpened<T>(service: Service<Context, T>): Promise<Awaited<T> | undefined> {
    try {
      return (await this.#opened.get(service)?.()) as Awaited<T> | undefined;
    } catch {
      return undefined;
    }
  }

  /** Lets go of all, the last one first. What is not open by then is not opened any more. @throws what the first one threw that could not be closed, when all have been tried */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#opening);
    await takeAll(this.#closings.splice(0).reverse());
  }

  #opener<T>(service: Service<Context, T>): () => T {
    if (this.#closed) throw new ProvisionerError('ERR_CLOSED', 'the provisioner has been closed');
    try {
      const opened = this.#open(service);
      return () => opened;
    } catch (error) {
      return () => {
        throw error;
      };
    }
  }

  #open<T>(service: Service<Context, T>): T {
    const opened = service.open(this.#context, this.get);
    if (!(opened instanceof Promise)) {
      this.#whole(service, opened as Awaited<T>);
      return opened;
    }
    const opening = opened.then((whole: Awaited<T>) => this.#whole(service, whole));
    this.#opening.add(opening);
    // Whoever asked for it is told why it failed.
    opening.catch(() => {}).finally(() => this.#opening.delete(opening));
    return opened;
  }

  #whole<T>({ close }: Service<Context, T>, opened: Awaited<T>): void {
    if (close !== undefined) this.#closings.push(() => close(opened));
  }
}

/**
 * Takes steps one after the other, each whatever became of those before it.
 * @throws what the first one that failed threw, when all have been taken
 */
export async function takeAll(steps: readonly (() => unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
