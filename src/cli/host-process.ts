import type { Readable } from 'node:stream';
import type { TextStream } from './output/output.js';

/** The process around the command line, so that tests can be another one. */
export interface HostProcess {
  /** Asked for only by a command that reads it. */
  readonly stdin: () => Readable & { readonly isTTY?: boolean };
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts with an `Interruption`. */
  readonly signal: AbortSignal;
  /** Listens to other signals that this process gets. @returns ends that */
  readonly onSignals?: (names: readonly NodeJS.Signals[], heard: (name: NodeJS.Signals) => void) => () => void;
}
