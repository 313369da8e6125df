import { describe, inject, it } from 'vitest';

/** What tests can need of the machine. `global-setup.ts` finds out, once for a run, what is there. */
export const REQUIREMENTS = [
  'root',
  /** Overlay mounts in the temporary directory, and koffi to make them. */
  'overlay',
  /** File systems in files, in mount namespaces, and the tools to make and freeze them. */
  'loop',
  /** File systems of that kind, and the tools to make them. */
  'xfs',
  'btrfs',
  /** Limits of projects on xfs and ext4: the kernel's, which no package brings. */
  'project quotas',
  'fuse-overlayfs',
  /** For ordinary users. */
  'user namespaces',
  'umoci',
  'skopeo',
  'podman',
  /** Runs containers; comes with podman. */
  'crun',
  'mount',
  'chroot',
  'getfattr',
  'setfattr',
  'openssl',
  'xz',
  'bzip2',
  'docker-registry',
  /** Counts system calls. */
  'strace',
  /** A network namespace, with addresses that the test chooses. */
  'network',
  /** In one file, so that it runs in a root filesystem that has nothing else. */
  'busybox',
  /** The other one that runs containers. */
  'runc',
  /** Runs a command with another clock. */
  'faketime',
  /** Connects containers to networks; comes with podman. */
  'netavark',
  /** The plugins of CNI. */
  'cni',
  /** A terminal that is looked at. */
  'tmux',
  /** An init that waits. */
  'catatonit',
  /** Runs a command on a terminal. */
  'script',
  /** May make cgroups, with every controller that a container can have a limit of. */
  'cgroups',
  /** What `real-images.ts` makes images with. */
  'real images',
] as const;
export type Requirement = (typeof REQUIREMENTS)[number];

/** What not every kernel has that this runs on: even in CI it is skipped where it is missing. */
const OF_THE_KERNEL: readonly Requirement[] = ['project quotas'];

/** What is not there, and why, as a clause such as `umoci is missing`. */
export type MissingRequirements = Partial<Record<Requirement, string>>;

declare module 'vitest' {
  export interface ProvidedContext {
    missingRequirements: MissingRequirements;
  }
}

/**
 * Runs a group of tests where the machine has what they need. Elsewhere the group is skipped, and its title says why; in CI, where
 * everything has to be there, it fails, unless it is the kernel that lacks it.
 */
export function describeWith(needs: readonly Requirement[], title: string, define: () => void): void {
  const missing = inject('missingRequirements');
  const absent = needs.filter((need) => missing[need] !== undefined);
  const reasons = absent.map((need) => missing[need]);
  const onlyTheKernel = absent.every((need) => OF_THE_KERNEL.includes(need));
  if (absent.length === 0) {
    describe(title, define);
  } else if (process.env['CI'] === 'true' && !onlyTheKernel) {
    describe(title, () => {
      it('finds on this machine what it needs', () => {
        throw new Error(`${reasons.join('; ')}; in CI nothing may be skipped, see scripts/install-debian-packages.sh`);
      });
    });
  } else {
    // scripts/test.mjs reads this title.
    describe.skip(`${title} (skipped: ${onlyTheKernel ? 'by the kernel: ' : ''}${reasons.join('; ')})`, define);
  }
}
