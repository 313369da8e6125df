import { release } from 'node:os';
import { hasErrno, type OciSeccomp, type OciSyscallRule } from '../../system/seccomp/oci-seccomp.js';
import { architectureOf, seccompArchitecture } from './architectures.js';
import { kernelVersion } from './read-seccomp-profile.js';
import type { KernelVersion, ProfileRule, RuleCondition, SeccompProfile } from './seccomp-profile.js';

/** What the rules of a profile depend on. */
export interface SeccompContext {
  /** Of the container: its bounding set. Such as `CAP_CHOWN`. */
  readonly capabilities: readonly string[];
  /** In Go's words: `amd64`. */
  readonly architecture: string;
  readonly kernel: KernelVersion;
}

/** Of a container on this machine. */
export function seccompContext(capabilities: readonly string[]): SeccompContext {
  return { capabilities, architecture: architectureOf(process.arch), kernel: kernelVersion(release()) };
}

/** The filter of a certain container, for its bundle. The rules keep their order. */
export function ociSeccompOf(profile: SeccompProfile, context: SeccompContext): OciSeccomp {
  const architectures = architecturesOf(profile, context.architecture);
  return {
    defaultAction: profile.defaultAction,
    ...(hasErrno(profile.defaultAction) && profile.defaultErrno !== undefined
      ? { defaultErrnoRet: profile.defaultErrno }
      : {}),
    ...(architectures.length === 0 ? {} : { architectures }),
    ...(profile.flags.length === 0 ? {} : { flags: profile.flags }),
    syscalls: profile.rules.filter((rule) => applies(rule, context)).map(ociRule),
  };
}

function architecturesOf({ architectures, archMap }: SeccompProfile, architecture: string): readonly string[] {
  if (architectures.length > 0) return architectures;
  const own = seccompArchitecture(architecture);
  const found = archMap.find((one) => one.architecture === own);
  return found === undefined ? [] : [found.architecture, ...found.subArchitectures];
}

function applies({ includes, excludes }: ProfileRule, context: SeccompContext): boolean {
  return (
    includes.caps.every((capability) => context.capabilities.includes(capability)) &&
    (includes.arches.length === 0 || includes.arches.includes(context.architecture)) &&
    (includes.minKernel === undefined || isAtLeast(context.kernel, includes.minKernel)) &&
    !isExcluded(excludes, context)
  );
}

function isExcluded({ caps, arches, minKernel }: RuleCondition, context: SeccompContext): boolean {
  return (
    caps.some((capability) => context.capabilities.includes(capability)) ||
    arches.includes(context.architecture) ||
    (minKernel !== undefined && isAtLeast(context.kernel, minKernel))
  );
}

function isAtLeast(kernel: KernelVersion, { major, minor }: KernelVersion): boolean {
  return kernel.major > major || (kernel.major === major && kernel.minor >= minor);
}

function ociRule({ names, action, errno, args }: ProfileRule): OciSyscallRule {
  return {
    names,
    action,
    ...(hasErrno(action) && errno !== undefined ? { errnoRet: errno } : {}),
    ...(args.length === 0 ? {} : { args }),
  };
}
