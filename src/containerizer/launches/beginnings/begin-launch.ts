import { randomBytes } from 'node:crypto';
import { renameSync, rmSync } from 'node:fs';
import { crashPoint } from '../../../base/crash-points.js';
import { isProvisionerError } from '../../../base/errors.js';
import { ensureOwnDirectory, makeOwnDirectory } from '../../../base/own-files.js';
import type { LaunchRecord } from '../../../index.js';
import type { LockFile } from '../../../system/syscalls/lock-file.js';
import { eventNote } from '../../events/container-event.js';
import type { Machine } from '../../machine.js';
import type { Endings } from '../endings.js';
import { keepFiles } from '../kept/kept-spec.js';
import type { LaunchDirectory } from '../kept/launch-directory.js';
import type { LaunchPlaceNote, LaunchSpecNote } from '../kept/launch-notes.js';
import { changedMeanwhile, containerExists } from '../launch-errors.js';

/** A launch that is to be recorded. */
export interface WantedLaunch {
  readonly containerId: string;
  readonly note: LaunchSpecNote;
  /** What will run it. */
  readonly runtime: { readonly name: LaunchPlaceNote['runtime']; readonly stateRoot: string };
  readonly removal: LaunchRecord['removal'];
  /** The container's launch before, which has ended; undefined for a container that is new. */
  readonly last: LaunchRecord | undefined;
  /** What is known of it already. */
  readonly shown?: Pick<LaunchPlaceNote, 'image' | 'command'> | undefined;
  /** The container that it is a fork of. */
  readonly forkOf?: string | undefined;
}

/** A launch that is recorded as `starting`, and of which nothing else is there. */
export interface BegunLaunch {
  readonly launch: LaunchRecord;
  readonly place: LaunchPlaceNote;
  readonly directory: LaunchDirectory;
  /** Says that somebody is at it. */
  readonly alive: LockFile;
  /** Held until it runs: whoever finds it half started sees that somebody is at it. */
  readonly watched: LockFile | undefined;
}

/**
 * Records a launch. The directory stands before the record names it; without one it is nobody's, and a recovery takes it.
 * @throws ProvisionerError `ERR_CONTAINER_EXISTS`, `ERR_CONTAINER_RUNNING`; then nothing is left
 */
export async function beginLaunch(
  { provisioner, syscalls, parent, bootId }: Machine,
  endings: Endings,
  { containerId, note, runtime, removal, last, shown, forkOf }: WantedLaunch,
): Promise<BegunLaunch> {
  const { launches } = provisioner;
  const id = randomBytes(16).toString('hex');
  const directory = endings.directory(id);
  ensureOwnDirectory(directory.path);
  makeOwnDirectory(directory.output);
  let alive: LockFile | undefined;
  let watched: LockFile | undefined;
  let isRecorded = false;
  try {
    // It is not there before it is held: without it a recovery leaves a young directory alone.
    alive = syscalls.openLockFile(`${directory.alive}.draft`);
    alive.tryAnnounceWriter();
    renameSync(`${directory.alive}.draft`, directory.alive);
    watched = endings.holdWatch(directory);
    if (last !== undefined) keepFiles(endings.directory(last.id), directory);
    crashPoint('launch.directoryMade');
    const newest = await launches.get(containerId);
    if (newest?.id !== last?.id)
      throw last === undefined ? containerExists(containerId) : changedMeanwhile(containerId);
    const { name, stateRoot } = runtime;
    const place: LaunchPlaceNote = { ...shown, runtime: name, stateRoot, cgroupsPath: `${parent}/${id}` };
    const created = { image: note.imageName, labels: note.labels, ...(forkOf !== undefined && { forkOf }) };
    const put = await launches
      .put({
        id,
        containerId,
        anyOwner: last !== undefined,
        bootId,
        spec: JSON.stringify(note),
        place: JSON.stringify(place),
        removal,
        // What is started again was created before.
        ...(last === undefined ? { event: eventNote('create', created) } : {}),
      })
      .catch((error) => {
        if (!isProvisionerError(error, 'ERR_CONTAINER_RUNNING')) throw error;
        throw last === undefined ? containerExists(containerId) : changedMeanwhile(containerId);
      });
    isRecorded = true;
    crashPoint('launch.recorded');
    const isThere = (await provisioner.containers.get(containerId)) !== undefined;
    if (isThere && last === undefined) throw containerExists(containerId);
    if (!isThere && last !== undefined) throw changedMeanwhile(containerId);
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
