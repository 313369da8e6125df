import { ProvisionerError } from '../base/errors.js';
import { limitExceeded } from '../base/malformed.js';
import { markNames, WHITEOUT_PREFIX, type WhiteoutFormat } from '../files/tree/whiteouts.js';
import { type BytePath, printablePath } from '../system/syscalls/byte-path.js';

/** The kernel takes 4096 bytes with the NUL; a little is kept for what stands before the path. */
const PATH_MAX = 4040;
const NAME_MAX = 255;

const ODD_COMPONENT = /(?:^|\/)\.{0,2}(?:\/|$)/;

/**
 * The path of an entry below the layer's root: no slash in front or behind, no empty and no `.` component; the root itself is '', also where it is written so.
 * An absolute name means the same as a relative one.
 * @throws ProvisionerError `ERR_UNSAFE_PATH` for a `..` component, which no tool that writes layers needs
 */
export function entryPath(name: BytePath): BytePath {
  if (name.length > PATH_MAX) throw limitExceeded(`a path of ${name.length} bytes`, PATH_MAX);
  if (!ODD_COMPONENT.test(name)) return name;
  const components = name.split('/').filter((component) => component !== '' && component !== '.');
  if (components.includes('..')) throw unsafe(name, 'its name leads out with ".."');
  return components.join('/');
}

/** Everything before the last slash; '' for an entry of the root. */
export function parentOf(path: BytePath): BytePath {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

/** Everything behind the last slash. */
export function nameOf(path: BytePath): BytePath {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function join(directory: BytePath, name: BytePath): BytePath {
  return directory === '' ? name : `${directory}/${name}`;
}

export function checkName(path: BytePath): void {
  if (nameOf(path).length > NAME_MAX) {
    throw limitExceeded(`a name of ${nameOf(path).length} bytes`, NAME_MAX);
  }
}

/**
 * In an archive the names of whiteouts cannot be anything else; but a store may have to call them by names that can.
 * @throws ProvisionerError `ERR_UNSAFE_PATH` for an entry that would be taken for a whiteout there
 */
export function unlikeMark(path: BytePath, format: WhiteoutFormat): void {
  const prefix = markNames(format)?.prefix;
  if (prefix === undefined || prefix === WHITEOUT_PREFIX) return;
  if (!path.startsWith(prefix) && !path.includes(`/${prefix}`)) return;
  const shown = printablePath(path);
  throw new ProvisionerError(
    'ERR_UNSAFE_PATH',
    `the layer has ${JSON.stringify(shown)}, but in this store a name that begins with ${prefix} says that something is removed`,
    {
      hint: 'use a store on another file system, with --root: this one refuses the names that whiteouts have elsewhere',
      details: { path: shown },
    },
  );
}

export function unsafe(path: BytePath, why: string): ProvisionerError {
  const shown = printablePath(path);
  return new ProvisionerError(
    'ERR_UNSAFE_PATH',
    `the layer is refused: the entry ${JSON.stringify(shown)} is not safe: ${why}`,
    {
      hint: 'an entry must stay inside its layer; do not use this image unless you know why it has such entries',
      details: { path: shown },
    },
  );
}
