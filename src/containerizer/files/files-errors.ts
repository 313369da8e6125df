import { fileError, firstLine, isProvisionerError, ProvisionerError, systemCode } from '../../base/errors.js';
import { type BytePath, printablePath } from '../../system/syscalls/byte-path.js';

/** As deep as a tree may be that is copied: each level keeps a directory open. Paths that programs can use end far above. */
export const LEVELS_MAX = 512;

const MAKE_IT_FIRST =
  'make the directory first (`mkdir -p`; in a container by `files.mkdir` of the library, or `provisioner exec` while it runs), or copy one that has all of it';

/** How messages call a path: as it is typed, with its container in front. @param containerId undefined for this machine */
export function shownPath(containerId: string | undefined, path: BytePath): string {
  const printable = printablePath(path);
  return containerId === undefined ? printable : `${containerId}:${printable}`;
}

/**
 * The failure of a file operation in a container, or on this machine beside it.
 * @param action the middle of a sentence: `read` @param shown of `shownPath`
 */
export function filesError(error: unknown, action: string, shown: string): ProvisionerError {
  if (isProvisionerError(error)) return error;
  const code = systemCode(error) ?? '';
  const details = { path: shown, ...(code === '' ? {} : { errno: code }) };
  switch (code) {
    case 'ENOENT':
      return new ProvisionerError(
        'ERR_FILE_NOT_FOUND',
        `cannot ${action} ${shown}: there is no such file or directory`,
        {
          cause: error,
          ...(action === 'write' || action === 'make' ? { hint: MAKE_IT_FIRST } : {}),
          details,
        },
      );
    case 'ENOTDIR':
      return wrongKind(action, shown, 'the way there leads through what is no directory, or it is none itself', error);
    case 'ELOOP':
      return wrongKind(
        action,
        shown,
        'the way there leads over too many symlinks, or over one that was no symlink before',
        error,
      );
    case 'EISDIR':
    case 'ENOTEMPTY':
    case 'EEXIST':
      return wrongKind(action, shown, 'a directory is there that is not empty', error);
    case 'EINVAL':
      return changed(action, shown, 'something else has taken its place meanwhile', error);
    case 'EBUSY':
      return new ProvisionerError('ERR_FILE_TYPE', `cannot ${action} ${shown}: something is mounted there`, {
        cause: error,
        hint: 'what is mounted by itself cannot be replaced; change what is mounted, or write it from inside with `provisioner exec`',
        details,
      });
    case 'EROFS':
      return readOnly(action, shown, error);
    default:
      return fileError(error, action, shown);
  }
}

/** Something is at a path, and not what is needed. */
export function wrongKind(action: string, shown: string, why: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_FILE_TYPE', `cannot ${action} ${shown}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    details: { path: shown },
  });
}

export function changed(action: string, shown: string, why: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_FILE_CHANGED', `cannot ${action} ${shown}: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'halt the container meanwhile (`provisioner pause`), and try again',
    details: { path: shown },
  });
}

export function readOnly(action: string, shown: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('ERR_ROOTFS_READ_ONLY', `cannot ${action} ${shown}: nothing can be written there`, {
    ...(cause === undefined ? {} : { cause }),
    hint: 'the container was made read-only (`--read-only`, or `--backend bind`), or what is mounted there was; give it a volume to write to',
    details: { path: shown },
  });
}

/** A symlink on this machine that is not followed. @param name in its directory @param owner whose it is */
export function planted(name: BytePath, owner: number): ProvisionerError {
  const link = printablePath(name);
  return new ProvisionerError(
    'ERR_PERMISSION',
    `the symlink ${JSON.stringify(link)} is not followed: it is in a directory that others may write to, and belongs to user ${owner}`,
    { hint: 'name the place itself to which it leads, if that is meant', details: { link, owner } },
  );
}

/** Something was mounted there that is only to be had while the program runs. @param path in the container */
export function lostMount(containerId: string, path: BytePath, is: 'tmpfs' | 'kernel'): ProvisionerError {
  const shown = shownPath(containerId, path);
  const why =
    is === 'tmpfs'
      ? 'is memory (tmpfs) that there is only while the program runs: what was in it went with its end'
      : 'is made up by the kernel, and only while the program runs';
  return new ProvisionerError('ERR_FILE_TYPE', `${shown} ${why}`, {
    hint: `start it first (\`provisioner start ${containerId}\`); what is to outlive the program belongs into a volume (-v)`,
    details: { path: shown },
  });
}

/** The source of a mount is not there any more, or not without symlinks on the way. @param shown where it was mounted */
export function missingSource(source: BytePath, shown: string, cause: unknown): ProvisionerError {
  const machine = printablePath(source);
  return new ProvisionerError(
    'ERR_MOUNT_SOURCE',
    `there is no ${machine} on this machine any more, which was mounted at ${shown}`,
    {
      cause,
      hint: 'put it back where it was, with no symlink on the way',
      details: { source: machine, target: shown },
    },
  );
}

/** What a caller handed over failed while it was read. @param what that is: `the archive` */
export function givenError(error: unknown, what: string): ProvisionerError {
  if (isProvisionerError(error)) return error;
  const errno = systemCode(error);
  const code = errno === 'ENOENT' ? 'ERR_FILE_NOT_FOUND' : errno === 'EACCES' ? 'ERR_PERMISSION' : 'ERR_IO';
  return new ProvisionerError(code, `${what} that was given cannot be read: ${firstLine(error)}`, {
    cause: error,
    details: errno === undefined ? {} : { errno },
  });
}

export function tooDeep(action: string, shown: string): ProvisionerError {
  return wrongKind(action, shown, `it is nested deeper than ${LEVELS_MAX} directories`);
}

/** An archive that is not unpacked. @param entry its path in the archive */
export function archiveRefused(why: string, entry?: BytePath, cause?: unknown, hint?: string): ProvisionerError {
  const shown = entry === undefined ? undefined : printablePath(entry);
  const where = shown === undefined ? '' : `${JSON.stringify(shown)}: `;
  return new ProvisionerError('ERR_ARCHIVE_REFUSED', `the archive is refused: ${where}${why}`, {
    ...(cause === undefined ? {} : { cause }),
    ...(hint === undefined ? {} : { hint }),
    details: shown === undefined ? {} : { entry: shown },
  });
}
