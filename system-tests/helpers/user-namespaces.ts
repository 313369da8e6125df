import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('in-user-namespace.mjs', import.meta.url));

/**
 * The beginning of a command that runs another one as root of a user namespace.
 * @param map parts of the first id inside, the first one outside, and how many: `0:1000:1,1:100000:65535`
 */
export function inUserNamespace(map: string): readonly string[] {
  return [process.execPath, SCRIPT, map];
}

/** Kinds of user namespaces, as `inUserNamespace` takes them. */
export const USER_NAMESPACES = {
  /** `unshare --map-root-user` by root. */
  rootAlone: '0:0:1',
  /** Root is root, and the rest is shifted. */
  rootAndShifted: '0:0:1,1:100000:65535',
  /** What Docker makes with `userns-remap`, and LXC. */
  shifted: '0:100000:65536',
  /** What rootless podman makes for user 1000. */
  rootless: '0:1000:1,1:100000:65535',
} as const;
