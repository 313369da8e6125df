/** Options that every command takes. */
export interface GlobalFlags {
  readonly root?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
  readonly unsafeNoSync?: boolean;
  readonly allowDegraded?: boolean;
  readonly allowOtherFiles?: boolean;
  /** An age. */
  readonly lockTimeout?: string;
}

export interface StoreFlags {
  /** Make a store where there is none: for commands that put something into one. Default: false, and that is refused. */
  readonly create?: boolean | undefined;
  /** Leave what is not deleted yet to a later sweep when the store is closed. Default: false. */
  readonly leaveSweep?: boolean | undefined;
  /** The command waits for the sweep and reports what it could not delete, so that this is no warning besides. Default: false. */
  readonly reportsSweep?: boolean | undefined;
  /** How pulls are shown on stderr. Default: `bar` on a terminal, else `plain`; `none` with `--json`. */
  readonly progress?: 'bar' | 'plain' | 'json' | 'none' | undefined;
  /** Layers that are fetched at a time. Default: the library's. */
  readonly maxDownloads?: number | undefined;
  /** Keep what is needed to make archives of layers again. Default: the library's. */
  readonly tarRecords?: boolean | undefined;
  /** The exit status when the store cannot be opened. Default: 1. */
  readonly unopened?: number | undefined;
  /** Whom new containers belong to. Default: the library's. */
  readonly owner?: string | undefined;
}
