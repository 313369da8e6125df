import type { Readable } from 'node:stream';
import { firstLine, isProvisionerError, isShortage, systemCode } from '../../base/errors.js';
import type { ExecOptions, Execution, ExecutionEnd } from '../containerizer.js';
import { CHECK_MARK } from './end-check.js';
import type { CheckOutcome, HealthClock } from './health-loop.js';
import type { HealthSettings } from './health-settings.js';

/** By which means a check is run. */
export interface CheckRun {
  readonly settings: Pick<HealthSettings, 'command' | 'timeout'>;
  readonly clock: HealthClock;
  exec(command: readonly string[], options: ExecOptions): Promise<Execution>;
  /** Throws nothing. */
  isHalted(): boolean;
  /** Kills all that it has started. */
  end(id: string): Promise<void>;
}

/** Milliseconds between looks whether it stands still, which counts for no part of its time. */
const LOOK = 100;
/** Bytes of output. */
const OUTPUT_KEPT = 4096;
/** So many bytes are read at once, and with these pauses in milliseconds so fast, of what nobody keeps. */
const FLOOD = 2 ** 16;
const FLOOD_PAUSE = 10;
/** As shells and Docker tell it. */
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/**
 * Runs one check, and kills it with all that it has started when its time is over, or the signal aborts.
 * @returns undefined where it says nothing: it has failed, and stood still meanwhile, or it could not be run since the container is not running
 */
export async function runCheck(run: CheckRun, id: string, signal: AbortSignal): Promise<CheckOutcome | undefined> {
  const { settings, clock } = run;
  const over = new AbortController();
  const output = new KeptOutput(clock);
  let hasStood = false;
  let isLate = false;
  let left = settings.timeout;
  let giveUp = () => {};
  const kill = async () => {
    await run.end(id).catch(() => undefined);
    // Where its runtime has not begun it yet, that is ended.
    over.abort();
  };
  const look = (waited: number) => {
    if (run.isHalted()) hasStood = true;
    else left -= waited;
    if (left > 0) return wait();
    isLate = true;
    void kill();
  };
  const wait = () => {
    const time = Math.min(left, LOOK);
    giveUp = clock.after(time, () => look(time));
  };
  const abort = () => void kill();
  let execution: Execution | undefined;
  signal.addEventListener('abort', abort, { once: true });
  wait();
  try {
    if (signal.aborted) return undefined;
    execution = await run.exec(settings.command, { env: { [CHECK_MARK]: id }, signal: over.signal });
    output.take(execution.stdout);
    output.take(execution.stderr);
    const end = await execution.ended;
    hasStood ||= run.isHalted();
    if (end.code !== 0 && hasStood) return undefined;
    return { ...outcomeOf(end, isLate), output: output.text() };
  } catch (error) {
    if (hasStood || run.isHalted() || isProvisionerError(error, 'ERR_CONTAINER_NOT_RUNNING')) return undefined;
    return isLate ? { reason: 'time-limit', output: output.text() } : failureOf(error);
  } finally {
    giveUp();
    output.close();
    // What it has left running may print for ever.
    execution?.stdout.destroy();
    execution?.stderr.destroy();
    signal.removeEventListener('abort', abort);
  }
}

function outcomeOf({ code, signal }: ExecutionEnd, isLate: boolean): Omit<CheckOutcome, 'output'> {
  if (isLate) return { reason: 'time-limit' };
  return code === undefined ? { signal, reason: 'killed' } : { code, reason: 'exited' };
}

function failureOf(error: unknown): CheckOutcome {
  const output = firstLine(error);
  if (isProvisionerError(error, 'ERR_COMMAND_NOT_FOUND')) return { code: NOT_FOUND, reason: 'failed', output };
  if (isProvisionerError(error, 'ERR_COMMAND_NOT_EXECUTABLE'))
    return { code: NOT_EXECUTABLE, reason: 'failed', output };
  return { reason: isOfThisMachine(error) ? 'not-run' : 'failed', output };
}

/** A full disk, or no descriptor left in this process, makes no container unhealthy. What a runtime says of it is told in words, and of the container. */
const isOfThisMachine = (error: unknown): boolean => systemCode(error) !== undefined || isShortage(error);

/** The first of what a check prints. The rest is read all the same, at a pace that leaves this process to others. */
class KeptOutput {
  readonly #clock: HealthClock;
  readonly #pieces: Buffer[] = [];
  readonly #pauses = new Set<() => void>();
  #kept = 0;

  constructor(clock: HealthClock) {
    this.#clock = clock;
  }

  take(from: Readable): void {
    let passed = 0;
    from.on('data', (piece: Buffer) => {
      const some = piece.subarray(0, OUTPUT_KEPT - this.#kept);
      // A copy: the piece is a part of a large one.
      if (some.length > 0) this.#pieces.push(Buffer.from(some));
      this.#kept += some.length;
      passed += piece.length;
      if (passed < FLOOD) return;
      passed = 0;
      from.pause();
      const giveUp = this.#clock.after(FLOOD_PAUSE, () => {
        this.#pauses.delete(goOn);
        from.resume();
      });
      const goOn = () => {
        giveUp();
        from.resume();
      };
      this.#pauses.add(goOn);
    });
    from.on('error', () => undefined);
  }

  text(): string {
    return Buffer.concat(this.#pieces).toString('utf8');
  }

  close(): void {
    for (const goOn of this.#pauses) goOn();
  }
}
