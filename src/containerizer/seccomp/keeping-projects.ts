import type { OciArgumentRule, OciSeccomp, OciSyscallRule } from '../../system/seccomp/oci-seccomp.js';

/**
 * The calls with which whoever owns a file takes it out of its project, and root of a container owns most: `FS_IOC_FSSETXATTR` and `FS_IOC_SETFLAGS`, by the 16 bits that say which they are. The upper ones say
 * how much memory they are given, and differ from machine to machine.
 */
const FORBIDDEN = [0x5820, 0x6602];
const BITS = 16;
const IOCTL = 'ioctl';
/** Does the same as these two, without ioctl. Linux 6.17; a libseccomp that does not know it passes it over, and then it is as the filter has it for what it does not name. @see Linux, fs/file_attr.c */
const SET_ATTRIBUTES = 'file_setattr';
/** The argument that says which call it is. The kernel looks at 32 bits of it, a filter at 64: so they are masked. */
const REQUEST = 1;
const EPERM = 1;

/**
 * The same filter, but that files stay with the project that they were given to. A rule that says itself when ioctl may be called is left as it is.
 * @see ioctl_iflags(2), ioctl(2)
 */
export function keepingProjects(filter: OciSeccomp): OciSeccomp {
  const { syscalls = [] } = filter;
  const rules = syscalls.flatMap(withoutSetting).flatMap((rule): OciSyscallRule[] => {
    const { names, action, args = [] } = rule;
    if (!names.includes(IOCTL) || !lets(action) || args.length > 0) return [rule];
    const others = names.filter((name) => name !== IOCTL);
    const narrowed = { ...rule, names: [IOCTL], args: ALLOWED };
    return others.length === 0 ? [narrowed] : [{ ...rule, names: others }, narrowed];
  });
  const args = FORBIDDEN.map((request) => among(2 ** BITS - 1, request));
  const refused = { action: 'SCMP_ACT_ERRNO', errnoRet: EPERM } as const;
  return {
    ...filter,
    syscalls: [...rules, { names: [IOCTL], ...refused, args }, { names: [SET_ATTRIBUTES], ...refused }],
  };
}

/** Whoever named it: of two rules for one call it could be the other one that counts. @returns no rule where there is nothing else in it */
function withoutSetting(rule: OciSyscallRule): OciSyscallRule[] {
  if (!rule.names.includes(SET_ATTRIBUTES)) return [rule];
  const names = rule.names.filter((name) => name !== SET_ATTRIBUTES);
  return names.length === 0 ? [] : [{ ...rule, names }];
}

const lets = (action: OciSeccomp['defaultAction']): boolean => action === 'SCMP_ACT_ALLOW' || action === 'SCMP_ACT_LOG';

const among = (mask: number, value: number): OciArgumentRule => ({
  index: REQUEST,
  value: mask,
  valueTwo: value,
  op: 'SCMP_CMP_MASKED_EQ',
});

/** All others: a filter cannot say "none of these", so each way is named on which a number begins to differ from all of them. One of these holds, or none. */
const ALLOWED: readonly OciArgumentRule[] = others(FORBIDDEN, BITS, 0, 0);

function others(forbidden: readonly number[], bits: number, mask: number, value: number): OciArgumentRule[] {
  if (forbidden.length === 0) return [among(mask, value)];
  if (bits === 0) return [];
  const bit = 2 ** (bits - 1);
  return [0, bit].flatMap((set) =>
    others(
      forbidden.filter((one) => (one & bit) === set),
      bits - 1,
      mask | bit,
      value | set,
    ),
  );
}
