import { createHash } from 'node:crypto';
import { unhurried } from '../base/unhurried.js';
import { type Digest, digestAlgorithm, type LayerId } from '../image/digest.js';
import { type ImageConfig, readStoredConfig } from '../image/image-config.js';
import { SeamIds } from '../layer-store/seam-ids.js';
import type { ImageRecord } from '../metadata/metadata-manager.js';
import type { CheckNeeds } from './check-needs.js';
import { type Finding, finding } from './findings.js';
import { confirmed, type Suspect } from './suspects.js';

/** Compares the records of images with each other: documents with their digests, stacks with their configs, layers with the recorded ones. */
export async function checkImages(
  needs: CheckNeeds,
  signal: AbortSignal | undefined,
): Promise<{ findings: Finding[]; images: ImageRecord[] }> {
  const { metadata } = needs;
  const images: ImageRecord[] = [];
  const findings: Finding[] = [];
  const suspects: Suspect[] = [];
  for await (const { id } of unhurried(await metadata.listImages())) {
    const image = await metadata.getImage(id);
    // A prune has taken it meanwhile.
    if (image === undefined) continue;
    images.push(image);
    findings.push(...documentFindings(image));
    if ((await incomplete(image, needs)) !== undefined) {
      suspects.push(async () => {
        const now = await metadata.getImage(id);
        return now === undefined ? undefined : incomplete(now, needs);
      });
    }
  }
  return { findings: [...findings, ...(await confirmed(suspects, needs, signal))], images };
}

/** The image and its layers are read one after the other, and a prune may come in between. */
async function incomplete(image: ImageRecord, { metadata }: CheckNeeds): Promise<Finding | undefined> {
  const missing = await metadata.missingLayers(image.layers);
  const fault = missing.length > 0 ? `layer ${missing[0]} of it is not recorded` : stackFault(image);
  if (fault === undefined) return undefined;
  return finding({
    severity: 'damage',
    code: 'IMAGE_INCOMPLETE',
    subject: image.id,
    message: `image ${image.id} cannot be put together: ${fault}`,
  });
}

function documentFindings(image: ImageRecord): Finding[] {
  const documents = [
    ['manifest', image.id, image.manifest],
    ['config', image.configDigest, image.config],
  ] as const;
  return documents
    .filter(([, digest, text]) => digestOf(text, digest) !== digest)
    .map(([name, digest]) =>
      finding({
        severity: 'damage',
        code: 'IMAGE_DOCUMENT_DAMAGED',
        subject: image.id,
        message: `the ${name} that is kept of image ${image.id} does not have the digest ${digest}`,
      }),
    );
}

function digestOf(text: string, like: Digest): string {
  const algorithm = digestAlgorithm(like);
  return `${algorithm}:${createHash(algorithm).update(text).digest('hex')}`;
}

/** The diff IDs of the config in their order, each perhaps with its seams above it, and nothing else. */
function stackFault(image: ImageRecord): string | undefined {
  const diffIds = diffIdsOf(image);
  if (diffIds === undefined) return 'its config makes no sense';
  let at = 0;
  const ids = new SeamIds();
  for (const diffId of diffIds) {
    if (image.layers[at] !== diffId)
      return `its stack has ${image.layers[at] ?? 'nothing'} where its config has ${diffId}`;
    at++;
    ids.add(diffId);
    const seams = ids.all(false);
    for (let next = image.layers[at]; next !== undefined && seams.has(next); next = image.layers[at]) at++;
  }
  return at === image.layers.length ? undefined : `its stack has ${image.layers[at]}, which its config does not name`;
}

/** Undefined for a config that is damaged. */
export function diffIdsOf(image: ImageRecord): LayerId[] | undefined {
  try {
    const { rootfs }: Partial<ImageConfig> = readStoredConfig(image.config);
    const ids: unknown = rootfs && (rootfs.diff_ids ?? []);
    return Array.isArray(ids) ? ids.map(String) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
