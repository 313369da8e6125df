import type { LIBRARY_COUNTERS } from './library-counters.js';

/**
 * The shape of the tables in which counters are declared. All are plain numbers that begin with 0 when a provisioner is opened and never go back, so that whoever
 * exports them can take the difference of two looks. A wing adds its own as it adds codes: see `ErrorTable`.
 */
export type CounterTable = Readonly<Record<string, CounterEntry>>;

export interface CounterEntry {
  /** One sentence: what is counted, by this provisioner alone. */
  readonly meaning: string;
  readonly unit: string;
}

/** All tables of counters, by who declares them. */
export interface CounterTables {
  readonly library: typeof LIBRARY_COUNTERS;
}

export type CounterName = { [Owner in keyof CounterTables]: keyof CounterTables[Owner] }[keyof CounterTables];

/** What has been counted so far, one number a counter: docs/errors.md has the meaning and the unit of each. */
export type Counters = Readonly<Record<CounterName, number>>;
