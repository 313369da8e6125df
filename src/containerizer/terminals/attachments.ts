import { setTimeout as sleep } from 'node:timers/promises';
import { anySignal } from '../../base/any-signal.js';
import { throwIfAborted } from '../../base/errors.js';
import type { LaunchRecord } from '../../index.js';
import type { Attachment, AttachOptions, Launched } from '../containerizer.js';
import type { Endings } from '../launches/endings.js';
import { launchOf } from '../launches/launch-of.js';
import type { Started } from '../launches/launcher.js';
import type { LogEntry } from '../logs/log-entry.js';
import { GrowingLog, type LogSelection, readLog, readLogFromNowOn, releasing } from '../logs/read-log.js';
import { joinTerminal } from './join-terminal.js';
import type { OpenTerminal } from './terminal.js';

/** Milliseconds in which a program takes notice of a size before it gets another one. */
const NOTICE = 20;

const eitherOf = (signal: AbortSignal | undefined, other: AbortSignal): AbortSignal =>
  signal === undefined ? other : anySignal([signal, other]);

/** Who reads what containers print, and sits at their terminals. What a terminal shows comes from the log, too: so a program waits for nobody who reads it. */
export class Attachments {
  readonly #endings: Endings;

  constructor(endings: Endings) {
    this.#endings = endings;
  }

  /** From now on what was printed stays until it has been read, or whoever reads has seen enough. */
  output(launch: LaunchRecord, selection: LogSelection): AsyncIterable<LogEntry> {
    const log = new GrowingLog(this.#endings.directory(launch.id), selection.since);
    return this.#read(launch, selection, log, () => undefined);
  }

  /** @param over is told when it has been read, or whoever reads has seen enough */
  #read(launch: LaunchRecord, selection: LogSelection, log: GrowingLog, over: () => void): AsyncIterable<LogEntry> {
    const release = this.#endings.holdOutput(launch.id);
    const given = new AbortController();
    const signal = eitherOf(selection.signal, given.signal);
    const entries = readLog(this.#endings.directory(launch.id), { ...selection, signal }, this.#ended(launch), log);
    return releasing(entries, given, () => {
      release();
      over();
    });
  }

  /** What somebody gets who has started it, or found it started. @param attach whether he reads along @param since what of the output is new; undefined for all */
  launched(
    { launch, stdin }: Pick<Started, 'launch'> & Partial<Pick<Started, 'stdin'>>,
    attach: boolean | undefined,
    since: Date | undefined,
  ): Launched {
    const told = launchOf(launch);
    const log = new GrowingLog(this.#endings.directory(launch.id), since);
    const terminal = attach === true && told.hasTerminal ? this.#terminalOf(launch, log) : undefined;
    const output =
      attach === true ? this.#read(launch, { follow: true, since }, log, () => terminal?.close()) : undefined;
    return {
      ...told,
      ...(stdin === undefined ? {} : { stdin }),
      ...(terminal === undefined ? {} : { terminal }),
      ...(output === undefined ? {} : { output }),
    };
  }

  /** @throws ProvisionerError `ERR_NO_TERMINAL`, `ERR_CONTAINER_NOT_RUNNING` */
  async attach(launch: LaunchRecord, { size, signal }: AttachOptions): Promise<Attachment> {
    throwIfAborted(signal);
    const directory = this.#endings.directory(launch.id);
    const joined = joinTerminal(launch, directory);
    const release = this.#endings.holdOutput(launch.id);
    const given = new AbortController();
    const enough = eitherOf(signal, given.signal);
    const log = await readLogFromNowOn(directory, this.#ended(launch), enough).catch((error) => {
      joined.close();
      release();
      throw error;
    });
    // Whichever comes first: it has been read, its reader or its caller has seen enough, or has got up. Somebody may never have begun to read.
    const over = () => {
      enough.removeEventListener('abort', over);
      log.close();
      release();
      joined.close();
    };
    enough.addEventListener('abort', over);
    const output = releasing(log.entries, given, over);
    const terminal = { ...joined, passOver: () => log.log.passOver(), close: () => given.abort() };
    if (enough.aborted) over();
    else if (size !== undefined) {
      // Programs draw the screen anew when it changes, and not when they are told the size that it has.
      terminal.resize({ ...size, rows: size.rows === 1 ? 2 : size.rows - 1 });
      await sleep(NOTICE);
      terminal.resize(size);
    }
    return { terminal, output };
  }

  #ended(launch: LaunchRecord): Promise<unknown> {
    return launch.state === 'exited' ? Promise.resolve() : this.#endings.watch(launch);
  }

  /** Undefined for one that has ended already. */
  #terminalOf(launch: LaunchRecord, log: GrowingLog): OpenTerminal | undefined {
    try {
      return { ...joinTerminal(launch, this.#endings.directory(launch.id)), passOver: () => log.passOver() };
    } catch {
      return undefined;
    }
  }
}
