import { chmodSync, lchownSync, linkSync, lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { nodePath, toBytePath } from '#src/system/syscalls/byte-path.js';
import { loadSyscalls } from '#src/system/syscalls/load-syscalls.js';

/** Builds a layer's files as root. Names have one character per byte; parents come by themselves, mode 0755. */
export class LayerBuilder {
  readonly #root: string;

  constructor(root: string) {
    mkdirSync(root, { recursive: true });
    this.#root = root;
  }

  file(path: string, content: string | Buffer = path, mode = 0o644): this {
    const at = this.#at(path);
    writeFileSync(nodePath(at), content);
    chmodSync(nodePath(at), mode);
    return this;
  }
  directory(path: string, mode = 0o755): this {
    mkdirSync(nodePath(this.#at(path)), { recursive: true });
    chmodSync(nodePath(this.#at(path)), mode);
    return this;
  }
  symlink(path: string, target: string): this {
    symlinkSync(target, nodePath(this.#at(path)));
    return this;
  }
  hardLink(path: string, existing: string): this {
    linkSync(nodePath(this.#at(existing)), nodePath(this.#at(path)));
    return this;
  }
  /** @param type `S_IFCHR`, `S_IFBLK`, `S_IFIFO` or `S_IFSOCK` */
  node(path: string, type: number, major = 0, minor = 0): this {
    loadSyscalls().makeNode(this.#at(path), type | 0o640, { major, minor });
    return this;
  }
  /** As a store of root keeps it: a device 0/0. */
  whiteout(path: string): this {
    return this.node(path, 0o020000, 0, 0);
  }
  opaque(path: string): this {
    return this.directory(path).xattr(path, 'trusted.overlay.opaque', 'y');
  }
  xattr(path: string, name: string, value: string | Buffer): this {
    loadSyscalls().setXattr(this.#at(path), name, Buffer.from(value as string));
    return this;
  }
  owner(path: string, uid: number, gid: number): this {
    const at = nodePath(this.#at(path));
    const { mode } = lstatSync(at);
    lchownSync(at, uid, gid);
    // Changing the owner clears setuid and setgid.
    if ((mode & 0o170000) !== 0o120000) chmodSync(at, mode & 0o7777);
    return this;
  }
  times(path: string, accessed: number, modified: number, nanoseconds: number): this {
    const time = (seconds: number) => ({ seconds, nanoseconds });
    loadSyscalls().setTimes(this.#at(path), time(accessed), time(modified));
    return this;
  }

  #at(path: string): string {
    const full = `${toBytePath(this.#root)}/${path}`;
    mkdirSync(nodePath(dirname(full)), { recursive: true });
    return full;
  }
}

/** cap_net_raw+ep, as the kernel stores it. @see capabilities(7), "File capability extended attribute versioning" */
export const CAP_NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex');

/** An access control list that also gives user 1234 `rwx`. @see acl(5); the values are those of linux/posix_acl_xattr.h */
export function aclWithUser(): Buffer {
  const entries = [
    [0x01, 6, 0xffffffff],
    [0x02, 7, 1234],
    [0x04, 4, 0xffffffff],
    [0x10, 7, 0xffffffff],
    [0x20, 4, 0xffffffff],
  ] as const;
  const acl = Buffer.alloc(4 + entries.length * 8);
  acl.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    acl.writeUInt16LE(tag, 4 + index * 8);
    acl.writeUInt16LE(permissions, 6 + index * 8);
    acl.writeUInt32LE(id, 8 + index * 8);
  }
  return acl;
}
