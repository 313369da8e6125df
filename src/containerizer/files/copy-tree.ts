import type { BytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import { DIRECTORY, FIFO, REGULAR_FILE, SYMLINK, type TreeCalls } from '../../system/syscalls/tree-calls.js';
import type { HeldPlace } from '../bundle/rootfs/rootfs-view.js';
import { archiveTree } from './archives/archive-tree.js';
import { extractTree } from './archives/extract-tree.js';
import { LeftOutList } from './archives/left-out-list.js';
import { sharedCopy } from './archives/shared-copy.js';
import type { Copied, CopyOptions } from './container-files.js';
import type { OpenRoot } from './container-roots.js';
import {
  below,
  type CopySource,
  type CopyTarget,
  copyPlace,
  inSource,
  isContent,
  parentOf,
  writtenName,
} from './copy-place.js';
import { kindOf } from './file-info.js';
import { filesError, wrongKind } from './files-errors.js';
import { hold } from './hold-place.js';

/** One end of a copy. */
export interface CopyEnd {
  readonly root: OpenRoot;
  readonly path: BytePath;
  /** Follow a symlink that the path ends with, also where no slash is behind it. */
  readonly followLink: boolean;
}

/** Kinds that a copy may begin with. Devices are copied in a tree only. */
const SOURCES = new Set([REGULAR_FILE, DIRECTORY, SYMLINK, FIFO]);

/**
 * Copies what is at one path to another, as `docker cp` does: by an archive that is unpacked while it is made, so that both ends are as careful as with archives of others.
 * @throws ProvisionerError `ERR_FILE_NOT_FOUND`, `ERR_FILE_TYPE`, and as `archiveTree` and `extractTree`
 */
export async function copyTree(
  calls: TreeCalls,
  from: CopyEnd,
  to: CopyEnd,
  { owner = 'user', signal }: Omit<CopyOptions, 'followLink'>,
): Promise<Copied> {
  const source = hold(from.root, 'copy', from.path, { follow: from.followLink });
  try {
    const target = hold(to.root, 'write', to.path, { follow: to.followLink });
    try {
      const { directory, path, as } = placeOf(from, source, to, target);
      const leftOut = new LeftOutList();
      const copy = sharedCopy();
      const archive = archiveTree(calls, source, {
        as,
        shown: (entry) => from.root.shown(inSource(source.path, as, entry)),
        withoutDevices: owner !== 'kept',
        leftOut,
        copy,
        signal,
      });
      return await extractTree(calls, directory, archive, {
        owner: owner === 'kept' ? undefined : await to.root.user(),
        shown: (entry) => to.root.shown(below(path, entry)),
        leftOut,
        copy,
        signal,
      });
    } finally {
      target.directory.close();
    }
  } finally {
    source.directory.close();
  }
}

/** @returns the directory that is unpacked into, its path, and what the source is called there */
function placeOf(
  from: CopyEnd,
  source: HeldPlace,
  to: CopyEnd,
  target: HeldPlace,
): { readonly directory: HeldPlace['directory']; readonly path: BytePath; readonly as: BytePath } {
  const shownSource = from.root.shown(source.path);
  if (source.status === undefined) throw filesError(syscallError('ENOENT', 'open'), 'copy', shownSource);
  const { type } = source.status;
  if (!SOURCES.has(type)) throw wrongKind('copy', shownSource, `it is no file or directory: ${kindOf(type)}`);
  const place = copyPlace(sourceOf(from.path, source), targetOf(to, target));
  if ('problem' in place) throw wrongKind('write', to.root.shown(target.path), place.problem);
  return { directory: target.directory, path: place.inside ? target.path : parentOf(target.path), as: place.as };
}

function sourceOf(written: BytePath, { path, status }: HeldPlace): CopySource {
  const name = writtenName(written) ?? writtenName(path);
  return {
    isDirectory: status?.type === DIRECTORY,
    name: name ?? '',
    isContent: isContent(written) || name === undefined,
  };
}

function targetOf({ root, path: written }: CopyEnd, { path, status }: HeldPlace): CopyTarget {
  const name = writtenName(path) ?? '';
  const endsWithSlash = /\/\.?$/.test(written);
  if (status === undefined) return { is: 'missing', name, endsWithSlash };
  if (status.type === SYMLINK)
    return { is: leadsToDirectory(root, path) ? 'link-to-directory' : 'link', name, endsWithSlash };
  const is = status.type === DIRECTORY ? 'directory' : status.type === REGULAR_FILE ? 'file' : 'other';
  return { is, name, endsWithSlash };
}

/** Of a symlink that is not followed. One that cannot be followed leads nowhere. */
function leadsToDirectory(root: OpenRoot, link: BytePath): boolean {
  try {
    return root.view.resolve(link).type === DIRECTORY;
  } catch {
    return false;
  }
}
