import { closeSync, constants, openSync, readdirSync, readSync, rmdirSync, statSync, writeSync } from 'node:fs';
import { ProvisionerError, systemCode } from '../../base/errors.js';
import { type BytePath, nodePath, printablePath } from '../../system/syscalls/byte-path.js';

/**
 * For all reads of this thread, one after the other: a buffer of its own for each takes a third of the time of a read. Most of the files have a line or ten;
 * `cgroup.procs` may have any number.
 */
const BUFFER = Buffer.alloc(16_384);

/**
 * What ends a file: the kernel gives out whole lines, as many as fit into a page, so that less than half of one is the last of them. To read on until nothing
 * comes would be a tenth of the time more.
 */
const SHORT = 2048;

/**
 * The kernel's words for a cgroup that is gone: `ENODEV` when it went between the opening and the reading, `ENOTDIR` when not even its parent is what it was.
 * @see Linux, fs/kernfs/file.c
 */
const GONE: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENODEV', 'ENOTDIR']);

/** Whether an error of the system says that a cgroup, or a file that it might have had, is not there. */
export function isGone(error: unknown): boolean {
  return GONE.has(systemCode(error));
}

/**
 * The whole text of a file. @returns undefined where the file or its cgroup is not there, and where the kernel has it, but not for this cgroup (`EOPNOTSUPP`, as
 * for `cgroup.procs` of a threaded one) @throws ProvisionerError `ERR_CGROUP`
 */
export function readCgroupFile(file: BytePath): string | undefined {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(nodePath(file), constants.O_RDONLY);
    let text = '';
    for (;;) {
      const length = readSync(descriptor, BUFFER, 0, BUFFER.length, null);
      text += BUFFER.toString('latin1', 0, length);
      if (length < SHORT) return text;
    }
  } catch (error) {
    if (isGone(error) || systemCode(error) === 'EOPNOTSUPP') return undefined;
    throw cgroupError(error, 'read', file);
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** Writes a line to a file that is there, in one call, as the kernel wants it; none is made. An empty line is not the same as nothing, which would not be written. @throws the error of the system */
export function writeCgroupFile(file: BytePath, text: string): void {
  const descriptor = openSync(nodePath(file), constants.O_WRONLY | constants.O_TRUNC);
  try {
    writeSync(descriptor, `${text}\n`);
  } finally {
    closeSync(descriptor);
  }
}

/** As `writeCgroupFile`. @returns false where the file or its cgroup is not there @throws ProvisionerError `ERR_CGROUP` */
export function writeIfThere(file: BytePath, text: string): boolean {
  try {
    writeCgroupFile(file, text);
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw cgroupError(error, 'write', file);
  }
}

/** Whether there is a directory. @throws ProvisionerError `ERR_CGROUP` when this user may not even look */
export function isDirectory(directory: BytePath): boolean {
  try {
    return statSync(nodePath(directory), { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    throw cgroupError(error, 'look at', directory);
  }
}

/** The cgroups right below one. @returns their names, which need not be UTF-8; none where it is not there @throws ProvisionerError `ERR_CGROUP` */
export function childrenOf(directory: BytePath): BytePath[] {
  try {
    // A cgroup counts its children as links. Two are its own, so that most of the time nothing has to be listed, which takes ten times as long.
    const status = statSync(nodePath(directory), { throwIfNoEntry: false });
    if (status === undefined || status.nlink === 2) return [];
    return readdirSync(nodePath(directory), { withFileTypes: true, encoding: 'latin1' })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch (error) {
    if (isGone(error)) return [];
    throw cgroupError(error, 'list', directory);
  }
}

/** A cgroup and all below it, each before those in it. @returns empty where it is not there */
export function withAllBelow(directory: BytePath): BytePath[] {
  if (!isDirectory(directory)) return [];
  const found = [directory];
  // The list grows while it is walked.
  for (const each of found) for (const child of childrenOf(each)) found.push(`${each}/${child}`);
  return found;
}

/** Removes a cgroup with all below it, the innermost first. @returns false when something in it is in use @throws ProvisionerError `ERR_CGROUP` */
export function removeTree(directory: BytePath): boolean {
  // Each is tried, so that least is left.
  return withAllBelow(directory).reverse().map(removeOne).every(Boolean);
}

/** Removes a cgroup. @returns true when it is gone, false when it is in use or others are below it @throws ProvisionerError `ERR_CGROUP` */
export function removeOne(directory: BytePath): boolean {
  try {
    rmdirSync(nodePath(directory));
    return true;
  } catch (error) {
    if (isGone(error)) return true;
    const code = systemCode(error);
    if (code === 'EBUSY' || code === 'ENOTEMPTY') return false;
    throw cgroupError(error, 'remove', directory);
  }
}

/** @param action as an infinitive */
export function cgroupError(error: unknown, action: string, path: BytePath): ProvisionerError {
  const errno = systemCode(error);
  const shown = printablePath(path);
  const reason = error instanceof Error ? error.message : String(error);
  return new ProvisionerError('ERR_CGROUP', `cannot ${action} ${shown}: ${reason}`, {
    cause: error,
    details: { path: shown, ...(errno === undefined ? {} : { errno }) },
  });
}
