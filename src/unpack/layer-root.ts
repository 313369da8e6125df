import { chmodSync, lchownSync, mkdirSync } from 'node:fs';
import { fileError, systemCode } from '../base/errors.js';
import { toBytePath } from '../system/syscalls/byte-path.js';
import type { FileTree, Syscalls } from '../system/syscalls/syscalls.js';

const ROOT_MODE = 0o700;
/** An ACL without entries, which takes away the one there is: `struct posix_acl_xattr_header` with version 2. @see acl(5) */
const NO_ACL = Buffer.from([2, 0, 0, 0]);
const ACLS = ['system.posix_acl_default', 'system.posix_acl_access'];
/** A file system without ACLs, a system without the call. */
const HAS_NO_ACLS = new Set(['ENOTSUP', 'ENODATA']);

/**
 * Makes the root of a layer, and frees it from what the directories above hand down: a default ACL or a setgid bit there would go on to
 * everything in the layer.
 * @returns the tree, to be closed
 * @throws ProvisionerError `ERR_NO_SPACE`, `ERR_PERMISSION`, `ERR_IO`
 */
export function openLayerRoot(rootfs: string, syscalls: Syscalls): FileTree {
  try {
    makeLayerRoot(rootfs, syscalls);
    return syscalls.openTree(rootfs);
  } catch (error) {
    throw fileError(error, 'make the layer', rootfs);
  }
}

function makeLayerRoot(rootfs: string, syscalls: Syscalls): void {
  mkdirSync(rootfs, ROOT_MODE);
  for (const name of ACLS) {
    try {
      syscalls.setXattr(toBytePath(rootfs), name, NO_ACL);
    } catch (error) {
      if (!HAS_NO_ACLS.has(systemCode(error) ?? '')) throw error;
    }
  }
  lchownSync(rootfs, process.geteuid?.() ?? -1, process.getegid?.() ?? -1);
  chmodSync(rootfs, ROOT_MODE);
}
