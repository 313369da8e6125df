import type { BytePath } from '../../system/syscalls/byte-path.js';
import { DIRECTORY } from '../../system/syscalls/tree-calls.js';
import type { Owner } from './archives/extract-tree.js';
import type { OpenRoot } from './container-roots.js';
import { kindOf } from './file-info.js';
import { filesError, wrongKind } from './files-errors.js';
import { hold } from './hold-place.js';

/** Of a directory on the way to the one that is asked for. */
const MODE_ABOVE = 0o755;

/** What a new directory is to be like. */
export interface NewDirectory extends Owner {
  readonly mode: number;
}

/** @throws ProvisionerError `ERR_FILE_TYPE` when something is there, `ERR_FILE_NOT_FOUND` when the directory above is not */
export function makeDirectory(root: OpenRoot, path: BytePath, like: NewDirectory): void {
  makeOne(root, path, like, false);
}

/** With those above it that are missing, which get the same owner. One that is there is left as it is. @throws ProvisionerError `ERR_FILE_TYPE` when something else is there */
export function makeDirectories(root: OpenRoot, path: BytePath, like: NewDirectory): void {
  const names = plainPath(root, path).split('/').slice(1);
  for (const index of names.keys()) {
    const mode = index === names.length - 1 ? like.mode : MODE_ABOVE;
    makeOne(root, `/${names.slice(0, index + 1).join('/')}`, { ...like, mode }, true);
  }
}

function plainPath(root: OpenRoot, path: BytePath): BytePath {
  try {
    return root.view.resolve(path).path;
  } catch (error) {
    throw filesError(error, 'make', root.shown(path));
  }
}

function makeOne(root: OpenRoot, path: BytePath, { mode, uid, gid }: NewDirectory, mayBeThere: boolean): void {
  const { directory, name, path: plain, status } = hold(root, 'make', path);
  try {
    if (status?.type === DIRECTORY && mayBeThere) return;
    if (status !== undefined) throw wrongKind('make', root.shown(plain), `there is a ${kindOf(status.type)} already`);
    if (!directory.makeDirectory(name)) {
      // Somebody else has made it since.
      if (mayBeThere) return;
      throw wrongKind('make', root.shown(plain), 'something is there already');
    }
    const made = directory.openDirectory(name);
    try {
      made.setOwner('', uid, gid);
      made.setMode('', mode);
    } finally {
      made.close();
    }
  } catch (error) {
    throw filesError(error, 'make', root.shown(plain));
  } finally {
    directory.close();
  }
}
