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

export const HOOK_NAMES = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;
export type HookName = (typeof HOOK_NAMES)[number];

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

/** What devices take of a container. */
export interface DeviceEdits {
  readonly nodes: readonly DeviceNode[];
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly PlannedMount[];
  readonly hooks: readonly DeviceHook[];
  readonly additionalGids: readonly number[];
}

export const NO_DEVICES: DeviceEdits = { nodes: [], env: {}, mounts: [], hooks: [], additionalGids: [] };
