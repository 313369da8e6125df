import { failureJson } from './failure-report.js';
import type { PullDisplay, PullEvent } from './pull-display.js';
import { terminalJson } from './terminal-text.js';

/** A pull as one JSON document per line, `{"progress":{"type":"layerProgress",…}}`: for programs. `docs/cli.md` promises the shapes. */
export class PullNdjson implements PullDisplay {
  readonly #write: (text: string) => void;

  /** @param write a line without its end */
  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  show(event: PullEvent): void {
    this.#write(terminalJson(JSON.stringify({ progress: document(event) })));
  }

  note(text: string): void {
    this.#write(text);
  }

  stop(): void {}
}

function document(event: PullEvent): object {
  if (event.type !== 'pullFailed') return event;
  // As an error is shown elsewhere: an Error as such has no fields to see.
  return { ...event, ...(JSON.parse(failureJson(event.error, false)) as object) };
}
