import { constants as os } from 'node:os';
import { type BytePath, cPath } from '../byte-path.js';
import type { Xattrs } from '../tree-calls.js';
import { check, lastErrno, lastError, lgetxattr, llistxattr, lsetxattr } from './libc/libc.js';
import { fgetxattr, flistxattr, fremovexattr, fsetxattr, lremovexattr } from './libc/libc-trees.js';

/** The kernel's limits for a list of names and for a value. @see xattr(7) */
const names = Buffer.alloc(65536);
const value = Buffer.alloc(65536);
const NONE: readonly string[] = [];

function listed(length: number): readonly string[] {
  if (length > 0) return names.toString('latin1', 0, length - 1).split('\0');
  if (length < 0 && lastErrno() !== os.errno.ENOTSUP) throw lastError('listxattr');
  return NONE;
}

function got(length: number): Uint8Array | undefined {
  if (length >= 0) return Buffer.from(value.subarray(0, length));
  const number = lastErrno();
  // EINVAL: capabilities that the kernel lists and makes no sense of, such as empty ones, which it takes all the same.
  if (number === os.errno.ENODATA || number === os.errno.ENOTSUP || number === os.errno.EINVAL) return undefined;
  throw lastError('getxattr');
}

function removed(result: number): void {
  const missing = result < 0 && (lastErrno() === os.errno.ENODATA || lastErrno() === os.errno.ENOTSUP);
  if (!missing) check(result, 'removexattr');
}

/** Of an open file or directory. */
export class DescriptorXattrs implements Xattrs {
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  list(): readonly string[] {
    return listed(flistxattr(this.#descriptor, names, names.length));
  }
  get(name: string): Uint8Array | undefined {
    return got(fgetxattr(this.#descriptor, cPath(name), value, value.length));
  }
  set(name: string, bytes: Uint8Array): void {
    check(fsetxattr(this.#descriptor, cPath(name), bytes, bytes.length, 0), 'setxattr');
  }
  remove(name: string): void {
    removed(fremovexattr(this.#descriptor, cPath(name)));
  }
}

/** Of what cannot be opened for this: symlinks, FIFOs, devices. No call on xattrs takes a directory and a name before Linux 6.13. */
export class PathXattrs implements Xattrs {
  readonly #path: string | Buffer;

  /** @param path short: by way of `/proc/self/fd` */
  constructor(path: BytePath) {
    this.#path = cPath(path);
  }

  list(): readonly string[] {
    return listed(llistxattr(this.#path, names, names.length));
  }
  get(name: string): Uint8Array | undefined {
    return got(lgetxattr(this.#path, cPath(name), value, value.length));
  }
  set(name: string, bytes: Uint8Array): void {
    check(lsetxattr(this.#path, cPath(name), bytes, bytes.length, 0), 'setxattr');
  }
  remove(name: string): void {
    removed(lremovexattr(this.#path, cPath(name)));
  }
}
