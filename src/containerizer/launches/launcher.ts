import type { Writable } from 'node:stream';
import { Semaphore } from 'async-mutex';
import { crashPoint } from '../../base/crash-points.js';
import { firstLine, throwIfAborted } from '../../base/errors.js';
import { makeOwnDirectory } from '../../base/own-files.js';
import type { LaunchRecord } from '../../index.js';
import { orAborted } from '../../system/locks/or-aborted.js';
import { processStat } from '../../system/processes/process-stat.js';
import type { OciSeccomp } from '../../system/seccomp/oci-seccomp.js';
import { loadTreeCalls } from '../../system/syscalls/load-tree-calls.js';
import type { LockFile } from '../../system/syscalls/lock-file.js';
import { capabilitySets } from '../bundle/capabilities.js';
import { makeBundle } from '../bundle/make-bundle.js';
import { requireSettled, settledSources } from '../bundle/mounts/mount-sources.js';
import { checkLimits } from '../cgroups/limits/check-limits.js';
import { readMachineFacts } from '../cgroups/limits/machine-facts.js';
import type { LaunchOptions, StartOptions } from '../containerizer.js';
import { eventNote } from '../events/container-event.js';
import { healthSettings } from '../health/health-settings.js';
import type { IsolatedSpec, Isolator } from '../isolators/isolator.js';
import type { Machine } from '../machine.js';
import { endFamily } from '../processes/end-family.js';
import { relaxationsOf } from '../relaxations.js';
import { rootfsOf } from '../rootfs-of.js';
import { findInit } from '../runtime/find-runtime.js';
import type { OciRuntime } from '../runtime/oci-runtime.js';
import { preparedOf, prepareSeccomp, withProjects } from '../seccomp/prepare-seccomp.js';
import { signalNumber, stopSignalOf } from '../signal-number.js';
import { beginLaunch } from './beginnings/begin-launch.js';
import type { Endings } from './endings.js';
import type { Exit } from './kept/exit.js';
import { keepSpec, readSpec, startedAgain } from './kept/kept-spec.js';
import {
  isolationNote,
  type LaunchPlaceNote,
  type LaunchSpecNote,
  readExitNote,
  readPlaceNote,
  readSpecNote,
  shownCommand,
} from './kept/launch-notes.js';
import { type LaunchRoot, rootOf } from './kept/launch-root.js';
import { endedMeanwhile } from './launch-errors.js';
import { requireFilter } from './require-filter.js';
import { type MonitoredLaunch, type RunningMonitor, runMonitor, startOf } from './run-monitor.js';
import { placeSecrets, secretsOf } from './secrets.js';

/** A launch whose program runs, or ran. */
export interface Started {
  readonly launch: LaunchRecord;
  /** Resolves when its monitor ends. */
  readonly monitorEnded: Promise<void>;
  readonly stdin: Writable | undefined;
  /** The lock of its watch, for whoever watches it from now on; undefined when somebody else has it. */
  readonly watched: LockFile | undefined;
}

/** A launch that is wanted. */
interface Beginning {
  readonly containerId: string;
  readonly note: LaunchSpecNote;
  readonly options: LaunchOptions;
  readonly isHeld: boolean;
  /** The container's launch before, which has ended; undefined for a container that is new. */
  readonly last: LaunchRecord | undefined;
  readonly findRoot: () => Promise<LaunchRoot>;
  /** The filter of the launch before, where that was made of a profile of the caller's. */
  readonly seccomp: OciSeccomp | undefined;
}

/** What a launch has made so far, and has to be undone when it fails. */
interface Begun extends MonitoredLaunch {
  /** Held until it runs: whoever finds it half started sees that somebody is at it. */
  readonly watched: LockFile | undefined;
  root?: LaunchRoot;
  monitor?: RunningMonitor;
}

/**
 * Starts programs, step by step:
 *
 *     directory, locked ─► record `starting` ─► rootfs ─► isolators ─► bundle ─► monitor ─► runtime ─► record `running`
 *
 * Whatever fails is undone; whatever a crash leaves is undone by the next recovery, which knows by the lock that nobody is at it any more.
 */
export class Launcher {
  readonly #machine: Machine;
  readonly #endings: Endings;
  readonly #isolators: Isolator;
  /** More of them at a time take longer, each and all together. */
  readonly #turns: Semaphore;

  constructor(machine: Machine, endings: Endings, isolators: Isolator, atATime: number) {
    this.#machine = machine;
    this.#endings = endings;
    this.#isolators = isolators;
    this.#turns = new Semaphore(atATime);
  }

  /** @param isHeld it waits for `start` before its program is executed */
  async launch(containerId: string, image: string, options: LaunchOptions, isHeld: boolean): Promise<Started> {
    const { provisioner } = this.#machine;
    const note: LaunchSpecNote = {
      imageName: image,
      labels: options.labels ?? {},
      relaxed: relaxationsOf(options),
      timeout: options.timeout,
      ...(options.terminal !== undefined && { terminal: true }),
    };
    const findRoot = async () => {
      const { provision, limits, signal } = options;
      const inMemory = limits?.diskOn === 'memory' && { inMemoryBytes: limits.diskBytes };
      return rootOf(await provisioner.provision(containerId, image, { ...provision, ...inMemory, signal }));
    };
    return this.#bring({ containerId, note, options, isHeld, findRoot, last: undefined, seccomp: undefined });
  }

  /** Starts what has ended once more, in the root filesystem that it has left. */
  async again(last: LaunchRecord, options: StartOptions): Promise<Started> {
    const { containerId } = last;
    const kept = readSpec(this.#endings.directory(last.id), containerId);
    const { root } = kept;
    const findRoot = async () => {
      rootfsOf(containerId, await this.#machine.provisioner.containers.get(containerId), root.path);
      return root;
    };
    // Whatever is wrong with it, the last end stays recorded.
    await findRoot();
    // What it was given it wants again.
    await this.#isolators.cleanUp(last).catch(() => undefined);
    const started = await this.#bring({
      containerId,
      note: { ...readSpecNote(last.spec), again: true },
      options: startedAgain(kept.options, options),
      isHeld: false,
      findRoot,
      last,
      seccomp: kept.seccomp,
    });
    // What cannot be taken away now, the next recovery takes.
    await this.#endings.takeAway(last.id).catch(() => undefined);
    return started;
  }

  async #bring(beginning: Beginning): Promise<Started> {
    const { options } = beginning;
    const { hierarchies, programs, runtimeOf } = this.#machine;
    const before = readPlaceNote(beginning.last?.place);
    const runtime = before === undefined ? programs().runtime : runtimeOf(before);
    const facts = readMachineFacts(hierarchies);
    checkLimits(options.limits, hierarchies, facts);
    // Whoever stops it finds one that there is.
    if (options.stopSignal) signalNumber(options.stopSignal);
    throwIfAborted(options.signal);
    programs().starter.prepare();
    const begun = await this.#begin(beginning, runtime);
    const started = await this.#start(begun, beginning, facts.countsSwap).catch(async (error) => {
      // Whoever destroys it takes away what is needed here: what that led to says nothing.
      const isStill = await this.#isStarting(begun).catch(() => true);
      const cause = isStill ? error : endedMeanwhile(beginning.containerId);
      await this.#undo(begun, beginning, cause);
      throw cause;
    });
    // The monitor holds it from now on.
    begun.alive.close();
    return started;
  }

  async #begin({ containerId, note, options, last }: Beginning, runtime: OciRuntime): Promise<Begun> {
    const removal = options.remove === true ? 'remove' : 'keep';
    // What it is does not change with it, whatever becomes of this launch.
    const { image, command } = readPlaceNote(last?.place) ?? {};
    const shown = last && { image, command };
    const begun = await beginLaunch(this.#machine, this.#endings, { containerId, note, runtime, removal, last, shown });
    return { ...begun, runtime };
  }

  async #start(begun: Begun, beginning: Beginning, countsSwap: boolean): Promise<Started> {
    const { note, findRoot, options, isHeld, last } = beginning;
    const { provisioner } = this.#machine;
    const { containerId } = begun.launch;
    const root = await findRoot();
    begun.root = root;
    crashPoint('launch.provisioned');
    await this.#requireStarting(begun);
    const health = healthSettings(options.health, root.runtime.healthcheck);
    const isolated = await this.#isolators.prepare(begun.launch, { spec: options, root }, options.signal);
    crashPoint('launch.isolated');
    const command = await this.#writeBundle(begun, { ...beginning, ...isolated }, root, countsSwap);
    await this.#isolators.bundled?.(begun.launch, isolated);
    crashPoint('launch.bundled');
    const isConnected = isolated.network !== undefined;
    const { pid, startedAt, monitor } = await this.#inTurn(options.signal, async () => {
      const monitor = await runMonitor(this.#machine, begun, options, { isHeld, isConnected });
      begun.monitor = monitor;
      crashPoint('launch.monitored');
      // Whoever cancels the launch ends the monitor that he finds: either he finds this one, or it is seen here that it is cancelled.
      const [{ pid, startedAt }] = await Promise.all([
        startOf(begun, command, options.cdiDevices ?? [], monitor, options.signal),
        this.#requireStarting(begun),
      ]);
      if (!isHeld) await requireFilter(pid, options.seccomp, containerId);
      crashPoint('launch.started');
      return { pid, startedAt, monitor };
    });
    const place: LaunchPlaceNote = {
      ...begun.place,
      image: root.image,
      command: shownCommand(command),
      stopSignal: options.stopSignal || stopSignalOf(root.runtime.stopSignal),
      pid,
      startTicks: processStat(pid)?.startTicks.toString(),
      ...(health && { checked: true }),
      ...isolationNote(isolated),
    };
    // Nothing else tells it of a launch without a `create`.
    const again = last === undefined ? {} : { image: note.imageName, labels: note.labels };
    const now: Pick<LaunchRecord, 'state' | 'startedAt'> = isHeld
      ? { state: 'created', startedAt: undefined }
      : { state: 'running', startedAt };
    const change = { ...now, place: JSON.stringify(place) };
    const { state, ...rest } = change;
    const isFirst = await provisioner.launches.change(begun.launch.id, {
      from: ['starting'],
      to: state,
      ...rest,
      ...(isHeld ? {} : { event: eventNote('start', { imageId: root.image, ...again }) }),
    });
    crashPoint('launch.running');
    // Another process may have seen its end, and recorded that; or have ended it before it began.
    if (!isFirst) await this.#requireStarting(begun);
    return {
      launch: { ...begun.launch, ...change },
      monitorEnded: monitor.ended,
      stdin: monitor.stdin,
      watched: begun.watched,
    };
  }

  /** @throws ProvisionerError `ERR_START_FAILED` when somebody has ended or destroyed it meanwhile */
  async #requireStarting(begun: Begun): Promise<void> {
    if (!(await this.#isStarting(begun))) throw endedMeanwhile(begun.launch.containerId);
  }

  /** Or has started, and perhaps ended since. */
  async #isStarting({ launch: { containerId, id } }: Begun): Promise<boolean> {
    const now = await this.#machine.provisioner.launches.get(containerId);
    return now?.id === id && readExitNote(now.exit)?.reason !== 'start-failed';
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
    { launch, place, runtime, directory }: Begun,
    { options, spec, network, diskLimit, last, seccomp: known }: Beginning & IsolatedSpec,
    root: LaunchRoot,
    countsSwap: boolean,
  ): Promise<readonly string[]> {
    const { facts, syscalls, programs } = this.#machine;
    const { directory: ofThisBoot } = programs();
    makeOwnDirectory(directory.bundle);
    const { addCapabilities: add = [], dropCapabilities: drop = [], seccomp = 'default', mounts = [] } = options;
    const { bounding } = capabilitySets({ add, drop, isRoot: true, available: facts.capabilities });
    const plain = known
      ? await preparedOf(known, seccomp, ofThisBoot)
      : await prepareSeccomp(seccomp, bounding, ofThisBoot);
    const filter = await withProjects(plain, diskLimit?.by === 'quota', seccomp, ofThisBoot);
    if (last === undefined) {
      const settled = { ...options, mounts: await settledSources(mounts) };
      keepSpec(directory, { options: settled, root, seccomp: seccomp === 'default' ? undefined : plain?.oci });
    } else await requireSettled(mounts);
    const secrets = placeSecrets(secretsOf(runtime, launch.id), options.secrets ?? {});
    const config = await makeBundle({
      directory: directory.bundle,
      launchId: launch.id,
      containerId: launch.containerId,
      rootfs: root.path,
      isRootfsReadOnly: root.isReadOnly,
      image: root.runtime,
      spec: { ...spec, mounts: [...(spec.mounts ?? []), ...secrets] },
      cgroupsPath: place.cgroupsPath,
      network,
      seccomp: filter,
      facts,
      countsSwap,
      initProgram: findInit(options.init),
      calls: loadTreeCalls(syscalls),
      signal: options.signal,
    });
    return config.process.args;
  }

  /** A launch that fails leaves nothing, or the container as it was. What cannot be taken away now, the next recovery takes. */
  async #undo({ launch, root, monitor, alive, watched }: Begun, { last }: Beginning, error: unknown): Promise<void> {
    const { provisioner, processes } = this.#machine;
    let holds = true;
    const letGo = () => {
      if (holds) alive.close();
      holds = false;
    };
    try {
      if (monitor !== undefined) {
        // With the runtime that it waits for, and the hooks that this waits for, which would go on.
        const held = monitor.hasEnded() ? undefined : processes.open(monitor.pid);
        if (held !== undefined) await endFamily(processes, held).finally(() => held.close());
        await monitor.ended;
      }
      await this.#endings.endAll(launch);
      if (monitor === undefined) {
        // Where nobody could tell whether there is one, its lock does.
        letGo();
        if (this.#endings.isAttended(launch.id)) await this.#endings.endStarting(launch);
      }
      const exit: Exit = { reason: 'start-failed', oomKills: 0 };
      await provisioner.launches.change(launch.id, {
        from: ['starting'],
        to: 'exited',
        exit: JSON.stringify(exit),
        event: eventNote('start-failed', { message: firstLine(error) }),
      });
      crashPoint('launch.undone');
      await this.#isolators.cleanUp(launch).catch(() => undefined);
      // Whoever removes a launch waits until nobody holds it any more.
      letGo();
      if (last === undefined) await this.#endings.undo(launch, root?.id);
      else await this.#endings.takeAway(last.id);
    } catch {
      // The error that brought us here says more.
    } finally {
      letGo();
      watched?.close();
    }
  }
}
