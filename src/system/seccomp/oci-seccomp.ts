/** `linux.seccomp` of a bundle. @see OCI runtime-spec, config-linux.md, "Seccomp" */
export interface OciSeccomp {
  /** Of every call that no rule is about. */
  readonly defaultAction: SeccompAction;
  /** With an action that has one. Default: EPERM. */
  readonly defaultErrnoRet?: number;
  /** Such as `SCMP_ARCH_X86_64`. Default: that of this machine. */
  readonly architectures?: readonly string[];
  /** Of seccomp(2), such as `SECCOMP_FILTER_FLAG_LOG`. */
  readonly flags?: readonly string[];
  readonly syscalls?: readonly OciSyscallRule[];
}

export interface OciSyscallRule {
  readonly names: readonly string[];
  readonly action: SeccompAction;
  /** With an action that has one. Default: EPERM. */
  readonly errnoRet?: number;
  /** All must hold; of several about one argument one must, as runtimes have it. */
  readonly args?: readonly OciArgumentRule[];
}

export interface OciArgumentRule {
  /** 0 to 5. */
  readonly index: number;
  readonly value: number;
  /** What `SCMP_CMP_MASKED_EQ` compares with, `value` being the mask. */
  readonly valueTwo?: number;
  readonly op: SeccompOperator;
}

/** `SCMP_ACT_NOTIFY` is not among them: it needs somebody who listens. @see seccomp_rule_add(3) */
export const SECCOMP_ACTIONS = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
} as const;
export type SeccompAction = keyof typeof SECCOMP_ACTIONS;

/** @see `enum scmp_compare` of seccomp.h */
export const SECCOMP_OPERATORS = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
} as const;
export type SeccompOperator = keyof typeof SECCOMP_OPERATORS;

/** Whether an action has a number of an error, or of a message to a tracer. */
export function hasErrno(action: SeccompAction): boolean {
  return action === 'SCMP_ACT_ERRNO' || action === 'SCMP_ACT_TRACE';
}
