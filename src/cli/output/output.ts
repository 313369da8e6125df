import { failureJson, failureText } from './failure-report.js';
import type { PullDisplay } from './pull-display.js';
import { formatTable } from './table.js';
import { terminalJson, terminalText } from './terminal-text.js';

/** Where text goes; `process.stdout` and `process.stderr` outside of tests. */
export interface TextStream {
  /** @returns false when it is time to wait until what was written is through */
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
  /** Of a stream of Node: `drain` when it may go on, `close` and `error` when nobody reads any more. */
  on?(event: string, listener: (error?: NodeJS.ErrnoException) => void): unknown;
  off?(event: string, listener: (error?: NodeJS.ErrnoException) => void): unknown;
}

export interface OutputOptions {
  readonly stdout: TextStream;
  readonly stderr: TextStream;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly debug: boolean;
}

/**
 * All that a command says. Results go to stdout: lines and tables for people, or one document with `--json`; a command offers both and
 * the mode picks. Errors, warnings and progress go to stderr.
 */
export class Output {
  readonly #options: OutputOptions;
  /** What draws on the terminal of stderr has to know of all that is written there. */
  #display: PullDisplay | undefined;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  /** Shows pulls from now on. */
  showPulls(display: PullDisplay): void {
    this.#display = display;
  }

  /** Nothing of a pull is shown any more. */
  hidePulls(): void {
    this.#display?.stop();
    this.#display = undefined;
  }

  /** One result for people, shown at once: what is shown has been done. */
  line(text: string): void {
    this.exactLine(terminalText(text));
  }

  /** A result that a script takes as it is: a path that the user chose, which must not be altered. */
  exactLine(text: string): void {
    const { stdout, json } = this.#options;
    // Often the same terminal.
    this.#display?.stop();
    if (!json) stdout.write(`${text}\n`);
  }

  /** A result that is to be the same bytes: a document as its maker wrote it. */
  exactText(text: string): void {
    this.#options.stdout.write(text);
  }

  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    const { stdout, json } = this.#options;
    if (!json) stdout.write(formatTable(headings, rows));
  }

  /** Whether results are for programs. */
  get isJson(): boolean {
    return this.#options.json;
  }

  /** One of many results that come one after the other: a line of JSON. @param value made only when it is wanted */
  event(value: () => unknown): void {
    if (this.#options.json) this.#options.stdout.write(`${terminalJson(JSON.stringify(value()))}\n`);
  }

  /** The command's one document. @param value made only when it is wanted */
  document(value: () => unknown): void {
    if (this.#options.json) this.printDocument(value());
  }

  /** A document whatever the mode: for a command whose result is JSON by nature. */
  printDocument(value: unknown): void {
    this.#options.stdout.write(`${terminalJson(JSON.stringify(value, undefined, 2))}\n`);
  }

  failure(error: unknown): void {
    const { stderr, json, debug } = this.#options;
    this.#display?.stop();
    stderr.write(json ? failureJson(error, debug) : failureText(error, debug));
  }

  warning(warning: {
    readonly code: string;
    readonly message: string;
    readonly details: Readonly<Record<string, string | number>>;
  }): void {
    const { stderr, json, quiet } = this.#options;
    if (quiet) return;
    const { code, message, details } = warning;
    const text = json
      ? terminalJson(JSON.stringify({ warning: { code, message, details } }))
      : `warning: ${terminalText(message)}`;
    if (this.#display === undefined) stderr.write(`${text}\n`);
    else this.#display.note(text);
  }

  /** What can be done about a result, for people. */
  hint(text: string): void {
    const { stderr, json, quiet } = this.#options;
    if (!quiet && !json) stderr.write(`hint: ${terminalText(text)}\n`);
  }

  /** What goes on, for people who wait; pulls have a display of their own. */
  progress(text: string): void {
    const { stderr, json, quiet } = this.#options;
    if (!quiet && !json) stderr.write(`${terminalText(text)}\n`);
  }
}
