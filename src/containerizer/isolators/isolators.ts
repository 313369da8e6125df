import type { LaunchLimits } from '../launch-spec.js';
import type { AttendedContainer, IsolatedLaunch, IsolatedSpec, Isolator } from './isolator.js';

/** Several as one: they prepare in their order, and each cleans up whatever becomes of the others. */
export class Isolators implements Isolator {
  readonly #isolators: readonly Isolator[];

  constructor(isolators: readonly Isolator[]) {
    this.#isolators = isolators;
  }

  async prepare(
    launch: IsolatedLaunch,
    isolated: IsolatedSpec,
    signal: AbortSignal | undefined,
  ): Promise<IsolatedSpec> {
    let last = isolated;
    for (const isolator of this.#isolators) last = await isolator.prepare(launch, last, signal);
    return last;
  }

  async bundled(launch: IsolatedLaunch, isolated: IsolatedSpec): Promise<void> {
    for (const isolator of this.#isolators) await isolator.bundled?.(launch, isolated);
  }

  async update(launch: IsolatedLaunch, limits: LaunchLimits, change: () => Promise<void>): Promise<void> {
    let whole = change;
    for (const isolator of this.#isolators.toReversed()) {
      const inner = whole;
      if (isolator.update !== undefined) whole = () => isolator.update?.(launch, limits, inner) ?? inner();
    }
    await whole();
  }

  async attend(launch: IsolatedLaunch, over: AbortSignal, container: AttendedContainer): Promise<void> {
    await this.#each(async (isolator) => isolator.attend?.(launch, over, container));
  }

  async cleanUp(launch: IsolatedLaunch): Promise<void> {
    await this.#each((isolator) => isolator.cleanUp(launch));
  }

  async recover(unended: () => Promise<ReadonlySet<string>>): Promise<string[]> {
    const swept: string[] = [];
    await this.#each(async (isolator) => {
      swept.push(...(await isolator.recover(unended)));
    });
    return swept;
  }

  async close(): Promise<void> {
    await this.#each((isolator) => isolator.close());
  }

  /** @throws what the first of those that fail throws, when all have been asked */
  async #each(work: (isolator: Isolator) => Promise<void>): Promise<void> {
    const outcomes = await Promise.allSettled(this.#isolators.map(work));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }
}
