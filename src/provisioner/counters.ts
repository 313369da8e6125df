import type { CounterName, Counters } from '../base/codes/counter-tables.js';
import { COUNTER_TABLES } from '../code-lists.js';
import type { ProvisionerEmitter } from '../events.js';
import type { PruneReport } from '../prune/pruner.js';

/** All counters of all tables, those that have not moved as well. Frozen: a look, which does not change with what goes on. */
export function readCounters(events: ProvisionerEmitter): Counters {
  const names = Object.values(COUNTER_TABLES).flatMap((table) => Object.keys(table) as CounterName[]);
  return Object.freeze(
    Object.fromEntries(names.map((name) => [name, events.counted(name)])) as Record<CounterName, number>,
  );
}

/** @param report of a prune that was no dry run */
export function countPrune(events: ProvisionerEmitter, { images, layers }: PruneReport): void {
  const gone = (judged: PruneReport['images'] | PruneReport['layers']) =>
    judged.filter(({ reasons }) => reasons.length === 0).length;
  events.count('prunes');
  events.count('prunedImages', gone(images));
  events.count('prunedLayers', gone(layers));
}
