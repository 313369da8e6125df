import { describe, expect, it } from 'vitest';
import { DEFAULT_PROFILE } from '#src/containerizer/seccomp/default-profile.js';
import { ociSeccompOf, type SeccompContext, seccompContext } from '#src/containerizer/seccomp/oci-seccomp-of.js';
import { kernelVersion } from '#src/containerizer/seccomp/read-seccomp-profile.js';
import { NO_CONDITION, type RuleCondition, type SeccompProfile } from '#src/containerizer/seccomp/seccomp-profile.js';

const HERE: SeccompContext = {
  capabilities: ['CAP_CHOWN', 'CAP_KILL'],
  architecture: 'amd64',
  kernel: { major: 5, minor: 10 },
};

const EMPTY: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures: [],
  archMap: [],
  flags: [],
  rules: [],
};

/** Whether a rule with these conditions is there. */
function isThere(includes: Partial<RuleCondition>, excludes: Partial<RuleCondition> = {}, context = HERE): boolean {
  const conditions = { includes: { ...NO_CONDITION, ...includes }, excludes: { ...NO_CONDITION, ...excludes } };
  const rule = { names: ['mount'], action: 'SCMP_ACT_KILL', args: [], ...conditions } as const;
  return ociSeccompOf({ ...EMPTY, rules: [rule] }, context).syscalls?.length === 1;
}

const minKernel = (text: string) => ({ minKernel: kernelVersion(text) });

describe('a rule of a profile', () => {
  it.each([
    ['says nothing', {}, {}, true],
    ['wants a capability that the container has', { caps: ['CAP_KILL'] }, {}, true],
    ['wants one that it has not', { caps: ['CAP_SYS_ADMIN'] }, {}, false],
    ['wants one of each', { caps: ['CAP_KILL', 'CAP_SYS_ADMIN'] }, {}, false],
    ['wants both that it has', { caps: ['CAP_KILL', 'CAP_CHOWN'] }, {}, true],
    ['wants none that it has', {}, { caps: ['CAP_SYS_ADMIN', 'CAP_KILL'] }, false],
    ['wants none, and it has none', {}, { caps: ['CAP_SYS_ADMIN'] }, true],
    ['is for this architecture among others', { arches: ['arm64', 'amd64'] }, {}, true],
    ['is for other architectures', { arches: ['arm64', 's390x'] }, {}, false],
    ['is not for this architecture', {}, { arches: ['amd64'] }, false],
    ['is not for another architecture', {}, { arches: ['arm64'] }, true],
    ['wants an older kernel, or a newer one', minKernel('4.18'), {}, true],
    ['wants this kernel', minKernel('5.10'), {}, true],
    ['wants a newer minor version', minKernel('5.11'), {}, false],
    ['wants a newer major version', minKernel('6.0'), {}, false],
    ['is not for kernels from an older one on', {}, minKernel('4.18'), false],
    ['is not for kernels from a newer one on', {}, minKernel('5.11'), true],
    ['wants what it has and not what it has', { caps: ['CAP_KILL'] }, { caps: ['CAP_CHOWN'] }, false],
    ['holds in one way and not in another', { caps: ['CAP_KILL'], arches: ['arm64'] }, {}, false],
  ] as const)('that %s is there or not', (_, includes, excludes, there) => {
    expect(isThere(includes, excludes)).toBe(there);
  });
});

describe('the filter that is made of a profile', () => {
  it('has names, actions, errors and arguments as they are, in their order, and no field without a value', () => {
    const rule = { ...{ includes: NO_CONDITION, excludes: NO_CONDITION }, args: [] };
    const profile: SeccompProfile = {
      ...EMPTY,
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrno: 38,
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      rules: [
        { ...rule, names: ['b', 'a'], action: 'SCMP_ACT_ERRNO', errno: 0 },
        { ...rule, names: ['c'], action: 'SCMP_ACT_ALLOW', args: [{ index: 1, value: 2, op: 'SCMP_CMP_GT' }] },
      ],
    };
    expect(JSON.parse(JSON.stringify(ociSeccompOf(profile, HERE)))).toEqual({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      syscalls: [
        { names: ['b', 'a'], action: 'SCMP_ACT_ERRNO', errnoRet: 0 },
        { names: ['c'], action: 'SCMP_ACT_ALLOW', args: [{ index: 1, value: 2, op: 'SCMP_CMP_GT' }] },
      ],
    });
    expect(Object.keys(ociSeccompOf(EMPTY, HERE))).toEqual(['defaultAction', 'syscalls']);
  });

  it('is for this architecture and those whose programs it runs, or for those that the profile lists', () => {
    const archMap = [
      { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
      { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    ];
    const architectures = (profile: Partial<SeccompProfile>, architecture: string) =>
      ociSeccompOf({ ...EMPTY, ...profile }, { ...HERE, architecture }).architectures;
    expect(architectures({ archMap }, 'amd64')).toEqual(['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
    expect(architectures({ archMap }, 'arm64')).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
    expect(architectures({ archMap }, 'riscv64')).toBeUndefined();
    expect(architectures({ architectures: ['SCMP_ARCH_X86'] }, 'amd64')).toEqual(['SCMP_ARCH_X86']);
  });

  it('is made for this machine', () => {
    const { architecture, kernel } = seccompContext([]);
    expect(architecture).toMatch(/^(amd64|arm64|s390x|riscv64|ppc64le|loong64)$/);
    expect(kernel.major).toBeGreaterThan(2);
  });
});

describe('the default profile', () => {
  const answersTo = (name: string, capabilities: readonly string[] = []) =>
    ociSeccompOf(DEFAULT_PROFILE, { ...HERE, capabilities })
      .syscalls?.filter(({ names }) => names.includes(name))
      .map(({ action, errnoRet, args }) =>
        [action, errnoRet, args?.length].filter((one) => one !== undefined).join(' '),
      );

  it('answers to what it does not know as a kernel does that does not know it', () => {
    expect(ociSeccompOf(DEFAULT_PROFILE, HERE)).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 });
    expect(answersTo('add_key')).toEqual([]);
  });

  it('allows what programs need, refuses what changes the machine, and some only without the capability', () => {
    expect(answersTo('openat')).toEqual(['SCMP_ACT_ALLOW']);
    expect(answersTo('kexec_load')).toEqual(['SCMP_ACT_ERRNO 1']);
    expect(answersTo('bpf')).toEqual(['SCMP_ACT_ERRNO 1']);
    expect(answersTo('bpf', ['CAP_SYS_ADMIN'])).toEqual(['SCMP_ACT_ALLOW']);
    expect(answersTo('clock_settime')).toEqual(['SCMP_ACT_ERRNO 1']);
    expect(answersTo('clock_settime', ['CAP_SYS_TIME'])).toEqual(['SCMP_ACT_ALLOW']);
  });

  it('looks at arguments: of personalities, and of sockets to the audit log', () => {
    expect(answersTo('personality')).toEqual(Array(5).fill('SCMP_ACT_ALLOW 1'));
    expect(answersTo('socket')).toEqual(['SCMP_ACT_ERRNO 22 2', 'SCMP_ACT_ALLOW 1', 'SCMP_ACT_ALLOW 1']);
    expect(answersTo('socket', ['CAP_AUDIT_WRITE'])).toEqual(['SCMP_ACT_ALLOW']);
  });

  it('has the calls of other architectures on those alone', () => {
    const on = (architecture: string) =>
      ociSeccompOf(DEFAULT_PROFILE, { ...HERE, architecture }).syscalls?.flatMap(({ names }) => names);
    expect(on('amd64')).toContain('arch_prctl');
    expect(on('arm64')).not.toContain('arch_prctl');
    expect(on('s390x')).toContain('s390_runtime_instr');
    expect(on('amd64')).not.toContain('s390_runtime_instr');
  });
});
