import type { Writable } from 'node:stream';
import type { TerminalSize } from '../launch-spec.js';

/** The side of a program's terminal on which somebody sits. */
export interface OpenTerminal {
  /** What is typed, as a terminal sends it: control characters mean there what they mean in a terminal. It waits while the program reads nothing. */
  readonly input: Writable;
  /** The program is told with SIGWINCH, also while it reads nothing. Nothing happens to one that has ended. @throws ProvisionerError `ERR_BAD_OPTION` */
  resize(size: TerminalSize): void;
  /** What has been printed until now, and nobody has read yet, is for nobody any more. Of what `exec` runs next to nothing is like that. */
  passOver(): void;
  /** Lets go at once; what the program has not taken is lost. A container's own program is not told; what `exec` runs is hung up. */
  close(): void;
}
