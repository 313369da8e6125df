import type { BytePath } from '../../system/syscalls/byte-path.js';
import { syscallError } from '../../system/syscalls/syscalls.js';
import { DIRECTORY, FIFO, REGULAR_FILE, SYMLINK, type TreeCalls } from '../../system/syscalls/tree-calls.js';
import type { HeldPlace } from '../bundle/rootfs/rootfs-view.js';
import { archiveTree } from './archives/archive-tree.js';
import { extractTree } from './archives/extract-tree.js';
import { LeftOutList } from './archives/left-out-list.js';
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
  { followLink = false, owner = 'user', signal }: CopyOptions,
): Promise<Copied> {
  const source = hold(from.root, 'copy', from.path, { follow: followLink });
  try {
    const target = hold(to.root, 'write', to.path);
    try {
      const { directory, path, as } = placeOf(from, source, to, target);
      const leftOut = new LeftOutList();
      const archive = archiveTree(calls, source, {
        as,
        shown: (entry) => from.root.shown(inSource(source.path, as, entry)),
        withoutDevices: owner !== 'kept',
        leftOut,
        signal,
      });
      return await extractTree(calls, directory, archive, {
        owner: owner === 'kept' ? undefined : await to.root.user(),
        shown: (entry) => to.root.shown(below(path, entry)),
        leftOut,
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
  const place = copyPlace(sourceOf(from.path, source), targetOf(to.path, target));
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

function targetOf(written: BytePath, { path, status }: HeldPlace): CopyTarget {
  const name = writtenName(path) ?? '';
  const endsWithSlash = /\/\.?$/.test(written);
  if (status === undefined) return { is: 'missing', name, endsWithSlash };
  const is = status.type === DIRECTORY ? 'directory' : status.type === REGULAR_FILE ? 'file' : 'other';
  return { is, name, endsWithSlash };
}
