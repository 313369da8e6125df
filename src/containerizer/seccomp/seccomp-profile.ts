import type { OciArgumentRule, SeccompAction } from '../../system/seccomp/oci-seccomp.js';

/**
 * Which system calls a container may make, as Docker, podman and others write it: the same for all machines and all sets of capabilities, of which `ociSeccomp` makes
 * what a certain container gets.
 * @see moby, profiles/seccomp; containers-common, pkg/seccomp
 */
export interface SeccompProfile {
  /** Of every call that no rule is about. */
  readonly defaultAction: SeccompAction;
  /** Default: EPERM. */
  readonly defaultErrno?: number | undefined;
  /** The filter is for these. Default: what `archMap` says, else this machine's. */
  readonly architectures: readonly string[];
  /** By a machine's own architecture (`SCMP_ARCH_X86_64`) the others whose programs it runs. */
  readonly archMap: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] }[];
  readonly flags: readonly string[];
  readonly rules: readonly ProfileRule[];
}

export interface ProfileRule {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  /** Default: EPERM. */
  readonly errno?: number | undefined;
  readonly args: readonly OciArgumentRule[];
  /** The rule is there only where all of this holds. */
  readonly includes: RuleCondition;
  /** The rule is not there where any of this holds. */
  readonly excludes: RuleCondition;
}

export interface RuleCondition {
  /** Such as `CAP_SYS_ADMIN`. */
  readonly caps: readonly string[];
  /** In Go's words: `amd64`. */
  readonly arches: readonly string[];
  readonly minKernel?: KernelVersion | undefined;
}

export interface KernelVersion {
  readonly major: number;
  readonly minor: number;
}

export const NO_CONDITION: RuleCondition = { caps: [], arches: [] };
