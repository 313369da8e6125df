import type { PlannedMount } from '../bundle/mounts/planned-mounts.js';

/** A device that a program finds in its container. */
export interface DeviceNode {
  /** Absolute, below `/dev`. */
  readonly path: string;
  readonly type: 'b' | 'c' | 'p';
  readonly major: number;
  readonly minor: number;
  /** Permission bits. */
  readonly mode: number;
  /** Undefined: the user who runs the program. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** Of `rwm`: what the cgroup lets through. */
  readonly access: string;
}

/** Moments before the program runs: a hook that fails then keeps it from running, and whoever launches is told. */
export const HOOK_NAMES = ['prestart', 'createRuntime', 'createContainer'] as const;
export type HookName = (typeof HOOK_NAMES)[number];

/** Moments that a container here does not have, or at which a failure could be told to nobody, and why. */
export const LATE_HOOKS = {
  startContainer: 'could not be told from the program where it fails',
  poststart: 'would be run for some containers and not for others',
  poststop: 'would not be run at every end',
} as const;

/** A program of this machine that the runtime runs at a moment of the container's life. @see OCI runtime-spec, config.md, "POSIX-platform Hooks" */
export interface DeviceHook {
  readonly name: HookName;
  /** Absolute, on this machine. */
  readonly path: string;
  /** The program's name first. */
  readonly args?: readonly string[] | undefined;
  readonly env?: readonly string[] | undefined;
  /** Seconds. */
  readonly timeout?: number | undefined;
}

export const isHookName = (name: string): name is HookName => (HOOK_NAMES as readonly string[]).includes(name);

/** What devices take of a container. */
export interface DeviceEdits {
  readonly nodes: readonly DeviceNode[];
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly PlannedMount[];
  readonly hooks: readonly DeviceHook[];
  readonly additionalGids: readonly number[];
}

export const NO_DEVICES: DeviceEdits = { nodes: [], env: {}, mounts: [], hooks: [], additionalGids: [] };
