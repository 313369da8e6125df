import { type BytePath, toBytePath } from '../../../system/syscalls/byte-path.js';
import type { RuntimeSpecConfig, RuntimeSpecMount } from '../../bundle/runtime-spec.js';

/** What a launch had mounted at a path. */
export type RecordedMount =
  /** A directory or a file of this machine: a volume, or what each container has of its own, such as `/etc/hosts`. */
  | { readonly is: 'bind'; readonly source: BytePath; readonly isReadOnly: boolean }
  /** Memory, which went with the end of the program. */
  | { readonly is: 'tmpfs' }
  /** What the kernel makes up. */
  | { readonly is: 'kernel' };

/** Absolute, and without symlinks, as the bundle has them. */
export type RecordedMounts = ReadonlyMap<BytePath, RecordedMount>;

export function recordedMounts({ mounts }: RuntimeSpecConfig): RecordedMounts {
  return new Map(mounts.map((mount) => [toBytePath(mount.destination), recorded(mount)]));
}

function recorded({ type, source, options }: RuntimeSpecMount): RecordedMount {
  if (type === 'bind') return { is: 'bind', source: toBytePath(source), isReadOnly: options.includes('ro') };
  return { is: type === 'tmpfs' ? 'tmpfs' : 'kernel' };
}
