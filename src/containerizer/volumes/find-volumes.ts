import { join, posix } from 'node:path';
import { fileError, ProvisionerError, systemCode } from '../../base/errors.js';
import type { Provisioner, VolumeWish } from '../../index.js';
import { fromBytePath, toBytePath } from '../../system/syscalls/byte-path.js';
import { DIRECTORY, type TreeCalls } from '../../system/syscalls/tree-calls.js';
import { type ImageVolume, OWN_PLACES } from '../bundle/mounts/planned-mounts.js';
import { requireTarget } from '../bundle/mounts/resolve-targets.js';
import { workingDirectoryOf } from '../bundle/program.js';
import { isAtOrBelow, type Place, RootfsView } from '../bundle/rootfs/rootfs-view.js';
import type { LaunchSpec, MountSpec } from '../launch-spec.js';
import type { LaunchRoot } from '../launches/kept/launch-root.js';

/** Where no image has anything that could be a volume: `/sys/fs/cgroup` is one of some. */
const NO_PLACES = ['/proc', '/sys', '/dev'];
const NO_WAY = new Set(['ELOOP', 'ENOTDIR', 'ENAMETOOLONG']);

/** Of a launch: whose, in which root filesystem. */
export interface VolumeSeeker {
  readonly provisioner: Provisioner;
  readonly calls: TreeCalls;
  readonly containerId: string;
  readonly root: LaunchRoot;
}

interface FoundVolume {
  readonly mount: MountSpec;
  /** What it is filled with where it is new. */
  readonly from: string | undefined;
}

/**
 * Puts the directories of its volumes in the place of their names: those that are asked for, and those that the image declares and no mount of the caller's has the place of, or of what is above
 * them. What is new is filled with what the image has there; its symlinks lead nowhere out of it.
 * @returns what is asked for then: binds in the place of volumes; the same where there are none
 * @throws ProvisionerError as `volumes.use` of the provisioner; before anything is recorded `ERR_BAD_OPTION` for what is no volume, `ERR_MOUNT_TARGET` for where none can be
 */
export async function findVolumes(
  { provisioner, calls, containerId, root }: VolumeSeeker,
  spec: LaunchSpec,
  signal: AbortSignal | undefined,
): Promise<LaunchSpec> {
  const asked = spec.mounts ?? [];
  if (root.runtime.volumes.length === 0 && !asked.some(({ type }) => type === 'volume')) return spec;
  const found = volumesIn(calls, root, spec);
  const user = { containerId, id: root.id };
  const wishes = new Map<string, VolumeWish>();
  for (const { mount, from } of found) {
    if (mount.source === undefined) continue;
    // A container may have one at several places.
    const other = wishes.get(mount.source);
    const readOnly = mount.readOnly === true && (other?.readOnly ?? true);
    wishes.set(mount.source, { name: mount.source, readOnly, from: other?.from ?? from });
  }
  const names = [...wishes.keys()];
  const directories = names.length === 0 ? [] : await provisioner.volumes.use(user, [...wishes.values()], signal);
  const mounts: MountSpec[] = asked.filter(({ type }) => type !== 'volume');
  for (const { mount, from } of found) {
    const source =
      mount.source === undefined
        ? await provisioner.volumes.anonymous(user, posix.resolve('/', mount.target), from, signal)
        : directories[names.indexOf(mount.source)];
    mounts.push({ ...mount, type: 'bind', source });
  }
  return { ...spec, mounts };
}

function volumesIn(calls: TreeCalls, root: LaunchRoot, spec: LaunchSpec): FoundVolume[] {
  let view: RootfsView;
  try {
    view = new RootfsView(calls, root.path);
  } catch (error) {
    throw fileError(error, 'open the root filesystem', root.path);
  }
  try {
    const mounts = spec.mounts ?? [];
    const volumes = mounts.filter(({ type }) => type === 'volume');
    volumes.forEach(check);
    const taken = mounts.map(({ target }) => placeOf(view, target)?.path ?? target);
    for (const [index, mount] of mounts.entries()) {
      // What cannot be there is told before anything is recorded, and copied.
      if (mount.type === 'volume') requireTarget(view, mount.target, taken.toSpliced(index, 1));
    }
    const ofImage = root.runtime.volumes.flatMap((target) => {
      const place = placeOf(view, target);
      if (place === undefined || !canBeVolume(place, root) || taken.some((path) => isAtOrBelow(place.path, path)))
        return [];
      // Two names of one place are one.
      taken.push(place.path);
      return [{ type: 'volume', target, isOfImage: true } satisfies ImageVolume];
    });
    const all: MountSpec[] = [...volumes, ...ofImage];
    if (!root.isReadOnly) makeWorkingDirectory(view, workingDirectoryOf(root.runtime, spec), all);
    return all.map((mount) => {
      const place = placeOf(view, mount.target);
      const from = place?.type === DIRECTORY ? join(root.path, fromBytePath(place.path)) : undefined;
      return { mount, from };
    });
  } finally {
    view.close();
  }
}

/** One of an image that cannot be is left out: it has something else there, or cannot be written. */
function canBeVolume({ path, type }: Place, { isReadOnly }: LaunchRoot): boolean {
  if (path === '/' || OWN_PLACES.some((own) => own === path) || NO_PLACES.some((tree) => isAtOrBelow(path, tree)))
    return false;
  if (toBytePath(fromBytePath(path)) !== path) return false;
  return type === undefined ? !isReadOnly : type === DIRECTORY;
}

/** A program that begins in a volume finds its directory there, as it would without one. */
function makeWorkingDirectory(view: RootfsView, path: string, volumes: readonly MountSpec[]): void {
  const place = placeOf(view, path);
  const isInOne = volumes.some(({ target }) => isAtOrBelow(place?.path ?? path, placeOf(view, target)?.path ?? target));
  if (place === undefined || place.type !== undefined || !isInOne) return;
  try {
    view.make(place.path, 'directory');
  } catch (error) {
    throw fileError(error, 'make the working directory', path);
  }
}

/** What a path leads to in the image; undefined where that is nowhere: who mounts something there is told. */
function placeOf(view: RootfsView, path: string): Place | undefined {
  if (!isPath(path)) return undefined;
  try {
    return view.resolve(toBytePath(path));
  } catch (error) {
    if (NO_WAY.has(systemCode(error) ?? '')) return undefined;
    throw fileError(error, 'look for the target of a mount', path);
  }
}

const isPath = (target: string): boolean => target.startsWith('/') && !target.includes('\0');

/** @throws ProvisionerError `ERR_BAD_OPTION` for one that says what no volume has */
function check({ target, source, sizeBytes, mode }: MountSpec): void {
  const isAbsolute = isPath(target);
  // What else is no name the store says.
  const isNamed = source === undefined || /^[^/]+$/.test(source);
  if (isAbsolute && isNamed && sizeBytes === undefined && mode === undefined) return;
  const name = `${JSON.stringify(source)} is no name of a volume`;
  const others = isNamed ? 'size and mode are for a tmpfs' : name;
  const why = isAbsolute ? others : 'its target must be an absolute path';
  throw new ProvisionerError('ERR_BAD_OPTION', `the volume at ${JSON.stringify(target)} cannot be: ${why}`, {
    details: { target },
  });
}
