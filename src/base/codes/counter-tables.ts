import type { LIBRARY_COUNTERS } from './library-counters.js';

/** All tables of counters, by who declares them. */
export interface CounterTables {
  readonly library: typeof LIBRARY_COUNTERS;
}

export type CounterName = { [Owner in keyof CounterTables]: keyof CounterTables[Owner] }[keyof CounterTables];

/** What has been counted so far, one number a counter: docs/errors.md has the meaning and the unit of each. */
export type Counters = Readonly<Record<CounterName, number>>;
