import { lstatSync } from 'node:fs';
import { basename, join } from 'node:path';
import { crashPoint } from '../base/crash-points.js';
import { isProvisionerError } from '../base/errors.js';
import { filterUnhurried, unhurried } from '../base/unhurried.js';
import { digestHex, type LayerId } from '../image/digest.js';
import { abandonedStaging } from '../layer-store/reconcile-staging.js';
import { type Retirement, UnrecordedLayers } from '../layer-store/unrecorded-layers.js';
import { isLaunchId, layerOfDirectory } from '../paths.js';
import { NEW_FILE_SYSTEM } from '../store-directory/find-store.js';
import type { CheckNeeds } from './check-needs.js';
import { type Finding, finding } from './findings.js';
import { listOrTell, namesOrTell, unreadable } from './list-directory.js';
import type { ParkedLayers } from './parked-layers.js';
import { confirmed, type Suspect } from './suspects.js';

/** Compares what stands in the store's own directories with the records. */
export async function checkDirectories(
  needs: CheckNeeds,
  parked: ParkedLayers,
  signal: AbortSignal | undefined,
): Promise<Finding[]> {
  const { paths, metadata } = needs;
  const findings: Finding[] = [];
  const directories = await namesOrTell(paths.layers, findings);
  const recorded = new Set<string>();
  for await (const { id } of unhurried(await metadata.listLayers())) recorded.add(digestHex(id));
  const strangers = await filterUnhurried(directories, (name) => !recorded.has(name));
  const suspects: Suspect[] = [];
  for await (const name of unhurried(strangers)) {
    const subject = join(paths.layers, name);
    const id = layerOfDirectory(name);
    if (id === undefined) findings.push(foreign(subject));
    else suspects.push(() => unrecorded(id, subject, needs));
  }
  findings.push(...(await confirmed(suspects, needs, signal)));
  const own = new Set(paths.own.map((path) => basename(path)));
  for (const name of listOrTell(paths.root, findings)) {
    if (!own.has(name) && !NEW_FILE_SYSTEM.has(name)) findings.push(foreign(join(paths.root, name)));
  }
  for (const subject of await abandonedOrTell(needs, findings)) {
    const message = `${subject} was left by a pull that died: the next pull, prune or recovery takes it`;
    findings.push(finding({ severity: 'note', code: 'STAGING_LEFT', subject, message }));
  }
  for await (const name of unhurried(await namesOrTell(paths.gc, findings))) {
    const subject = join(paths.gc, name);
    findings.push(finding({ severity: 'note', code: 'GC_LEFT', subject, message: `${subject} waits to be swept` }));
  }
  findings.push(...(await launchFindings(needs, findings)));
  return [...findings, ...parkedFindings(parked)];
}

/** A prune forgets layers and then retires them, with the lock held alone. */
async function unrecorded(id: LayerId, subject: string, needs: CheckNeeds): Promise<Finding | undefined> {
  if (lstatSync(subject, { throwIfNoEntry: false }) === undefined) return undefined;
  if (await isBeingStored(id, needs)) return undefined;
  return finding({
    severity: 'leak',
    code: 'LAYER_UNRECORDED',
    subject,
    message: `${subject} is a layer that no record names`,
    repairable: true,
  });
}

/** A pull puts a layer in its place and then records it, without the lock; its claim tells. */
async function isBeingStored(id: LayerId, { metadata, liveness }: CheckNeeds): Promise<boolean> {
  try {
    const claim = await metadata.claimLayer(id, liveness.identity, liveness.isAlive);
    if (claim.state !== 'claimed') return true;
    await metadata.releaseLayerClaims(liveness.identity, [id]);
    return false;
  } catch (error) {
    // Asking writes, for which a full disk has no room, and a read-only one none at all. Then the lease of the pull tells as well, unless it stores a seam.
    if (isProvisionerError(error, 'ERR_NO_SPACE', 'ERR_STORE_BUSY', 'ERR_READ_ONLY')) {
      return (await metadata.listLeases()).some(
        ({ layers, process }) => layers.includes(id) && liveness.isAlive(process),
      );
    }
    throw error;
  }
}

/** Retires a layer that no record names, if it may go. */
export async function retireUnrecorded(
  directory: string,
  needs: CheckNeeds,
  signal: AbortSignal | undefined,
): Promise<Retirement> {
  const id = layerOfDirectory(basename(directory));
  if (id === undefined) return { state: 'kept', reason: 'it is no layer' };
  const retire = () => new UnrecordedLayers(needs).retire(id);
  const retirement = await needs.storeLock.withExclusive('check', retire, signal);
  if (retirement.state === 'retired') crashPoint('repair.unrecordedRetired');
  return retirement;
}

/** A launch is recorded before its directory is made, and nobody but who runs it takes that away. @param unread is given what cannot be read */
async function launchFindings({ paths, metadata }: CheckNeeds, unread: Finding[]): Promise<Finding[]> {
  const names = await namesOrTell(paths.launches, unread);
  if (names.length === 0) return [];
  const recorded = new Set((await metadata.listLaunches()).map(({ id }) => id));
  const found: Finding[] = [];
  for await (const name of unhurried(names)) {
    const subject = join(paths.launches, name);
    if (recorded.has(name)) continue;
    const status = lstatSync(subject, { throwIfNoEntry: false });
    if (status === undefined) continue;
    if (!isLaunchId(name) || !status.isDirectory()) {
      found.push(foreign(subject));
      continue;
    }
    const message = `${subject} was left by a launch that no record names: the next recovery of what runs containers takes it`;
    found.push(finding({ severity: 'note', code: 'LAUNCH_LEFT', subject, message }));
  }
  return found;
}

function parkedFindings(parked: ParkedLayers): Finding[] {
  return parked.list().map(({ directory, parked: layer }) =>
    layer === undefined
      ? foreign(directory)
      : finding({
          severity: 'note',
          code: 'LAYER_PARKED',
          subject: layer.layer,
          message: `${directory} is layer ${layer.layer} as it was before it was replaced; root filesystems that show it: ${layer.rootfses.join(', ')}`,
        }),
  );
}

function foreign(subject: string): Finding {
  return finding({ severity: 'leak', code: 'FOREIGN_FILE', subject, message: `${subject} is not the store's` });
}

/** What dead pulls left; nothing where that cannot be read, which is told. */
async function abandonedOrTell(needs: CheckNeeds, findings: Finding[]): Promise<readonly string[]> {
  try {
    return (await abandonedStaging(needs)).left;
  } catch (error) {
    findings.push(unreadable(needs.paths.staging, error));
    return [];
  }
}
