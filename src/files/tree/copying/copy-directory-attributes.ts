import type { TreeCalls } from '../../../system/syscalls/tree-calls.js';
import { AttributeCopier, readXattrs } from './copy-attributes.js';

/**
 * Gives one directory the attributes of another: owner, mode, extended attributes and times. What an ordinary user may not set is left out.
 * @param from absolute @param to absolute
 */
export function copyDirectoryAttributes(from: string, to: string, calls: TreeCalls, privileged: boolean): void {
  const source = calls.openDirectory(from);
  try {
    const target = calls.openDirectory(to);
    try {
      const skipped = { owners: 0, devices: 0, xattrs: 0, sockets: 0 };
      const xattrs = readXattrs(source.xattrs(''));
      const copier = new AttributeCopier(calls, target, privileged, skipped);
      copier.copyToEntry(target, '', source.status(''), { hasMode: true, xattrs });
    } finally {
      target.close();
    }
  } finally {
    source.close();
  }
}
