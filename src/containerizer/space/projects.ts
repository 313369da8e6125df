import { randomInt } from 'node:crypto';
import { crashPoint } from '../../base/crash-points.js';
import { fileError, firstLine, isProvisionerError, systemCode } from '../../base/errors.js';
import type { Provisioner } from '../../index.js';
import type { Syscalls } from '../../system/syscalls/syscalls.js';
import type { TreeCalls } from '../../system/syscalls/tree-calls.js';
import { giveToProject } from './give-to-project.js';

type Holdings = Pick<Provisioner['holdings'], 'take' | 'change' | 'release' | 'list'>;
type Holding = Awaited<ReturnType<Holdings['list']>>[number];

/** A root filesystem, as the store names it. */
export interface RootfsKey {
  readonly containerId: string;
  readonly id: string;
}

/** What a root filesystem has of the file system's projects. Kept for it, not for a launch: its files bear the number for as long as they are there. */
interface HeldProject extends RootfsKey {
  readonly project: number;
  /** All that was there before its program ran has been given to the project. */
  readonly isGiven: boolean;
  readonly holding: Holding;
}

/** What projects are made of here. */
export interface ProjectParts {
  /** A directory of the file system in question, absolute. */
  readonly directory: string;
  readonly bootId: string;
  readonly holdings: Holdings;
  readonly syscalls: Pick<Syscalls, 'keepsProjectLimits' | 'projectUse' | 'limitProject'>;
  readonly calls: () => TreeCalls;
  /** A number from the first to the one before the last. */
  readonly draw?: (first: number, last: number) => number;
}

const KIND = 'project-quota';
/** Far from those that people choose, and that other programs count up from. A number is drawn, since another store may be on the same file system. */
const FIRST = 0x5000_0000;
const LAST = 0x6000_0000;
/** A file system has none. @see ioctl_iflags(2) */
const NO_PROJECTS = new Set(['ENOTTY', 'EOPNOTSUPP', 'ENOTSUP', 'EINVAL']);
/** So many are drawn that somebody has. */
const DRAWN = 16;

/**
 * Limits of disk space that the file system keeps: all files of a root filesystem bear one number, a project, and together they take no more than its limit.
 *
 *     number held, in the records ─► files given ─► limit set ─► launches … ─► root filesystem gone ─► limit lifted ─► number given back
 *
 * Files of a container that was removed bear its number until they are deleted; nobody takes one that some file bears.
 */
export class Projects {
  readonly #parts: ProjectParts;

  constructor(parts: ProjectParts) {
    this.#parts = parts;
  }

  /**
   * Has the file system keep a limit. Safe to repeat; nothing may run in it.
   * @param places where all that is written comes to lie @param base bytes that do not count; undefined for those that are there
   * @returns the bytes that do not count; or why it cannot, as a clause: then all is as it was
   * @throws ProvisionerError `ERR_ABORTED`, and what the records throw
   */
  async limit(
    rootfs: RootfsKey,
    places: readonly string[],
    { bytes, base }: { readonly bytes: number; readonly base: number | undefined },
    signal?: AbortSignal | undefined,
  ): Promise<{ readonly base: number } | { readonly reason: string }> {
    const { directory, syscalls, calls, holdings } = this.#parts;
    if (!syscalls.keepsProjectLimits(directory)) {
      return { reason: 'the file system of the store has no project quota, or is mounted without' };
    }
    let held = await this.of(rootfs);
    try {
      held ??= await this.#take(rootfs);
      crashPoint('space.recorded');
      if (!held.isGiven) {
        await giveToProject(calls(), places, held.project, signal);
        crashPoint('space.given');
        await holdings.change(held.holding, { from: rootfs.id, details: detailsOf({ ...rootfs, isGiven: true }) });
      }
      const use = syscalls.projectUse(directory, held.project);
      // Whoever answers keeps the books of another file system.
      if (use.files === 0) throw new Error('files that were given to a project are not counted for it');
      const counted = base ?? use.bytes;
      syscalls.limitProject(directory, held.project, counted + bytes);
      crashPoint('space.limited');
      return { base: counted };
    } catch (error) {
      if (isProvisionerError(error)) throw error;
      if (held !== undefined) {
        // Else what is made in them could not be moved out of them.
        await giveToProject(calls(), places, 0).catch(() => undefined);
        await this.#lift(held);
      }
      return { reason: `the file system of the store does not keep to project quotas: ${firstLine(error)}` };
    }
  }

  /**
   * Gives files that lie elsewhere to the project of a root filesystem, where it has one. On another file system than the store's root nobody keeps them to a limit.
   * @param directory absolute @param names in it
   */
  async giveFiles(rootfs: RootfsKey, directory: string, names: readonly string[]): Promise<void> {
    const held = await this.of(rootfs);
    if (held === undefined) return;
    const opened = this.#parts.calls().openDirectory(directory);
    try {
      for (const name of names) opened.giveToProject(name, held.project);
    } catch (error) {
      if (!NO_PROJECTS.has(systemCode(error) ?? '')) throw fileError(error, 'limit the disk space of', directory);
    } finally {
      opened.close();
    }
  }

  /** What a root filesystem has. */
  async of({ id }: RootfsKey): Promise<HeldProject | undefined> {
    const held = await this.#parts.holdings.list({ holder: id });
    return held.filter(({ kind }) => kind === KIND).map(heldOf)[0];
  }

  /** Bytes that it takes. */
  used({ project }: HeldProject): number {
    return this.#parts.syscalls.projectUse(this.#parts.directory, project).bytes;
  }

  /** Changes the limit of one that has one. @param bytes with those that do not count */
  change({ project }: HeldProject, bytes: number): void {
    this.#parts.syscalls.limitProject(this.#parts.directory, project, bytes);
  }

  /**
   * Takes back what root filesystems have that are gone.
   * @param isThere whether one is still recorded @param containerId only of this one
   * @returns what was taken back, a word and a name each
   */
  async takeBack(isThere: (rootfs: RootfsKey) => Promise<boolean>, containerId?: string): Promise<string[]> {
    const taken: string[] = [];
    for (const held of (await this.#parts.holdings.list({ kind: KIND })).map(heldOf)) {
      if (containerId !== undefined && held.containerId !== containerId) continue;
      if (await isThere(held)) continue;
      await this.#lift(held);
      taken.push(`project quota ${held.project}`);
    }
    return taken;
  }

  async #take(rootfs: RootfsKey): Promise<HeldProject> {
    const { directory, syscalls, holdings, bootId, draw = randomInt } = this.#parts;
    for (let drawn = 0; drawn < DRAWN; drawn++) {
      const project = draw(FIRST, LAST);
      const { files, bytes, limit } = syscalls.projectUse(directory, project);
      if (files > 0 || bytes > 0 || limit > 0) continue;
      const details = detailsOf({ ...rootfs, isGiven: false });
      const wanted = [{ kind: KIND, names: [`${project}`], details }];
      const { taken } = await holdings.take({ holder: rootfs.id, bootId }, wanted);
      if (taken?.[0] !== undefined) return heldOf(taken[0]);
    }
    throw new Error(`${DRAWN} project ids were tried, and all are in use`);
  }

  /** The limit goes first: whoever has the number next begins without one. */
  async #lift({ project, holding }: HeldProject): Promise<void> {
    const { directory, syscalls, holdings } = this.#parts;
    // Where the file system has been mounted without quotas since, there is nothing to lift.
    if (syscalls.keepsProjectLimits(directory)) syscalls.limitProject(directory, project, 0);
    crashPoint('space.lifted');
    await holdings.release([holding]);
  }
}

const detailsOf = ({ containerId, isGiven }: Pick<HeldProject, 'containerId' | 'isGiven'>): string =>
  JSON.stringify({ containerId, isGiven });

function heldOf(holding: Holding): HeldProject {
  const { containerId = '', isGiven = false } = JSON.parse(holding.details ?? '{}') as Partial<HeldProject>;
  return { id: holding.holder ?? '', containerId, isGiven, project: Number(holding.name), holding };
}
