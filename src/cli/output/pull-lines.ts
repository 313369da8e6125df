import type { PullDisplay, PullEvent } from './pull-display.js';
import { PullProgress } from './pull-progress.js';
import { terminalText } from './terminal-text.js';

/** A pull in plain lines, for a file, a pipe, or a terminal that can do nothing else. */
export class PullLines implements PullDisplay {
  readonly #write: (text: string) => void;
  readonly #progress: PullProgress;

  /** @param write a line without its end */
  constructor(write: (line: string) => void) {
    this.#write = write;
    this.#progress = new PullProgress((line) => write(terminalText(line)));
  }

  show(event: PullEvent): void {
    this.#progress.show(event);
  }

  note(text: string): void {
    this.#write(text);
  }

  stop(): void {}
}
