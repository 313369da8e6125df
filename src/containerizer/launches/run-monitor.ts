import { closeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import type { LaunchRecord } from '../../index.js';
import { readPipe, writePipe } from '../../system/processes/pipe-streams.js';
import { toBytePath } from '../../system/syscalls/byte-path.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import type { RuntimeSpecConfig } from '../bundle/runtime-spec.js';
import { ContainerCgroup } from '../cgroups/container-cgroup.js';
import { monitorCgroups } from '../cgroups/monitor-cgroups.js';
import type { LaunchOptions } from '../containerizer.js';
import type { Machine } from '../machine.js';
import { monitorFile } from '../monitor/monitor-settings.js';
import { readOrEmpty } from '../read-or-empty.js';
import { hookError } from '../runtime/hook-complaint.js';
import { createArguments, type OciRuntime, runArguments, stateOf } from '../runtime/oci-runtime.js';
import { runtimeComplaint, startError } from '../runtime/runtime-complaint.js';
import { deadlineIn, heldDeadline } from './deadline.js';
import type { LaunchDirectory } from './kept/launch-directory.js';
import type { LaunchPlaceNote } from './kept/launch-notes.js';
import { secretsOf } from './secrets.js';

/** Milliseconds that a runtime has to start a program. */
const START_PATIENCE = 60_000;
/** Of a log that nobody limits. */
const DEFAULT_LOG_BYTES = 64 * 2 ** 20;

/** A launch whose bundle is written. */
export interface MonitoredLaunch {
  readonly launch: LaunchRecord;
  readonly place: LaunchPlaceNote;
  readonly runtime: OciRuntime;
  readonly directory: LaunchDirectory;
  /** The lock that the monitor is handed. */
  readonly alive: LockFile;
}

export interface RunningMonitor {
  readonly pid: number;
  /** What it tells of the start: resolves with its line, empty when it ended without one. */
  readonly told: Promise<string>;
  readonly ended: Promise<void>;
  /** Its number may be another one's soon. */
  hasEnded(): boolean;
  readonly stdin: Writable | undefined;
}

/** Starts the monitor of a launch, which starts the runtime. @param how isHeld: the program waits at the gate, and its time does not pass; isConnected: something is to be given back when it has ended @throws as `spawn` */
export async function runMonitor(
  machine: Machine,
  { launch, place, runtime, directory, alive }: MonitoredLaunch,
  options: LaunchOptions,
  { isHeld, isConnected }: { readonly isHeld: boolean; readonly isConnected: boolean },
): Promise<RunningMonitor> {
  const { processes, hierarchies, surroundings, parent, removal, closing } = machine;
  const { starter, sealedCopyOf } = machine.programs();
  const sealedRuntime = sealedCopyOf(runtime);
  const cgroup = new ContainerCgroup(hierarchies, place.cgroupsPath, surroundings);
  // Who reads along loses nothing: it is from the log that he reads. But what a terminal shows goes on for as long as somebody sits there.
  const isWhole = options.attach === true && options.terminal === undefined && options.log?.whenFull !== 'end';
  const { maxBytes = isWhole ? 0 : DEFAULT_LOG_BYTES, whenFull = 'rotate' } = options.log ?? {};
  const settings = monitorFile({
    container: launch.containerId,
    program: sealedRuntime === undefined ? runtime.program : '/proc/self/fd/5',
    runtime: runtime.name,
    arguments: (isHeld ? createArguments : runArguments)(runtime, launch.id, {
      log: directory.runtimeLog,
      bundle: directory.bundle,
      pidFile: directory.pid,
      consoleSocket: options.terminal === undefined ? undefined : '../console',
    }),
    hide: runtime.hide,
    join: monitorCgroups(hierarchies, toBytePath(parent)).map((directory) => `${directory}/cgroup.procs`),
    remove: [stateOf(runtime, launch.id), ...secretsPlaced(runtime, launch.id, options), ...cgroup.directories()],
    // What is connected is taken off with its end, also when nobody looks.
    after: options.remove === true || isConnected ? [...removal, launch.containerId] : [],
    terminal: options.terminal !== undefined,
    timeLimit: options.timeout !== undefined,
    logLimit: maxBytes,
    logEnds: whenFull === 'end',
    counters: cgroup.monitored(),
  });
  writeOwnFile(directory.monitor, settings);
  if (options.timeout !== undefined) {
    writeOwnFile(directory.deadline, (isHeld ? heldDeadline : deadlineIn)(options.timeout));
  }
  const telling = processes.openPipe();
  const stdin = options.stdin === 'pipe' && options.terminal === undefined ? processes.openPipe() : undefined;
  try {
    const from = stdin?.readEnd ?? 'null';
    const sealed = sealedRuntime === undefined ? [] : [sealedRuntime];
    const descriptors = [from, 'null', 'null', telling.writeEnd, alive.descriptor, ...sealed] as const;
    const { pid } = await starter.monitor(directory.path, descriptors);
    const ended = pipeEnd(telling.readEnd, closing);
    // Until it is waited for it stays a zombie, and its number is nobody else's; so it is waited for, too, where it outlives all that is open here and this process outlives it.
    let over = false;
    void processes
      .exitOf(pid, { ended: ended.closed, idle: closing })
      .then(() => {
        over = true;
      })
      .catch(() => undefined);
    return {
      hasEnded: () => over,
      pid,
      told: ended.firstLine,
      ended: ended.closed,
      stdin: stdin === undefined ? undefined : writePipe(stdin.writeEnd),
    };
  } catch (error) {
    closeSync(telling.readEnd);
    if (stdin !== undefined) closeSync(stdin.writeEnd);
    throw error;
  } finally {
    closeSync(telling.writeEnd);
    if (stdin !== undefined) closeSync(stdin.readEnd);
  }
}

/** Only where there are some has anybody looked whose the directory is that they lie in. */
function secretsPlaced(runtime: OciRuntime, launchId: string, { secrets = {} }: LaunchOptions): string[] {
  return Object.keys(secrets).length === 0 ? [] : [secretsOf(runtime, launchId)];
}

/**
 * @param command for messages @param devices that may have hooks, for messages
 * @returns the pid of the program, which runs, or has run already, and since when, in milliseconds since the epoch: by the monitor's word, since this process may be told of it late
 * @throws ProvisionerError `ERR_START_TIMEOUT`, `ERR_START_FAILED`, `ERR_COMMAND_NOT_FOUND`, `ERR_COMMAND_NOT_EXECUTABLE`, `ERR_ABORTED`
 */
export async function startOf(
  { launch, directory }: Pick<MonitoredLaunch, 'launch' | 'directory'>,
  command: readonly string[],
  devices: readonly string[],
  { told }: RunningMonitor,
  signal: AbortSignal | undefined,
): Promise<{ readonly pid: number; readonly startedAt: number }> {
  const { containerId } = launch;
  const line = await toldWithin(told, START_PATIENCE, signal);
  throwIfAborted(signal);
  if (line === undefined) {
    throw new ProvisionerError(
      'ERR_START_TIMEOUT',
      `container ${containerId} was not started within ${START_PATIENCE / 1000} s`,
      { hint: 'see what the machine waits for', details: { containerId } },
    );
  }
  const [word, number, time] = line.split(' ');
  if (word === 'started') return { pid: Number(number), startedAt: Math.floor(Number(time) * 1000) };
  const own = readOrEmpty(directory.monitorError);
  if (own !== '' || word !== 'failed') {
    const said = own || 'its monitor ended before it said anything';
    throw new ProvisionerError('ERR_START_FAILED', `container ${containerId} could not be started: ${said}`, {
      details: { containerId },
    });
  }
  const complaint = runtimeComplaint(directory.runtimeLog);
  const failure = {
    containerId,
    complaint,
    devices,
    programs: hooksOf(directory),
    said: readOrEmpty(directory.hookLog),
  };
  throw hookError(failure) ?? startError(complaint, command, containerId, Number(number));
}

/** The programs that the runtime was told to run as hooks. */
function hooksOf({ config }: LaunchDirectory): string[] {
  const { hooks = {} } = JSON.parse(readOrEmpty(config) || '{}') as Partial<RuntimeSpecConfig>;
  return [...new Set(Object.values(hooks).flatMap((all) => all.map(({ path }) => path)))];
}

/** What a pipe brings: its first line, and its end, or that of whoever waits for it. After the first line nobody has to live for it. */
function pipeEnd(
  readEnd: number,
  closing: AbortSignal,
): { readonly firstLine: Promise<string>; readonly closed: Promise<void> } {
  const pipe = readPipe(readEnd);
  const close = () => pipe.destroy();
  closing.addEventListener('abort', close, { once: true });
  pipe.once('close', () => closing.removeEventListener('abort', close));
  let text = '';
  const closed = new Promise<void>((resolve) => pipe.once('close', resolve));
  pipe.on('error', () => pipe.destroy());
  const firstLine = new Promise<string>((resolve) => {
    pipe.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const end = text.indexOf('\n');
      if (end < 0) return;
      resolve(text.slice(0, end));
      pipe.unref();
    });
    void closed.then(() => resolve(text));
  });
  return { firstLine, closed };
}

/** What it is told; undefined when that is not soon, or the signal says that it is enough. The signal may be of much more than this launch: nothing of ours stays on it. */
function toldWithin(told: Promise<string>, milliseconds: number, signal: AbortSignal | undefined) {
  return new Promise<string | undefined>((resolve) => {
    const over = (line?: string) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
      resolve(line);
    };
    const giveUp = () => over();
    const timer = setTimeout(giveUp, milliseconds);
    signal?.addEventListener('abort', giveUp);
    if (signal?.aborted) giveUp();
    void told.then(over);
  });
}
