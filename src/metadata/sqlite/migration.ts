/** One step from a version of the schema to the next: a section's, or those of all sections together. */
export interface Migration {
  /** The version it leads to. */
  readonly version: number;
  readonly sql: string;
}
