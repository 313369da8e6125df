import type { Readable } from 'node:stream';
import type { TerminalSize } from '../containerizer/index.js';
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
  /** Has something done, within a second, when this process is to end at once, by a second interruption. @returns has it not be done any more */
  readonly beforeImpatientEnd?: (deed: () => Promise<unknown>) => () => void;
  /** Listens to other signals that this process gets. @returns ends that */
  readonly onSignals?: (names: readonly NodeJS.Signals[], heard: (name: NodeJS.Signals) => void) => () => void;
  /** The one that somebody sits at. */
  readonly terminal?: HostTerminal;
}

export interface HostTerminal {
  /** Undefined where nothing that is printed goes to a terminal. */
  size(): TerminalSize | undefined;
  /** @returns ends that */
  onResize(heard: () => void): () => void;
  /** Each key comes as it is, and each byte is printed as it is. @returns has it be as it was; nothing happens where what is read is no terminal */
  makeRaw(): Promise<() => void>;
}
