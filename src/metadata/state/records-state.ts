/** What the records say of themselves: whether they tell of everything, stand in their place, are sound, and how many there are. */
export interface RecordsState {
  /**
   * Why the records do not tell of everything in the store, until `setRecordsGap(undefined)`: then what stands on disk without a record may be in use.
   * @throws ProvisionerError as `requireInPlace`
   */
  recordsGap(): Promise<RecordsGap | undefined>;
  setRecordsGap(gap: RecordsGap | undefined): Promise<void>;
  /**
   * To be asked before work, and, with the store's lock held, before anything is removed because no record names it. Costs one look at a path.
   * @throws ProvisionerError `ERR_STORE_DAMAGED` when the records were deleted, or others put in their place, while they were open
   */
  requireInPlace(): void;
  /** How many images, layers and containers are recorded. */
  count(): Promise<RecordCounts>;
  /**
   * Looks for damage in the records' own storage, all of it: a call for when nobody waits.
   * @returns a sentence for each thing that is wrong; none for sound records
   */
  verify(): Promise<string[]>;
}

/** The records began anew on a store that had something in it already; or they were put back from a backup, or are those of another store. */
export type RecordsGap = 'lost' | 'older';

export interface RecordCounts {
  readonly images: number;
  readonly layers: number;
  readonly containers: number;
}
