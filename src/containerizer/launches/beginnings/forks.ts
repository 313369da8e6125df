import { crashPoint } from '../../../base/crash-points.js';
import { firstLine, systemCode, throwIfAborted } from '../../../base/errors.js';
import type { ForkedRootfs, LaunchRecord } from '../../../index.js';
import { notLaunched } from '../../container-errors.js';
import type { ForkContainerOptions, Forked } from '../../containerizer.js';
import { eventNote } from '../../events/container-event.js';
import type { Machine } from '../../machine.js';
import type { Endings } from '../endings.js';
import type { Exit } from '../kept/exit.js';
import { type KeptOptions, keepSpec, readSpec } from '../kept/kept-spec.js';
import { type LaunchPlaceNote, readPlaceNote, readSpecNote, shownCommand } from '../kept/launch-notes.js';
import { changedMeanwhile, containerExists, endedMeanwhile } from '../launch-errors.js';
import { launchOf } from '../launch-of.js';
import { type BegunLaunch, beginLaunch } from './begin-launch.js';
import type { Halts } from './halts.js';

/** What forks build on. */
export interface ForksOptions {
  readonly machine: Machine;
  readonly endings: Endings;
  readonly halts: Halts;
  /** The newest launch of a container as it is now; undefined where there is none. One that is just beginning has begun. @throws ProvisionerError `ERR_ABORTED` */
  readonly launch: (containerId: string, signal: AbortSignal | undefined) => Promise<LaunchRecord | undefined>;
  /** Throws where it may not be changed. */
  readonly requireOwn: (containerId: string, owner: string, anyOwner: boolean | undefined) => void;
}

/**
 * Makes containers that begin as what another one is now, with what that was launched with, ready to be started.
 *
 *     directory, locked ─► record `starting` ─► what runs stands still [ the store copies the root filesystem ] ─► spec ─► record `exited`, never started
 *
 * It is half started until then, so a recovery undoes it as it does a launch. What then starts it is a start of what has ended.
 */
export class Forks {
  readonly #options: ForksOptions;

  constructor(options: ForksOptions) {
    this.#options = options;
  }

  async fork(containerId: string, newId: string, options: ForkContainerOptions): Promise<Forked> {
    const { machine, launch } = this.#options;
    const { provisioner } = machine;
    const source = await launch(containerId, options.signal);
    if (source !== undefined) return this.#forkLaunched(source, newId, options);
    if (options.requireLaunch === true || options.command !== undefined) {
      throw notLaunched(containerId, (await provisioner.containers.get(containerId)) !== undefined);
    }
    // Of one that is just beginning there is no root filesystem yet.
    if ((await provisioner.launches.get(newId)) !== undefined) throw containerExists(newId);
    return { root: await provisioner.fork(containerId, newId, { signal: options.signal }) };
  }

  async #forkLaunched(source: LaunchRecord, newId: string, options: ForkContainerOptions): Promise<Forked> {
    const { machine, endings, halts, requireOwn } = this.#options;
    const { containerId, state } = source;
    const { command, pause = true, anyOwner, signal } = options;
    throwIfAborted(signal);
    // To read is free; to have it stand still, or do so for longer, is not.
    if (pause && (state === 'running' || halts.isForCopies(source))) requireOwn(containerId, source.owner, anyOwner);
    const kept = readSpec(endings.directory(source.id), containerId);
    const { again: _, ...note } = readSpecNote(source.spec);
    const place = readPlaceNote(source.place) as LaunchPlaceNote;
    const begun = await beginLaunch(machine, endings, {
      containerId: newId,
      note,
      runtime: { name: place.runtime, stateRoot: place.stateRoot },
      // Until it has run it stays.
      removal: 'keep',
      last: undefined,
      shown: { image: kept.root.image, command: command === undefined ? place.command : shownCommand(command) },
      forkOf: containerId,
    });
    let root: ForkedRootfs | undefined;
    try {
      root = await this.#copied(source, kept.root.id, newId, options);
      if (pause) await this.#requireUnchanged(source);
      crashPoint('launch.forkMade');
      const { path: __, id: ___, ...rest } = kept.root;
      const own = { ...rest, id: root.rootfsId, path: root.rootfs };
      keepSpec(
        begun.directory,
        { options: forkedOptions(kept.options, command), root: own, seccomp: kept.seccomp },
        true,
      );
      crashPoint('launch.forkKept');
      await this.#settle(begun);
      crashPoint('launch.forked');
    } catch (error) {
      const cause = await this.#causeOf(source, error);
      await this.#undo(begun, root, cause);
      throw cause;
    }
    begun.alive.close();
    begun.watched?.close();
    return { root, launch: launchOf((await machine.provisioner.launches.get(newId)) ?? begun.launch) };
  }

  /** With a container that is destroyed meanwhile go files that are needed here: what that led to says nothing. */
  async #causeOf({ id, containerId }: LaunchRecord, error: unknown): Promise<unknown> {
    if (systemCode(error) !== 'ENOENT') return error;
    const now = await this.#options.machine.provisioner.launches.get(containerId);
    return now?.id === id ? error : notLaunched(containerId, false);
  }

  /** What is paused already is watched as well: it must not go on before it has been copied. */
  async #copied(
    source: LaunchRecord,
    rootfsId: string,
    newId: string,
    { pause = true, signal }: ForkContainerOptions,
  ): Promise<ForkedRootfs> {
    const { machine, halts } = this.#options;
    const isUp = source.state === 'running' || source.state === 'paused';
    const whileCopied = (copy: () => Promise<void>) => halts.during(source, copy, signal);
    const how = { rootfsId, ...(isUp && (pause ? { whileCopied } : { changing: true })), signal };
    return machine.provisioner.fork(source.containerId, newId, how);
  }

  /** @throws ProvisionerError `ERR_CONTAINER_RUNNING` when what did not run has been started, which may have written to what was being copied */
  async #requireUnchanged({ id, containerId, state }: LaunchRecord): Promise<void> {
    if (state === 'running' || state === 'paused') return;
    const now = await this.#options.machine.provisioner.launches.get(containerId);
    if (now?.id !== id || now.state !== state) throw changedMeanwhile(containerId);
  }

  /** @throws ProvisionerError `ERR_START_FAILED` when somebody has ended or destroyed it meanwhile */
  async #settle({ launch: { id, containerId } }: BegunLaunch): Promise<void> {
    const exit: Exit = { reason: 'forked', oomKills: 0 };
    const { launches } = this.#options.machine.provisioner;
    const isFirst = await launches.change(id, { from: ['starting'], to: 'exited', exit: JSON.stringify(exit) });
    if (!isFirst) throw endedMeanwhile(containerId);
  }

  /** What cannot be taken away now, the next recovery takes. */
  async #undo({ launch, alive, watched }: BegunLaunch, root: ForkedRootfs | undefined, error: unknown): Promise<void> {
    const { machine, endings } = this.#options;
    const exit: Exit = { reason: 'start-failed', oomKills: 0 };
    try {
      await machine.provisioner.launches.change(launch.id, {
        from: ['starting'],
        to: 'exited',
        exit: JSON.stringify(exit),
        event: eventNote('start-failed', { message: firstLine(error) }),
      });
      // Whoever removes a launch waits until nobody holds it any more.
      alive.close();
      await endings.undo(launch, root?.rootfsId);
    } catch {
      alive.close();
    } finally {
      watched?.close();
    }
  }
}

/**
 * What the new one is launched with: the same, but for what two cannot have at a time. It has an address of its own, and its ports are reached by free ones of this machine.
 * @param command in place of what was to run
 */
export function forkedOptions(
  { address: _, ports, ...options }: KeptOptions,
  command: readonly string[] | undefined,
): KeptOptions {
  return {
    ...options,
    ...(ports && { ports: ports.map(({ hostPort: __, ...port }) => port) }),
    ...(command && { command }),
  };
}
