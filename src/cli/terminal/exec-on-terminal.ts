import { setTimeout as sleep } from 'node:timers/promises';
import { throwIfAborted } from '../../base/errors.js';
import type { Containerizer, ExecOptions } from '../../containerizer/index.js';
import type { HostProcess } from '../host-process.js';
import type { Session } from '../session.js';
import { sitDown } from './sit-down.js';

/** Milliseconds that a program has to end when its terminal is hung up. */
const HANG_UP_GRACE = 1000;

export interface WantedExec {
  readonly containerId: string;
  readonly words: readonly string[];
  /** What comes here is typed there. */
  readonly isTyping: boolean;
}

/** Runs a program more that has a terminal, and sits at it until it ends. When this process is to end before, the program is hung up, as when a window is closed. */
export async function execOnTerminal(
  session: Session,
  containers: Containerizer,
  { containerId, words, isTyping }: WantedExec,
  host: HostProcess,
  options: ExecOptions,
): Promise<void> {
  throwIfAborted(session.signal);
  const enough = new AbortController();
  const run = await containers.exec(containerId, words, { ...options, signal: enough.signal });
  run.stderr.destroy();
  const { terminal, stdout: output, ended } = run;
  if (terminal === undefined) throw new Error('an exec with a terminal has come without one');
  ended.catch(() => undefined);
  const sitting = {
    terminal,
    output,
    isTyping,
    isSized: true,
    endsInput: true,
    detachKeys: '',
    signal: session.signal,
  };
  if ((await sitDown(sitting, host)) !== 'over') {
    const isOver = await Promise.race([ended.then(() => true), sleep(HANG_UP_GRACE, false)]);
    if (!isOver) enough.abort();
    await ended;
    throwIfAborted(session.signal);
  }
  const { code, signal } = await ended;
  session.exitWith(code ?? 128 + (signal ?? 0));
}
