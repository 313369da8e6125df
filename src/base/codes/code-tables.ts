import type { LIBRARY_ERRORS } from './library-errors.js';
import type { LIBRARY_WARNINGS } from './library-warnings.js';

/** All tables of errors, by who declares them. */
export interface ErrorTables {
  readonly library: typeof LIBRARY_ERRORS;
}

/** All tables of warnings, by who declares them. */
export interface WarningTables {
  readonly library: typeof LIBRARY_WARNINGS;
}

type KeyOfEach<Tables> = { [Owner in keyof Tables]: keyof Tables[Owner] }[keyof Tables];

/** What a caller branches on. Messages are for people and may change; codes may not. */
export type ErrorCode = KeyOfEach<ErrorTables>;

export type WarningCode = KeyOfEach<WarningTables>;
