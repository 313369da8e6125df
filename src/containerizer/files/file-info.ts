import { type BytePath, fromBytePath } from '../../system/syscalls/byte-path.js';
import {
  BLOCK_DEVICE,
  CHARACTER_DEVICE,
  DIRECTORY,
  FIFO,
  type FileStatus,
  type FileType,
  type OpenDirectory,
  REGULAR_FILE,
  SOCKET,
  SYMLINK,
} from '../../system/syscalls/tree-calls.js';
import type { FileInfo, FileKind } from './container-files.js';

const KINDS: ReadonlyMap<FileType, FileKind> = new Map([
  [REGULAR_FILE, 'file'],
  [DIRECTORY, 'directory'],
  [SYMLINK, 'symlink'],
  [FIFO, 'fifo'],
  [CHARACTER_DEVICE, 'character-device'],
  [BLOCK_DEVICE, 'block-device'],
  [SOCKET, 'socket'],
]);

export function kindOf(type: FileType): FileKind {
  return KINDS.get(type) ?? 'file';
}

/** @param shown what it is called @param name in `directory` */
export function fileInfo(directory: OpenDirectory, name: BytePath, status: FileStatus, shown: BytePath): FileInfo {
  const { type, mode, uid, gid, size, modified } = status;
  return {
    name: fromBytePath(shown),
    kind: kindOf(type),
    mode,
    uid,
    gid,
    size,
    modifiedAt: modified.seconds * 1000 + Math.floor(modified.nanoseconds / 1e6),
    ...(type === SYMLINK ? { target: fromBytePath(directory.readSymlink(name)) } : {}),
  };
}

/** The names in a directory, sorted byte by byte. */
export function sortedNames(directory: OpenDirectory): BytePath[] {
  const cursor = directory.cursor(0n);
  try {
    const names: BytePath[] = [];
    while (cursor.next()) names.push(cursor.name);
    return names.sort();
  } finally {
    cursor.close();
  }
}
