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
