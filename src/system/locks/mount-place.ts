import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { ProcessIdentity } from './process-identity.js';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** What a process sees mounted: a mount namespace of a kernel that is running. */
export interface MountNamespace {
  /** The boot id of the kernel; empty where the process cannot tell. @see random(4) */
  readonly boot: string;
  /** The mount namespace, such as `mnt:[4026531841]`; empty where the system has none. @see namespaces(7) */
  readonly namespace: string;
}

/** Where, and by whom, a rootfs was mounted. What is not in this process's table of mounts may well be in that of another namespace. */
export interface MountPlace extends MountNamespace {
  readonly process: ProcessIdentity;
}

/**
 * How a recorded place lies to ours. `before`: it was another boot of the machine, so the mount is gone. `unknown`: nothing is recorded, or not enough.
 *
 * Not a proof in itself: the number of a namespace is given out again when the namespace is gone, while a copy of the mount may live on in a third one. Before a
 * thing is done that a living mount would suffer from, the kernel is asked as well.
 */
export type Whereabouts = 'here' | 'elsewhere' | 'before' | 'unknown';

export function whereabouts(place: MountPlace | undefined, here: MountNamespace): Whereabouts {
  if (place === undefined || place.boot === '' || here.boot === '') return 'unknown';
  if (place.boot !== here.boot) return 'before';
  if (place.namespace === '' || here.namespace === '') return 'unknown';
  return place.namespace === here.namespace ? 'here' : 'elsewhere';
}

/** That of this process. */
export function mountNamespaceHere(): MountNamespace {
  const boot = readOrEmpty(() => (isBootIdReal() ? readFileSync(BOOT_ID, 'latin1').trim() : ''));
  return { boot, namespace: readOrEmpty(() => readlinkSync('/proc/self/ns/mnt')) };
}

/** Some containers, those of systemd-nspawn for one, are shown an id of their own, in a file of another file system. */
function isBootIdReal(): boolean {
  return statSync(BOOT_ID).dev === statSync(dirname(BOOT_ID)).dev;
}

/** Without /proc nothing is known. */
function readOrEmpty(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
