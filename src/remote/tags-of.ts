import { ProvisionerError } from '../base/errors.js';
import type { Reference } from '../image/reference.js';
import { RegistryAccess } from '../registry/registry-access.js';
import { passedOverWarning } from '../registry/report-passed-over.js';
import { requireRegistryFiles } from '../registry/require-registry-files.js';
import { parseSource } from '../sources/source.js';
import type { ListTagsOptions } from './remote-options.js';

/** What a repository has. */
export interface RepositoryTags {
  /** In full, without a tag: `docker.io/library/app`. */
  readonly repository: string;
  /** In the order of the registry. */
  readonly tags: readonly string[];
}

/** @throws as `listTags` */
export async function tagsOf(
  text: string,
  { registry = {}, limit = Number.POSITIVE_INFINITY, signal, onWarning }: ListTagsOptions,
): Promise<RepositoryTags> {
  const reference = parseRepository(text);
  const repository = `${reference.registry}/${reference.repository}`;
  await requireRegistryFiles(registry);
  const access = new RegistryAccess();
  try {
    const opened = await access.open(reference, registry, {
      signal,
      onPassedOver: (host) => onWarning?.(passedOverWarning(host)),
    });
    return { repository, tags: await opened.tags(limit, `the repository ${repository}`) };
  } finally {
    await access.close();
  }
}

/** @throws ProvisionerError `ERR_BAD_REFERENCE`, `ERR_SOURCE_UNSUPPORTED` */
function parseRepository(text: string): Reference {
  const source = parseSource(text);
  if (source.transport !== 'docker') {
    throw new ProvisionerError(
      'ERR_SOURCE_UNSUPPORTED',
      `${JSON.stringify(text)} is in no registry: only those list tags`,
      {
        hint: 'write [REGISTRY/]REPOSITORY; `provisioner inspect --remote` tells what a layout or an archive has',
        details: { source: text },
      },
    );
  }
  const { reference } = source;
  const { tag, digest } = reference;
  if (tag === undefined && digest === undefined) return reference;
  const what = digest === undefined ? 'a tag' : 'a digest';
  throw new ProvisionerError('ERR_BAD_REFERENCE', `not a repository: ${JSON.stringify(text)}: it has ${what}`, {
    hint: `write ${withoutTag(text)}; \`provisioner inspect --remote ${text}\` tells what that is`,
    details: { reference: text },
  });
}

function withoutTag(text: string): string {
  const name = text.split('@')[0] as string;
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  return colon < 0 ? name : name.slice(0, colon);
}
