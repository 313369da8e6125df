import { ProvisionerError } from '../base/errors.js';
import { type FailedEntry, Provisioner } from '../index.js';
import { Failures } from './failures.js';
import type { GlobalFlags, StoreFlags } from './flags.js';
import type { HostProcess } from './host-process.js';
import { Output } from './output/output.js';
import { parseAge } from './output/parse-units.js';
import { type BarTerminal, PullBars } from './output/pull-bars.js';
import type { PullDisplay, PullEvent } from './output/pull-display.js';
import { PullLines } from './output/pull-lines.js';
import { PullNdjson } from './output/pull-ndjson.js';
import { UsageError } from './usage-error.js';

/** What a command works with that opens no store. */
export interface StorelessSession {
  readonly output: Output;
  readonly signal: AbortSignal;
  /** The command did its work, and what came of it is no success: the exit status is 1. */
  unsuccessful(): void;
  /** The exit status that stands for what came of the work: that of a program. What fails later makes it 1 only where it is 0. */
  exitWith(status: number): void;
  /**
   * Does the same for each of several arguments, in their order. One that fails is reported, makes the exit status 1, and does not stop the
   * others; an interruption does.
   * @returns the results of those that succeeded
   */
  each<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]>;
  /**
   * The same for what may take long and does not depend on each other: all of it is begun at once, and told in the order of the arguments.
   * @param tell what was done, as soon as all that stand before it have been told @returns what `tell` made of those that succeeded
   */
  eachAtOnce<Item, Done, Result>(
    items: readonly Item[],
    work: (item: Item) => Promise<Done>,
    tell: (done: Done, item: Item) => Result,
  ): Promise<Result[]>;
}

/** What a command works with while its store is open. */
export interface Session extends StorelessSession {
  readonly provisioner: Provisioner;
  /** Something could not be done while all the rest was: reports each, and the exit status is 1. */
  failed(entries: readonly (FailedEntry | Error)[]): void;
}

/** @returns the exit status; every failure has been reported */
export async function withoutStore(
  { stdout, stderr, signal }: HostProcess,
  { json = false, quiet = false, debug = false }: GlobalFlags,
  work: (session: StorelessSession) => Promise<void>,
): Promise<number> {
  const output = new Output({ stdout, stderr, json, quiet, debug });
  const failures = new Failures(output, signal);
  try {
    await work({
      output,
      signal,
      unsuccessful: () => failures.note(),
      exitWith: (status) => failures.exitWith(status),
      each: (items, task) => failures.each(items, task),
      eachAtOnce: (items, task, tell) => failures.eachAtOnce(items, task, tell),
    });
  } catch (error) {
    failures.report(error);
  }
  return failures.exitStatus;
}

/** @returns the exit status; every failure has been reported */
export async function withSession(
  { stdout, stderr, environment, signal }: HostProcess,
  flags: GlobalFlags & StoreFlags,
  work: (session: Session) => Promise<void>,
): Promise<number> {
  const {
    json = false,
    quiet = false,
    debug = false,
    owner,
    maxDownloads,
    tarRecords,
    leaveSweep = false,
    reportsSweep = false,
  } = flags;
  const { unsafeNoSync = false, allowDegraded = false, allowOtherFiles = false, create = false } = flags;
  const show = progressKind(flags.progress, { json, quiet, stderr, environment });
  const root = storeRoot(flags.root, environment);
  const lockTimeout = flags.lockTimeout === undefined ? undefined : parseAge(flags.lockTimeout, '--lock-timeout');
  const output = new Output({ stdout, stderr, json, quiet, debug });
  const failures = new Failures(output, signal);
  let isOpened = false;
  try {
    const making = { create, allowDegraded, allowOtherFiles };
    const provisioner = await Provisioner.open({
      root,
      owner,
      unsafeNoSync,
      lockTimeout,
      maxDownloads,
      tarRecords,
      ...making,
    });
    isOpened = true;
    showEvents(provisioner, { output, stderr, show, signal, reportsSweep });
    try {
      const unsuccessful = () => failures.note();
      const exitWith = (status: number) => failures.exitWith(status);
      const failed: Session['failed'] = (entries) => {
        for (const entry of entries) failures.report(entry instanceof Error ? entry : errorOf(entry));
      };
      const each: Session['each'] = (items, task) => failures.each(items, task);
      const eachAtOnce: Session['eachAtOnce'] = (items, task, tell) => failures.eachAtOnce(items, task, tell);
      await work({ provisioner, output, signal, unsuccessful, exitWith, failed, each, eachAtOnce });
    } catch (error) {
      failures.report(error);
    } finally {
      output.hidePulls();
      await provisioner.close({ sweep: leaveSweep ? 'leave' : 'finish' });
    }
  } catch (error) {
    failures.report(error);
    if (!isOpened && !signal.aborted && flags.unopened !== undefined) failures.exitWith(flags.unopened);
  }
  return failures.exitStatus;
}

/** As it would have been thrown, had it been the only thing to do. */
function errorOf({ path, code, message, hint }: FailedEntry): ProvisionerError {
  const text = message.includes(path) ? message : `${path}: ${message}`;
  return new ProvisionerError(code, text, { ...(hint === null ? {} : { hint }), details: { path } });
}

function storeRoot(flag: string | undefined, environment: HostProcess['environment']): string | undefined {
  // Most likely an unset variable in a script; the working directory, which it would name, is nobody's store.
  if (flag === '') throw new UsageError('--root is empty', 'write --root DIR, or leave it out for the default store');
  return flag ?? (environment['PROVISIONER_ROOT'] || undefined);
}

/** Ten lines for a check, however many layers there are. */
function isNews(done: number, total: number): boolean {
  return Math.floor((done * 10) / total) !== Math.floor(((done - 1) * 10) / total);
}

type ProgressKind = Exclude<StoreFlags['progress'], undefined>;

function progressKind(
  wanted: ProgressKind | undefined,
  {
    json,
    quiet,
    stderr,
    environment,
  }: Pick<HostProcess, 'stderr' | 'environment'> & Pick<Required<GlobalFlags>, 'json' | 'quiet'>,
): ProgressKind {
  if (json && (wanted === 'bar' || wanted === 'plain')) {
    throw new UsageError(
      `--progress ${wanted} does not go with --json, whose stderr is for programs`,
      'write --progress json to have progress as events, or leave --progress out to have none',
    );
  }
  if (quiet) return 'none';
  const canDraw = stderr.isTTY === true && environment['TERM'] !== 'dumb';
  const kind = wanted ?? (json ? 'none' : 'bar');
  return kind === 'bar' && !canDraw ? 'plain' : kind;
}

function makeDisplay(show: ProgressKind, stderr: HostProcess['stderr']): PullDisplay | undefined {
  switch (show) {
    case 'bar':
      return new PullBars(stderr as BarTerminal);
    case 'plain':
      return new PullLines((line) => stderr.write(`${line}\n`));
    case 'json':
      return new PullNdjson((line) => stderr.write(`${line}\n`));
    case 'none':
      return undefined;
  }
}

function showEvents(
  { events }: Provisioner,
  {
    output,
    stderr,
    show,
    signal,
    reportsSweep,
  }: {
    output: Output;
    stderr: HostProcess['stderr'];
    show: ProgressKind;
    signal: AbortSignal;
    reportsSweep: boolean;
  },
): void {
  events.on('warning', (event) => {
    if (event.code !== 'SWEEP_FAILED' || !reportsSweep) output.warning(event);
  });
  events.on('checkProgress', ({ done, total }) => {
    if (!signal.aborted && isNews(done, total)) output.progress(`checked ${done} of ${total} layers`);
  });
  const display = makeDisplay(show, stderr);
  if (display === undefined) return;
  output.showPulls(display);
  // What a cancelled pull still reports while it is undone would come after the error, and read as if it went on.
  signal.addEventListener('abort', () => output.hidePulls(), { once: true });
  const tell = (event: PullEvent) => {
    if (!signal.aborted) display.show(event);
  };
  events.on('pullStarted', (event) => tell({ type: 'pullStarted', ...event }));
  events.on('pullWaiting', (event) => tell({ type: 'pullWaiting', ...event }));
  events.on('layerProgress', (event) => tell({ type: 'layerProgress', ...event }));
  events.on('pullFinished', (event) => tell({ type: 'pullFinished', ...event }));
  events.on('pullFailed', (event) => tell({ type: 'pullFailed', ...event }));
}
