/**
 * The shape of the tables in which codes of errors and warnings are declared. The types, `docs/errors.md` and the rule of what is worth another try all come from
 * them. A table stands in the room where its codes arise: `library-errors.ts` and `library-warnings.ts` beside this file have those that several rooms share,
 * and a room, or a wing, that has codes of its own adds them in three steps:
 *
 *   1. a file of its own declares them: `export const RUN_ERRORS = { ERR_RUN_LOST: { … } } as const satisfies ErrorTable;`
 *   2. the same file makes them known to the types, wherever they are thrown:
 *      `declare module '../base/codes/code-tables.js' { interface ErrorTables { readonly runs: typeof RUN_ERRORS } }`
 *   3. `src/code-lists.ts` lists the table (of a wing the file is `codes.ts` and imports nothing but `base`), where the compiler asks for it, and imports its file once more for its declarations.
 */
export type ErrorTable = Readonly<Record<`ERR_${string}`, ErrorEntry>>;

export interface ErrorEntry {
  /** One sentence: what has happened. */
  readonly meaning: string;
  /** One sentence that holds for all errors with this code. The `hint` of an error says more of the very case. */
  readonly whatToDo: string;
  /**
   * Whether the same call, made again later, may succeed although its caller has changed nothing, neither arguments nor settings: because what stood in its way is a
   * network, a lock, a shortage or the end of a process, which pass by themselves or by the work of others. It promises nothing, and says nothing of when.
   * False for what is the same the next time: what was asked for, what a source holds, what a store is, what the machine can do.
   */
  readonly retryable: boolean | RetryCondition;
}

/** For a code of which some errors are worth another try. */
export interface RetryCondition {
  /** When, as the end of a clause that begins with `when`. */
  readonly when: string;
  readonly holds: (details: Readonly<Record<string, unknown>>) => boolean;
}

export type WarningTable = Readonly<Record<string, WarningEntry>>;

export interface WarningEntry {
  /** One sentence: what the library chose to survive, and why that is safe. */
  readonly meaning: string;
  /** One sentence. */
  readonly whatToDo: string;
}

/** Whether an error with these details is worth another try. */
export function holdsFor(rule: ErrorEntry['retryable'], details: Readonly<Record<string, unknown>>): boolean {
  return typeof rule === 'boolean' ? rule : rule.holds(details);
}
