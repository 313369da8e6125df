import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { Semaphore } from 'async-mutex';
import { crashPoint } from '../../base/crash-points.js';
import { firstLine, isProvisionerError, ProvisionerError, throwIfAborted } from '../../base/errors.js';
import { ensureOwnDirectory, makeOwnDirectory } from '../../base/own-files.js';
import type { LaunchRecord, ProvisionedRootfs } from '../../index.js';
import { orAborted } from '../../system/locks/or-aborted.js';
import { processStat } from '../../system/processes/process-stat.js';
import { loadTreeCalls } from '../../system/syscalls/load-tree-calls.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import { capabilitySets } from '../bundle/capabilities.js';
import { makeBundle } from '../bundle/make-bundle.js';
import { checkLimits } from '../cgroups/limits/check-limits.js';
import { readMachineFacts } from '../cgroups/limits/machine-facts.js';
import type { LaunchOptions } from '../containerizer.js';
import { eventNote } from '../events/container-event.js';
import type { Machine } from '../machine.js';
import { relaxationsOf } from '../relaxations.js';
import { findSystemProgram } from '../runtime/find-runtime.js';
import type { OciRuntime } from '../runtime/oci-runtime.js';
import { prepareSeccomp } from '../seccomp/prepare-seccomp.js';
import { signalNumber } from '../signal-number.js';
import type { Endings } from './endings.js';
import type { Exit } from './exit.js';
import type { LaunchPlaceNote, LaunchSpecNote } from './launch-notes.js';
import { requireFilter } from './require-filter.js';
import { type MonitoredLaunch, type RunningMonitor, runMonitor, startOf } from './run-monitor.js';
import { placeSecrets, secretsOf } from './secrets.js';

const SIGKILL = 9;

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
interface Begun extends MonitoredLaunch {
  /** Held until it runs: whoever finds it half started sees that somebody is at it. */
  readonly watched: LockFile | undefined;
  monitor?: RunningMonitor;
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
    const { hierarchies, programs } = this.#machine;
    const { runtime } = programs();
    const facts = readMachineFacts(hierarchies);
    checkLimits(options.limits, hierarchies, facts);
    // Whoever stops it finds one that there is.
    if (options.stopSignal) signalNumber(options.stopSignal);
    throwIfAborted(options.signal);
    const begun = await this.#begin(containerId, image, runtime, options);
    const started = await this.#start(begun, image, options, facts.countsSwap).catch(async (error) => {
      await this.#undo(begun, error);
      throw error;
    });
    // The monitor holds it from now on.
    begun.alive.close();
    return started;
  }

  /** The directory stands before the record names it; without one it is nobody's, and a recovery takes it. */
  async #begin(containerId: string, image: string, runtime: OciRuntime, options: LaunchOptions): Promise<Begun> {
    const { provisioner, syscalls, parent, bootId } = this.#machine;
    const { launches } = provisioner;
    const id = randomBytes(16).toString('hex');
    const directory = this.#endings.directory(id);
    ensureOwnDirectory(directory.path);
    makeOwnDirectory(directory.output);
    let alive: LockFile | undefined;
    let watched: LockFile | undefined;
    let isRecorded = false;
    try {
      alive = syscalls.openLockFile(directory.alive);
      watched = this.#endings.holdWatch(directory);
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
          event: eventNote('create', { image, labels: spec.labels }),
        })
        .catch((error) => {
          throw isProvisionerError(error, 'ERR_CONTAINER_RUNNING') ? containerExists(containerId) : error;
        });
      isRecorded = true;
      crashPoint('launch.recorded');
      if ((await provisioner.containers.get(containerId)) !== undefined) throw containerExists(containerId);
      return { launch: put.launch, place, directory, alive, watched };
    } catch (error) {
      // What cannot be forgotten now, the next recovery undoes.
      if (isRecorded) await launches.forget(containerId, id).catch(() => undefined);
      alive?.close();
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
    const { pid, monitor } = await this.#inTurn(options.signal, async () => {
      const monitor = await runMonitor(this.#machine, begun, options);
      begun.monitor = monitor;
      crashPoint('launch.monitored');
      const pid = await startOf(begun, command, monitor, options.signal);
      await requireFilter(pid, options.seccomp, containerId);
      crashPoint('launch.started');
      return { pid, monitor };
    });
    const place: LaunchPlaceNote = {
      ...begun.place,
      image: made.image.id,
      command: shownCommand(command),
      stopSignal: options.stopSignal || stopSignalOf(made.runtime.stopSignal),
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
      event: eventNote('start', { imageId: made.image.id }),
    });
    crashPoint('launch.running');
    return {
      launch: { ...begun.launch, ...running },
      monitorEnded: monitor.ended,
      stdin: monitor.stdin,
      watched: begun.watched,
    };
  }

  /** Only the runtime's work is taken in turns: a pull may take minutes. @throws ProvisionerError `ERR_ABORTED`, also while it waits */
  async #inTurn<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const turn = this.#turns.acquire();
    let release: (() => void) | undefined;
    try {
      [, release] = await orAborted(turn, signal);
      throwIfAborted(signal);
      return await work();
    } finally {
      // A turn that comes to somebody who has given up goes to the next one.
      if (release !== undefined) release();
      else void turn.then(([, late]) => late());
    }
  }

  /** @returns what of it the records keep */
  async #writeBundle(
    { launch, place, directory }: Begun,
    made: ProvisionedRootfs,
    options: LaunchOptions,
    countsSwap: boolean,
  ): Promise<readonly string[]> {
    const { facts, syscalls, programs } = this.#machine;
    const { runtime, directory: ofThisBoot } = programs();
    makeOwnDirectory(directory.bundle);
    const { addCapabilities: add = [], dropCapabilities: drop = [], seccomp = 'default' } = options;
    const { bounding } = capabilitySets({ add, drop, isRoot: true, available: facts.capabilities });
    const filter = await prepareSeccomp(seccomp, bounding, ofThisBoot);
    const secrets = placeSecrets(secretsOf(runtime, launch.id), options.secrets ?? {});
    const config = await makeBundle({
      directory: directory.bundle,
      launchId: launch.id,
      containerId: launch.containerId,
      rootfs: made.rootfs,
      isRootfsReadOnly: made.backend === 'bind',
      image: made.runtime,
      spec: { ...options, mounts: [...(options.mounts ?? []), ...secrets] },
      cgroupsPath: place.cgroupsPath,
      seccomp: filter,
      facts,
      countsSwap,
      initProgram: options.init === true ? (findSystemProgram('catatonit') ?? findSystemProgram('tini')) : undefined,
      calls: loadTreeCalls(syscalls),
    });
    return config.process.args;
  }

  /** A launch that fails leaves nothing. What cannot be taken away now, the next recovery takes. */
  async #undo({ launch, monitor, alive, watched }: Begun, error: unknown): Promise<void> {
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
        event: eventNote('start-failed', { message: firstLine(error) }),
      });
      crashPoint('launch.undone');
      // Whoever removes a launch waits until nobody holds it any more.
      letGo();
      await this.#endings.remove(launch.containerId, launch.id);
    } catch {
      // The error that brought us here says more.
    } finally {
      letGo();
      watched?.close();
    }
  }
}

/** Words and their lengths that the records keep of a command, which may be a whole script. */
const WORDS_SHOWN = 32;
const WORD_SHOWN = 200;

/** What of a command is kept to be shown. */
function shownCommand(command: readonly string[]): string[] {
  const words = command
    .slice(0, WORDS_SHOWN)
    .map((word) => (word.length > WORD_SHOWN ? `${word.slice(0, WORD_SHOWN)}…` : word));
  return command.length > WORDS_SHOWN ? [...words, '…'] : words;
}

/** An image may name what there is not. */
function stopSignalOf(named: string): string {
  try {
    if (named !== '') signalNumber(named);
    return named || 'SIGTERM';
  } catch {
    return 'SIGTERM';
  }
}

function containerExists(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_EXISTS', `there is a container ${containerId} already`, {
    hint: `choose another id, or remove that one: \`provisioner destroy ${containerId}\``,
    details: { containerId },
  });
}
