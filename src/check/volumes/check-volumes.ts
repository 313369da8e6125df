import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { unhurried } from '../../base/unhurried.js';
import type { VolumeRecord } from '../../metadata/metadata-manager.js';
import { isVolumeName } from '../../paths.js';
import type { CheckNeeds } from '../check-needs.js';
import { type Finding, finding } from '../findings.js';
import { namesOrTell } from '../list-directory.js';

/** Compares the volumes on the disk with the records, beside everybody's work: what differs is looked up once more. Nothing is repaired: nobody but their users knows what was in them. */
export async function checkVolumes({ paths, metadata, liveness }: CheckNeeds): Promise<Finding[]> {
  const findings: Finding[] = [];
  const names = new Set(await namesOrTell(paths.volumes, findings));
  const recorded = await metadata.listVolumes();
  const statusOf = (name: string) => lstatSync(paths.volume(name), { throwIfNoEntry: false });
  for await (const volume of unhurried(recorded)) {
    names.delete(volume.name);
    const subject = paths.volume(volume.name);
    const status = statusOf(volume.name);
    const message =
      faultOf(volume, subject, liveness.isAlive) ??
      (status?.isDirectory() === false ? replaced(volume, subject) : undefined);
    if (message === undefined && (volume.state !== 'ready' || status !== undefined)) continue;
    const now = await metadata.getVolume(volume.name);
    if (now?.state !== volume.state || now.createdAt !== volume.createdAt) continue;
    findings.push(message ?? missing(volume, subject));
  }
  for await (const name of unhurried(names)) {
    const subject = join(paths.volumes, name);
    // Recorded before it is made, and forgotten after it is gone.
    if (isVolumeName(name) && (await metadata.getVolume(name)) !== undefined) continue;
    const status = lstatSync(subject, { throwIfNoEntry: false });
    if (status !== undefined) findings.push(unrecorded(subject, name, isVolumeName(name) && status.isDirectory()));
  }
  return findings;
}

function faultOf(
  { name, state, maker }: VolumeRecord,
  subject: string,
  isAlive: CheckNeeds['liveness']['isAlive'],
): Finding | undefined {
  if (state !== 'removing' || (maker !== undefined && isAlive(maker))) return undefined;
  const message = `the removal of the volume ${name} was cut short: the next recovery finishes it`;
  return finding({ severity: 'note', code: 'VOLUME_LEFT', subject, message });
}

function missing({ name, containers }: VolumeRecord, subject: string): Finding {
  const users =
    containers.length === 0 ? '' : `, which ${containers.join(', ')} ${containers.length > 1 ? 'have' : 'has'}`;
  const message = `${subject} is missing: the directory of the volume ${name}${users}; put it back, or remove the volume`;
  return finding({ severity: 'damage', code: 'VOLUME_MISSING', subject, message });
}

function replaced({ name }: VolumeRecord, subject: string): Finding {
  const message = `${subject} is no directory: something else has the place of the volume ${name}, and nobody is given that; put the directory back, or remove the volume`;
  return finding({ severity: 'damage', code: 'VOLUME_REPLACED', subject, message });
}

function unrecorded(subject: string, name: string, isVolume: boolean): Finding {
  if (!isVolume)
    return finding({ severity: 'leak', code: 'FOREIGN_FILE', subject, message: `${subject} is not the store's` });
  const message = `${subject} is a volume that no record names: \`provisioner volume create ${name}\` takes it over as it is`;
  return finding({ severity: 'leak', code: 'VOLUME_UNRECORDED', subject, message });
}
