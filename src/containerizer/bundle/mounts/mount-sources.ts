import { realpath, stat } from 'node:fs/promises';
import { fileError, ProvisionerError, systemCode } from '../../../base/errors.js';
import type { MountSpec } from '../../launch-spec.js';

/** What a source is, and so what its target must be: a file is all that is no directory. */
export type SourceKind = 'directory' | 'file';

/**
 * Looks at the sources on the host, which may take as long as their file systems do. Symlinks there are followed once, now: the runtime is given where they lead.
 * @throws ProvisionerError `ERR_MOUNT_SOURCE`, `ERR_BAD_OPTION` for a relative one, `ERR_PERMISSION`, `ERR_IO`
 */
export function mountSources(mounts: readonly MountSpec[]): Promise<(MountSpec & { readonly kind: SourceKind })[]> {
  return Promise.all(mounts.map(sourceOf));
}

/** The same mounts with their sources as they are found now: what is started again finds these and no others, whatever has become of the symlinks. @throws as `mountSources` */
export async function settledSources(mounts: readonly MountSpec[]): Promise<MountSpec[]> {
  return (await mountSources(mounts)).map(({ kind: _, ...mount }) => mount);
}

/**
 * Of mounts that were settled: a source may have been in reach of the container, by another mount, which may have put a symlink in its way.
 * @throws ProvisionerError `ERR_MOUNT_SOURCE` for one that leads elsewhere now, and as `mountSources`
 */
export async function requireSettled(mounts: readonly MountSpec[]): Promise<void> {
  for (const [index, { source, target }] of (await mountSources(mounts)).entries()) {
    const before = mounts[index]?.source ?? '';
    if ((source ?? '') === before) continue;
    throw new ProvisionerError(
      'ERR_MOUNT_SOURCE',
      `${before} is not what was mounted at ${target} before: there is a symlink in its way now, to ${source}`,
      {
        hint: 'see who has put it there; to mount what it leads to, launch another container',
        details: { source: before, target, leadsTo: source ?? '' },
      },
    );
  }
}

async function sourceOf(mount: MountSpec): Promise<MountSpec & { readonly kind: SourceKind }> {
  const { source, target } = mount;
  if (mount.type !== 'bind' || source === undefined) return { ...mount, kind: 'directory' };
  if (!source.startsWith('/') || source.includes('\0')) {
    throw new ProvisionerError(
      'ERR_BAD_OPTION',
      `the source ${JSON.stringify(source)} of a mount is no absolute path`,
      {
        details: { source, target },
      },
    );
  }
  try {
    const real = await realpath(source);
    const status = await stat(real);
    return { ...mount, source: real, kind: status.isDirectory() ? 'directory' : 'file' };
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ELOOP')
      throw fileError(error, 'look at the source of a mount', source);
    throw new ProvisionerError('ERR_MOUNT_SOURCE', `there is no ${source} on this machine to mount at ${target}`, {
      cause: error,
      hint: 'make it first: a source that is missing is not made, since it is mostly a misspelt one',
      details: { source, target },
    });
  }
}
