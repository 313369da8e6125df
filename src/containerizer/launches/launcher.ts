import { randomBytes } from 'node:crypto';
import { closeSync, readFileSync, rmSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Semaphore } from 'async-mutex';
import { crashPoint } from '../../base/crash-points.js';
import { firstLine, isProvisionerError, ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { ensureOwnDirectory, makeOwnDirectory, writeOwnFile } from '../../base/own-files.js';
import type { LaunchRecord, ProvisionedRootfs } from '../../index.js';
import { readPipe, writePipe } from '../../system/processes/pipe-streams.js';
import { processStat } from '../../system/processes/process-stat.js';
import { loadTreeCalls } from '../../system/syscalls/load-tree-calls.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import { capabilitySets } from '../bundle/capabilities.js';
import { makeBundle } from '../bundle/make-bundle.js';
import { ContainerCgroup } from '../cgroups/container-cgroup.js';
import { checkLimits } from '../cgroups/limits/check-limits.js';
import { readMachineFacts } from '../cgroups/limits/machine-facts.js';
import type { LaunchOptions } from '../containerizer.js';
import type { Machine } from '../machine.js';
import { monitorFile } from '../monitor/monitor-settings.js';
import { relaxationsOf } from '../relaxations.js';
import { findSystemProgram } from '../runtime/find-runtime.js';
import { runArguments, stateOf } from '../runtime/oci-runtime.js';
import { runtimeComplaint, startError } from '../runtime/runtime-complaint.js';
import { prepareSeccomp } from '../seccomp/prepare-seccomp.js';
import { deadlineIn } from './deadline.js';
import type { Endings } from './endings.js';
import type { Exit } from './exit.js';
import type { LaunchDirectory } from './launch-directory.js';
import type { LaunchPlaceNote, LaunchSpecNote } from './launch-notes.js';
import { requireFilter } from './require-filter.js';

/** Milliseconds that a runtime has to start a program. */
const START_PATIENCE = 60_000;
const SIGKILL = 9;
/** Of a log that nobody limits. */
const DEFAULT_LOG_BYTES = 64 * 2 ** 20;

/** A launch whose program runs, or ran. */
export interface Started {
  readonly launch: LaunchRecord;
  /** Resolves when its monitor ends. */
  readonly monitorEnded: Promise<void>;
  readonly stdin: Writable | undefined;
  /** The lock of its watch, for whoever watches it from now on; undefined when somebody else has it. */
  readonly watched: LockFile | undefined;
}

/** What a launch has made so far, and has to be undone when it fails. */
interface Begun {
  readonly launch: LaunchRecord;
  readonly place: LaunchPlaceNote;
  readonly directory: LaunchDirectory;
  readonly alive: LockFile;
  /** Held until it runs: whoever finds it half started sees that somebody is at it. */
  readonly watched: LockFile | undefined;
  monitor?: RunningMonitor;
}

interface RunningMonitor {
  readonly pid: number;
  /** What it tells of the start: resolves with its line, empty when it ended without one. */
  readonly told: Promise<string>;
  readonly ended: Promise<void>;
  /** Its number may be another one's soon. */
  hasEnded(): boolean;
  readonly stdin: Writable | undefined;
}

/**
 * Starts programs, step by step:
 *
 *     directory, locked ─► record `starting` ─► rootfs ─► bundle ─► monitor ─► runtime ─► record `running`
 *
 * Whatever fails is undone; whatever a crash leaves is undone by the next recovery, which knows by the lock that nobody is at it any more.
 */
export class Launcher {
  readonly #machine: Machine;
  readonly #endings: Endings;
  /** More of them at a time take longer, each and all together. */
  readonly #turns: Semaphore;

  constructor(machine: Machine, endings: Endings, atATime: number) {
    this.#machine = machine;
    this.#endings = endings;
    this.#turns = new Semaphore(atATime);
  }

  async launch(containerId: string, image: string, options: LaunchOptions): Promise<Started> {
    const { hierarchies } = this.#machine;
    const facts = readMachineFacts(hierarchies);
    checkLimits(options.limits, hierarchies, facts);
    return this.#turns.runExclusive(async () => {
      throwIfAborted(options.signal);
      const begun = await this.#begin(containerId, image, options);
      try {
        return await this.#start(begun, image, options, facts.countsSwap);
      } catch (error) {
        await this.#undo(begun, error);
        begun.watched?.close();
        throw error;
      } finally {
        // The monitor holds it from now on, or nobody does.
        begun.alive.close();
      }
    });
  }

  /** The directory stands before the record names it; without one it is nobody's, and a recovery takes it. */
  async #begin(containerId: string, image: string, options: LaunchOptions): Promise<Begun> {
    const { provisioner, syscalls, runtime, parent, bootId } = this.#machine;
    const { launches } = provisioner;
    const id = randomBytes(16).toString('hex');
    const directory = this.#endings.directory(id);
    ensureOwnDirectory(directory.path);
    makeOwnDirectory(directory.output);
    const alive = syscalls.openLockFile(directory.alive);
    const watched = this.#endings.holdWatch(directory);
    try {
      alive.tryAnnounceWriter();
      crashPoint('launch.directoryMade');
      if ((await launches.get(containerId)) !== undefined) throw containerExists(containerId);
      const place: LaunchPlaceNote = {
        runtime: runtime.name,
        stateRoot: runtime.stateRoot,
        cgroupsPath: `${parent}/${id}`,
      };
      const spec: LaunchSpecNote = {
        imageName: image,
        labels: options.labels ?? {},
        relaxed: relaxationsOf(options),
        timeout: options.timeout,
      };
      const put = await launches
        .put({
          id,
          containerId,
          bootId,
          spec: JSON.stringify(spec),
          place: JSON.stringify(place),
          removal: options.remove === true ? 'remove' : 'keep',
        })
        .catch((error) => {
          throw isProvisionerError(error, 'ERR_CONTAINER_RUNNING') ? containerExists(containerId) : error;
        });
      crashPoint('launch.recorded');
      if ((await provisioner.containers.get(containerId)) !== undefined) {
        await launches.forget(containerId, id);
        throw containerExists(containerId);
      }
      return { launch: put.launch, place, directory, alive, watched };
    } catch (error) {
      alive.close();
      watched?.close();
      rmSync(directory.path, { recursive: true, force: true });
      throw error;
    }
  }

  async #start(begun: Begun, image: string, options: LaunchOptions, countsSwap: boolean): Promise<Started> {
    const { provisioner } = this.#machine;
    const { containerId } = begun.launch;
    const made = await provisioner.provision(containerId, image, { ...options.provision, signal: options.signal });
    crashPoint('launch.provisioned');
    const command = await this.#writeBundle(begun, made, options, countsSwap);
    crashPoint('launch.bundled');
    throwIfAborted(options.signal);
    const monitor = await this.#runMonitor(begun, options);
    begun.monitor = monitor;
    crashPoint('launch.monitored');
    const pid = await this.#startOf(begun, command, monitor, options.signal);
    await requireFilter(pid, options.seccomp, begun.launch.containerId);
    crashPoint('launch.started');
    const place: LaunchPlaceNote = {
      ...begun.place,
      image: made.image.id,
      command,
      stopSignal: options.stopSignal || made.runtime.stopSignal || 'SIGTERM',
      pid,
      startTicks: processStat(pid)?.startTicks.toString(),
    };
    const running = { state: 'running', startedAt: Date.now(), place: JSON.stringify(place) } as const;
    const { state, ...change } = running;
    // Another process may have seen its end, and recorded that.
    await provisioner.launches.change(begun.launch.id, {
      from: ['starting'],
      to: state,
      ...change,
      event: { kind: 'start', details: JSON.stringify({ image: made.image.id, command }) },
    });
    crashPoint('launch.running');
    return {
      launch: { ...begun.launch, ...running },
      monitorEnded: monitor.ended,
      stdin: monitor.stdin,
      watched: begun.watched,
    };
  }

  /** @returns what of it the records keep */
  async #writeBundle(
    { launch, place, directory }: Begun,
    made: ProvisionedRootfs,
    options: LaunchOptions,
    countsSwap: boolean,
  ): Promise<readonly string[]> {
    const { facts, runtime, syscalls, programs } = this.#machine;
    makeOwnDirectory(directory.bundle);
    const { addCapabilities: add = [], dropCapabilities: drop = [], seccomp = 'default' } = options;
    const { bounding } = capabilitySets({ add, drop, isRoot: true, available: facts.capabilities });
    const filter = await prepareSeccomp(seccomp, bounding, programs.directory);
    const config = await makeBundle({
      directory: directory.bundle,
      launchId: launch.id,
      containerId: launch.containerId,
      rootfs: made.rootfs,
      isRootfsReadOnly: made.backend === 'bind',
      image: made.runtime,
      spec: options,
      cgroupsPath: place.cgroupsPath,
      seccomp:
        filter !== undefined && runtime.name === 'crun' && filter.annotation !== undefined
          ? { annotation: filter.annotation }
          : filter && { oci: filter.oci },
      facts,
      countsSwap,
      initProgram: options.init === true ? (findSystemProgram('catatonit') ?? findSystemProgram('tini')) : undefined,
      calls: loadTreeCalls(syscalls),
    });
    return config.process.args;
  }

  async #runMonitor({ launch, place, directory, alive }: Begun, options: LaunchOptions): Promise<RunningMonitor> {
    const { processes, runtime, programs, hierarchies, surroundings, removal, closing } = this.#machine;
    const cgroup = new ContainerCgroup(hierarchies, place.cgroupsPath, surroundings);
    const { maxBytes = DEFAULT_LOG_BYTES, whenFull = 'rotate' } = options.log ?? {};
    const settings = monitorFile({
      container: launch.containerId,
      program: programs.sealedRuntime === undefined ? runtime.program : '/proc/self/fd/5',
      runtime: runtime.name,
      arguments: runArguments(runtime, launch.id, {
        log: directory.runtimeLog,
        bundle: directory.bundle,
        pidFile: directory.pid,
      }),
      hide: runtime.hide,
      join: [],
      remove: [stateOf(runtime, launch.id), ...cgroup.directories()],
      after: options.remove === true ? [...removal, launch.containerId] : [],
      timeLimit: options.timeout !== undefined,
      logLimit: maxBytes,
      logEnds: whenFull === 'end',
      counters: cgroup.monitored(),
    });
    writeOwnFile(directory.monitor, settings);
    if (options.timeout !== undefined) writeOwnFile(directory.deadline, deadlineIn(options.timeout));
    const telling = processes.openPipe();
    const stdin = options.stdin === 'pipe' ? processes.openPipe() : undefined;
    try {
      const from = stdin?.readEnd ?? (typeof options.stdin === 'number' ? options.stdin : 'null');
      const sealed = programs.sealedRuntime === undefined ? [] : [programs.sealedRuntime];
      const { pid } = await processes.spawn({
        program: programs.perl,
        args: [programs.monitor],
        env: {},
        directory: directory.path,
        descriptors: [from, 'null', 'null', telling.writeEnd, alive.descriptor, ...sealed],
      });
      const ended = pipeEnd(telling.readEnd, closing);
      // Until it is waited for it stays a zombie, and its number is nobody else's.
      let over = false;
      void processes
        .exitOf(pid, { ended: ended.closed, signal: closing })
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

  /** @returns the pid of the program, which runs, or has run already */
  async #startOf(
    { launch, directory }: Begun,
    command: readonly string[],
    { told }: RunningMonitor,
    signal: AbortSignal | undefined,
  ): Promise<number> {
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
    const [word, number] = line.split(' ');
    if (word === 'started') return Number(number);
    const own = readOr(directory.monitorError, '');
    if (own !== '' || word !== 'failed') {
      const said = own || 'its monitor ended before it said anything';
      throw new ProvisionerError('ERR_START_FAILED', `container ${containerId} could not be started: ${said}`, {
        details: { containerId },
      });
    }
    throw startError(runtimeComplaint(directory.runtimeLog), command, containerId, Number(number));
  }

  /** A launch that fails leaves nothing. What cannot be taken away now, the next recovery takes. */
  async #undo({ launch, monitor, alive }: Begun, error: unknown): Promise<void> {
    const { provisioner, processes } = this.#machine;
    let holds = true;
    const letGo = () => {
      if (holds) alive.close();
      holds = false;
    };
    try {
      if (monitor !== undefined) {
        // The runtime that it waits for dies with it.
        const held = monitor.hasEnded() ? undefined : processes.open(monitor.pid);
        held?.send(SIGKILL);
        held?.close();
        await monitor.ended;
      }
      await this.#endings.endAll(launch);
      const exit: Exit = { reason: 'start-failed', oomKills: 0 };
      await provisioner.launches.change(launch.id, {
        from: ['starting'],
        to: 'exited',
        exit: JSON.stringify(exit),
        event: { kind: 'start-failed', details: JSON.stringify({ message: firstLine(error) }) },
      });
      crashPoint('launch.undone');
      // Whoever removes a launch waits until nobody holds it any more.
      letGo();
      await this.#endings.remove(launch.containerId, launch.id);
    } catch {
      // The error that brought us here says more.
    } finally {
      letGo();
    }
  }
}

function containerExists(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_EXISTS', `there is a container ${containerId} already`, {
    hint: `choose another id, or remove that one: \`provisioner destroy ${containerId}\``,
    details: { containerId },
  });
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

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise;
  }
}
