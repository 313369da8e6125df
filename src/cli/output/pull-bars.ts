import type { GenericBar, MultiBar } from 'cli-progress';
import type { LayerProgress } from '../../index.js';
import { formatLayerBar } from './layer-bar.js';
import type { PullDisplay, PullEvent } from './pull-display.js';
import { PullProgress } from './pull-progress.js';
import { terminalText } from './terminal-text.js';

/** A terminal that can move its cursor. */
export interface BarTerminal extends NodeJS.WritableStream {
  readonly columns?: number;
  readonly rows?: number;
}

type Bars = typeof import('cli-progress');

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
/** To the end of the line: what stood there before is longer perhaps. */
const ERASE = '\x1b[K';
const REDRAWS_PER_SECOND = 10;

/**
 * A pull on a terminal: a bar for each layer that is being worked on, and above them, for good, a line for each that has come to its end. Bars that have
 * no room wait for one. The state of the terminal is left alone (no hidden cursor, no wrapping switched off), so that nothing has to be put right after a
 * process that was killed.
 */
export class PullBars implements PullDisplay {
  readonly #terminal: BarTerminal;
  readonly #lines: PullProgress;
  /** The layers at work, in the order they began. */
  readonly #layers = new Map<string, LayerProgress>();
  readonly #bars = new Map<string, GenericBar>();
  #library: Bars | undefined;
  #loading = false;
  #drawing: MultiBar | undefined;
  /** What has a bar needs no line. */
  #muted = false;

  /** @param terminal it is written to and to nothing else */
  constructor(terminal: BarTerminal) {
    this.#terminal = terminal;
    this.#lines = new PullProgress((line) => {
      if (!this.#muted) this.#say(terminalText(line));
    });
  }

  show(event: PullEvent): void {
    if (event.type === 'layerProgress') this.#layer(event);
    else if (event.type === 'pullStarted' || event.type === 'pullWaiting') this.#lines.show(event);
    else {
      for (const [key, { pullId }] of this.#layers) if (pullId === event.pullId) this.#layers.delete(key);
      this.stop();
      this.#lines.show(event);
    }
  }

  note(text: string): void {
    this.stop();
    this.#terminal.write(`${text}\n`);
  }

  stop(): void {
    this.#drawing?.stop();
    this.#drawing = undefined;
    this.#bars.clear();
  }

  #layer(progress: LayerProgress): void {
    const key = `${progress.pullId} ${progress.layer}`;
    const over = progress.phase === 'done' || progress.phase === 'stored';
    if (over) this.#layers.delete(key);
    else this.#layers.set(key, progress);
    this.#muted = !over;
    this.#lines.layer(progress);
    this.#muted = false;
    const bar = this.#bars.get(key);
    if (over && bar !== undefined) {
      this.#bars.delete(key);
      this.#drawing?.remove(bar);
    } else bar?.update(0, progress);
    this.#draw();
  }

  /** Gives bars to layers, as far as there is room. */
  #draw(): void {
    if (this.#layers.size === 0) return;
    const library = this.#library;
    if (library === undefined) {
      if (!this.#loading) void this.#load();
      return;
    }
    const room = Math.max(1, (this.#terminal.rows ?? DEFAULT_ROWS) - 2);
    for (const [key, progress] of this.#layers) {
      if (this.#bars.size >= room) return;
      if (this.#bars.has(key)) continue;
      this.#drawing ??= new library.MultiBar({
        stream: this.#terminal,
        fps: REDRAWS_PER_SECOND,
        clearOnComplete: true,
        hideCursor: false,
        linewrap: true,
        forceRedraw: true,
        gracefulExit: false,
        format: (_options, _parameters, payload: LayerProgress) =>
          formatLayerBar(payload, this.#terminal.columns ?? DEFAULT_COLUMNS),
      });
      this.#bars.set(key, this.#drawing.create(1, 0, progress));
    }
  }

  async #load(): Promise<void> {
    this.#loading = true;
    try {
      const { default: library } = (await import('cli-progress')) as unknown as { default: Bars };
      this.#library = library;
    } catch {
      // An installation without it has no bars; the lines tell the rest.
      return;
    }
    this.#draw();
  }

  #say(line: string): void {
    if (this.#drawing === undefined) this.#terminal.write(`${line}\n`);
    else this.#drawing.log(`${line}${ERASE}\n`);
  }
}
