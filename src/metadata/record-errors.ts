import { ProvisionerError } from '../base/errors.js';
import type { ImageId, LayerId } from '../image/digest.js';
import type { UnendedLaunch } from './launches/launch-records.js';
import type { RecordsGap } from './state/records-state.js';

/** What every metadata manager answers when a record that a call builds on is not there. */

export function layersNotFound(layers: readonly LayerId[]): ProvisionerError {
  const [first = ''] = layers;
  const others = layers.length > 1 ? ` and ${layers.length - 1} more` : '';
  return new ProvisionerError('ERR_LAYER_NOT_FOUND', `the store does not hold layer ${first}${others}`, {
    hint: 'pull the image again',
    details: { layers },
  });
}

export function imageNotFound(id: ImageId): ProvisionerError {
  return new ProvisionerError('ERR_IMAGE_NOT_FOUND', `the store does not hold image ${id}`, {
    hint: 'pull the image first',
    details: { image: id },
  });
}

export function rootfsGone(rootfsId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_GONE', `rootfs ${rootfsId} was destroyed while it was being provisioned`, {
    hint: 'provision the container again',
    details: { rootfs: rootfsId },
  });
}

export function containerExists(containerId: string): ProvisionerError {
  return new ProvisionerError('ERR_CONTAINER_EXISTS', `there is a container ${containerId} already`, {
    hint: `choose another id, or remove that one: \`provisioner destroy ${containerId}\``,
    details: { containerId },
  });
}

export function rootfsIdTaken(rootfsId: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `a rootfs with the id ${rootfsId} is recorded already`, {
    hint: 'give each rootfs an id of its own',
    details: { rootfs: rootfsId },
  });
}

export function containerForeign(containerId: string, owner: string): ProvisionerError {
  const name = JSON.stringify(owner);
  return new ProvisionerError('ERR_CONTAINER_FOREIGN', `container ${containerId} belongs to the owner ${name}`, {
    hint: `act as that owner with --owner ${name}, or say --any-owner to change it all the same`,
    details: { containerId, owner },
  });
}

/** Its records have the last word: whoever runs it may be another process, or have died. */
export function containerRunning({ containerId, id, state }: UnendedLaunch): ProvisionerError {
  return new ProvisionerError(
    'ERR_CONTAINER_RUNNING',
    `something runs in container ${containerId}: its launch ${id} is ${state}`,
    {
      hint: 'wait until it has ended, or end it; if who ran it has died, recover it with what runs containers',
      details: { containerId, launch: id, state },
    },
  );
}

export function launchIdTaken(id: string): ProvisionerError {
  return new ProvisionerError('ERR_BAD_OPTION', `a launch with the id ${id} is recorded already`, {
    hint: 'give each launch an id of its own',
    details: { launch: id },
  });
}

export function volumeNotFound(name: string): ProvisionerError {
  return new ProvisionerError('ERR_VOLUME_NOT_FOUND', `there is no volume ${name}`, {
    hint: '`provisioner volume ls` lists the volumes',
    details: { volume: name },
  });
}

export function volumeForeign(name: string, owner: string): ProvisionerError {
  const whose = JSON.stringify(owner);
  return new ProvisionerError('ERR_VOLUME_FOREIGN', `the volume ${name} belongs to the owner ${whose}`, {
    hint: `act as that owner with --owner ${whose}; anybody may mount it read-only, and remove it with --any-owner`,
    details: { volume: name, owner },
  });
}

export function volumeInUse(name: string, containers: readonly string[]): ProvisionerError {
  const [first = ''] = containers;
  const others = containers.length > 1 ? ` and ${containers.length - 1} more` : '';
  return new ProvisionerError('ERR_VOLUME_IN_USE', `the volume ${name} is in use: container ${first}${others} has it`, {
    hint: 'a container has its volumes until it is destroyed, whether it runs or not',
    details: { volume: name, containers },
  });
}

export function leaseGone(pull: string): ProvisionerError {
  return new ProvisionerError('ERR_ABORTED', `the pull ${pull} has been given up`, {
    hint: 'pull the image again',
    details: { pull },
  });
}

export function removalOutdated(what: string, id: string): ProvisionerError {
  return new ProvisionerError('ERR_PLAN_OUTDATED', `the plan cannot be carried out any more: ${what}`, {
    hint: 'nothing was removed; make a new plan',
    details: { id },
  });
}

/** As the end of a clause that begins with `the records`. */
export function describeGap(gap: RecordsGap): string {
  return gap === 'lost' ? 'were lost' : 'are older than the store (put back from a backup, or those of another store)';
}

/** Nobody can undo that for a process that has them open, so it does nothing with them any more. */
export function recordsReplaced(path: string, how: 'deleted' | 'replaced'): ProvisionerError {
  return new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `the records at ${path} were ${how} while this process had them open`,
    {
      hint: 'nothing else was changed; end every process that uses this store, put the records back if they were moved away before any other command is run, then run `provisioner recover`',
      details: { path, how },
    },
  );
}

/** Their log is still there, so they have not been closed before they were moved away, or emptied. */
export function recordsAway(path: string, how: 'missing' | 'empty'): ProvisionerError {
  return new ProvisionerError(
    'ERR_STORE_DAMAGED',
    `the records at ${path} are ${how}, and the log that belongs to them is there`,
    {
      hint: `put the records back if they were moved away: with ${path}-wal they tell of everything; if they are lost for good, move that file away too and run \`provisioner recover\``,
      details: { path, log: `${path}-wal`, how },
    },
  );
}

export function storeClosed(): ProvisionerError {
  return new ProvisionerError('ERR_CLOSED', 'the store has been closed', { hint: 'open it again' });
}
