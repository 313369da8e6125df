import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { firstLine, isShortage, ProvisionerError } from '../../base/errors.js';
import { writeOwnFile } from '../../base/own-files.js';
import type { LaunchRecord } from '../../index.js';
import { pipeClosed, readPipe, writePipe } from '../../system/processes/pipe-streams.js';
import { processStat } from '../../system/processes/process-stat.js';
import type { ProcessExit, SpawnedProcess } from '../../system/processes/processes.js';
import { loadTreeCalls } from '../../system/syscalls/load-tree-calls.js';
import { configText } from '../bundle/config-text.js';
import type { ExecOptions, Execution, ExecutionEnd } from '../containerizer.js';
import { noteEvent } from '../events/container-event.js';
import { notRunning, placeOf } from '../launches/controls.js';
import type { Endings } from '../launches/endings.js';
import type { Machine } from '../machine.js';
import { readOrEmpty } from '../read-or-empty.js';
import { execArguments, type OciRuntime } from '../runtime/oci-runtime.js';
import { runtimeComplaint, saysNotRunning, startError } from '../runtime/runtime-complaint.js';
import { signalNumber } from '../signal-number.js';
import { openTerminal } from '../terminals/open-terminal.js';
import type { OpenTerminal } from '../terminals/terminal.js';
import { ExecLimits, type Stopped } from './exec-limits.js';
import { type ExecPlace, makeExecPlace, removeLeftPlaces } from './exec-places.js';
import { execProcess } from './exec-process.js';

const SIGKILL = 9;
/** Milliseconds for which what a program printed is still read after it has ended: a child of it may hold the pipe open for ever. */
const GRACE = 1000;
/** A second for the end of a container to be seen, in which a program was not started, for no reason of its own. */
const END_LOOKS = 50;
const END_PAUSE = 20;

/** Runs programs more in containers that run. */
export class Executor {
  readonly #machine: Machine;
  readonly #endings: Endings;

  constructor(machine: Machine, endings: Endings) {
    this.#machine = machine;
    this.#endings = endings;
  }

  /** @param isTold whether events tell of it */
  async exec(
    launch: LaunchRecord,
    command: readonly string[],
    options: ExecOptions,
    { isTold = true }: { readonly isTold?: boolean } = {},
  ): Promise<Execution> {
    if (launch.state !== 'running') throw notRunning(launch);
    const { processes, syscalls } = this.#machine;
    const runtime = this.#machine.runtimeOf(placeOf(launch));
    this.#machine.programs().starter.prepare();
    const directory = this.#endings.directory(launch.id);
    const process = execProcess(directory, loadTreeCalls(syscalls), command, options);
    const id = randomBytes(8).toString('hex');
    removeLeftPlaces(directory, syscalls);
    const place = await makeExecPlace(directory, syscalls, id);
    const files = {
      log: join(place.path, 'log'),
      processFile: join(place.path, 'process.json'),
      pidFile: join(place.path, 'pid'),
      consoleSocket: options.terminal === undefined ? undefined : 'console',
    };
    const open = new Set<number>();
    const pipe = () => {
      const made = processes.openPipe();
      open.add(made.readEnd).add(made.writeEnd);
      return made;
    };
    // Once each: another file may have got the number since.
    const close = (descriptor: number) => open.delete(descriptor) && closeSync(descriptor);
    try {
      writeOwnFile(files.processFile, configText(process));
      // Runtimes give what the program has as its standard streams to the user who runs it: the null device of this machine must not be among them.
      const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
      // The runtime alone holds this one, which it closes in the program: so its end shows at once, whoever holds the others.
      const alive = pipe();
      const sizes = options.terminal === undefined ? undefined : pipe();
      const handed = [stdin.readEnd, stdout.writeEnd, stderr.writeEnd, alive.writeEnd];
      if (sizes !== undefined) handed.push(sizes.readEnd);
      const args = execArguments(runtime, launch.id, files);
      const terminalFor = sizes && { place: place.path, user: process.user.uid };
      const { pid } = await this.#startRuntime(runtime, args, handed, terminalFor);
      for (const end of handed) close(end);
      // The others are the streams' from now on.
      open.clear();
      const writer = writePipe(stdin.writeEnd);
      const terminal = sizes && openTerminal(writer, writePipe(sizes.writeEnd));
      const isRead = options.stdin === 'pipe';
      if (terminal === undefined && !isRead) writer.end();
      const streams = {
        ...(terminal === undefined ? { stdin: isRead ? writer : undefined } : { terminal }),
        stdout: readPipe(stdout.readEnd),
        stderr: readPipe(stderr.readEnd),
      };
      const started = isTold
        ? noteEvent(this.#machine, launch, 'exec-start', { exec: id, program: command[0] })
        : undefined;
      const runtimeEnded = pipeClosed(alive.readEnd);
      const limits = new ExecLimits(processes, pid, files.pidFile, options);
      const ended = this.#end({ pid, ended: runtimeEnded }, launch, command, files, place, streams, limits).finally(
        () => started,
      );
      const told = isTold ? this.#tellEnd(launch, id, ended) : ended;
      told.catch(() => undefined);
      return { ...streams, ended: told, kill: async (signal) => limits.kill(signalNumber(signal)) };
    } catch (error) {
      for (const descriptor of [...open]) close(descriptor);
      place.remove();
      throw error;
    }
  }

  /** In a mount namespace of its own where something is to be hidden from it. @param terminal where it is brought to, and whose it is; undefined for a program without one */
  #startRuntime(
    runtime: OciRuntime,
    args: readonly string[],
    streams: readonly number[],
    terminal: { readonly place: string; readonly user: number } | undefined,
  ): Promise<SpawnedProcess> {
    const { starter, sealedCopyOf } = this.#machine.programs();
    const sealed = sealedCopyOf(runtime);
    const descriptors = sealed === undefined ? streams : [...streams, sealed];
    const program = sealed === undefined ? runtime.program : `/proc/self/fd/${streams.length}`;
    const { hide } = runtime;
    const command = [program, ...args];
    if (terminal !== undefined) {
      return starter.withTerminal({ hide, command, descriptors, directory: terminal.place, user: terminal.user });
    }
    return hide.length === 0
      ? this.#machine.processes.spawn({ program, args, env: {}, descriptors })
      : starter.hidden({ hide, command, descriptors });
  }

  /** What it comes to, when that has been recorded. */
  async #tellEnd(launch: LaunchRecord, exec: string, ended: Promise<ExecutionEnd>): Promise<ExecutionEnd> {
    try {
      const end = await ended;
      await noteEvent(this.#machine, launch, 'exec-end', { exec, ...end });
      return end;
    } catch (error) {
      await noteEvent(this.#machine, launch, 'exec-end', { exec, reason: 'start-failed' });
      throw error;
    }
  }

  async #end(
    runtime: { readonly pid: number; readonly ended: Promise<void> },
    launch: LaunchRecord,
    command: readonly string[],
    files: { readonly log: string; readonly pidFile: string },
    place: ExecPlace,
    streams: {
      readonly stdin?: Writable | undefined;
      readonly terminal?: OpenTerminal | undefined;
      readonly stdout: Socket;
      readonly stderr: Socket;
    },
    limits: ExecLimits,
  ): Promise<ExecutionEnd> {
    const { processes } = this.#machine;
    const outputs = [streams.stdout, streams.stderr];
    // Listened to from the beginning: it may be long past when the program is seen to have ended.
    const read = outputs.map(
      (stream) => new Promise<void>((resolve) => stream.once('end', resolve).once('close', resolve)),
    );
    for (const stream of outputs) stream.on('error', () => stream.destroy());
    streams.stdin?.on('error', () => streams.stdin?.destroy());
    try {
      const exit = await processes.exitOf(runtime.pid, { ended: runtime.ended });
      limits.end();
      streams.stdin?.destroy();
      streams.terminal?.close();
      if (exit.signal !== undefined) this.#endLeft(launch, files.pidFile);
      if (limits.stopped === undefined) await this.#throwComplaint(files, place, command, launch, exit);
      await lettingRead(outputs, read);
      return endOf(exit, limits.stopped);
    } finally {
      limits.end();
      place.remove();
    }
  }

  /** Whatever a runtime says, or leaves unsaid, of a program that was not started in what has ended meanwhile, that is why. */
  async #throwComplaint(
    { log, pidFile }: { readonly log: string; readonly pidFile: string },
    place: ExecPlace,
    command: readonly string[],
    launch: LaunchRecord,
    exit: ProcessExit,
  ): Promise<void> {
    const complaint = runtimeComplaint(log);
    const { containerId } = launch;
    const isUntold = complaint === '' && exit.code !== 0 && readOrEmpty(pidFile) === '';
    if (complaint === '' && !isUntold) return;
    const status = exit.code ?? 128 + (exit.signal ?? 0);
    const failure = startError(complaint, command, containerId, status, true);
    // Whoever gives no reason, or one that has nothing to do with the program, may have met an end that is not to be seen yet.
    const isUnclear = failure.code === 'ERR_START_FAILED';
    // At once: there may be room again soon.
    const want = isUnclear ? wantOfRoom(place) : undefined;
    for (let looks = 0; isUnclear && looks < END_LOOKS && !this.#isEnding(launch); looks++) await sleep(END_PAUSE);
    if (saysNotRunning(complaint) || this.#isEnding(launch)) {
      throw new ProvisionerError('ERR_CONTAINER_NOT_RUNNING', `container ${containerId} does not run any more`, {
        details: { containerId, runtime: complaint },
      });
    }
    if (want === undefined) throw failure;
    throw new ProvisionerError(
      'ERR_START_FAILED',
      `container ${containerId}: nothing more can be started in it, since its notes cannot be written: ${firstLine(want)}`,
      { cause: want, hint: 'free some space where the store is', details: { ...failure.details } },
    );
  }

  /** A runtime that was killed does not end its program. */
  #endLeft(launch: LaunchRecord, pidFile: string): void {
    const pid = Number(readOrEmpty(pidFile));
    const program = pid > 1 ? this.#machine.processes.open(pid) : undefined;
    // Held first: if it is in the container now, it is the one that is meant.
    if (program && this.#endings.cgroupOf(launch)?.processes().includes(pid)) program.send(SIGKILL);
    program?.close();
  }

  /** Whether the first program of a container has ended, or waits only for others in it to be waited for. */
  #isEnding(launch: LaunchRecord): boolean {
    const program = this.#endings.programOf(launch);
    try {
      return program === undefined || program.hasEnded() || processStat(program.pid)?.isExiting === true;
    } finally {
      program?.close();
    }
  }
}

/** Whether what a runtime notes finds no room: of that it can tell nothing, since its log does not either. @returns why */
function wantOfRoom({ path }: ExecPlace): unknown {
  try {
    writeOwnFile(join(path, 'room'), '.');
    return undefined;
  } catch (error) {
    return isShortage(error) ? error : undefined;
  }
}

/** What is read to its end closes by itself; what something else holds open is cut after a while. What nobody has read yet stays to be read. */
async function lettingRead(outputs: readonly Socket[], read: readonly Promise<void>[]): Promise<void> {
  const over = new AbortController();
  const late = await Promise.race([
    Promise.all(read).then(() => false),
    sleep(GRACE, true, { signal: over.signal }).catch(() => false),
  ]);
  over.abort();
  if (late) for (const stream of outputs) if (stream.readableLength === 0) cut(stream);
}

/** Whoever reads it sees its end, and no failure. */
function cut(stream: Socket): void {
  stream.once('end', () => stream.destroy());
  stream.push(null);
  // Where nobody reads it does not keep this process.
  stream.unref();
}

/** The runtime tells a signal as shells do. */
function endOf(exit: ProcessExit, stopped: Stopped | undefined): ExecutionEnd {
  if (stopped !== undefined) return { signal: SIGKILL, reason: stopped };
  if (exit.signal !== undefined) return { signal: exit.signal, reason: 'killed' };
  return { code: exit.code, reason: 'exited' };
}
