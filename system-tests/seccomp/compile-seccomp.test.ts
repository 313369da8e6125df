import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { compileSeccomp, seccompCompilerMissingReason } from '#src/system/seccomp/compile-seccomp.js';
import { resolveSyscall } from '#src/system/seccomp/libseccomp.js';
import {
  type OciArgumentRule,
  type OciSeccomp,
  SECCOMP_ACTIONS,
  type SeccompAction,
  type SeccompOperator,
} from '#src/system/seccomp/oci-seccomp.js';
import { AUDIT_ARCH, runFilter, X32 } from '../helpers/bpf.js';

const ALLOW = SECCOMP_ACTIONS.SCMP_ACT_ALLOW;
const errno = (number: number): number => SECCOMP_ACTIONS.SCMP_ACT_ERRNO + number;
const architecture = AUDIT_ARCH[process.arch as keyof typeof AUDIT_ARCH];
const ENOSYS: OciSeccomp = { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 };

async function compiled(filter: OciSeccomp): Promise<Buffer> {
  const program = await compileSeccomp(filter);
  return program ?? expect.fail(`it is not compiled: ${seccompCompilerMissingReason()}`);
}

const answer = (program: Buffer, name: string, ...args: bigint[]): number =>
  runFilter(program, { number: resolveSyscall(name), architecture, args });

describe('a compiled filter', () => {
  it('answers by its rules, and of all else by its default', async () => {
    const program = await compiled({
      ...ENOSYS,
      syscalls: [
        { names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' },
        { names: ['mount'], action: 'SCMP_ACT_ERRNO' },
        { names: ['umount2'], action: 'SCMP_ACT_ERRNO', errnoRet: 22 },
      ],
    });
    const names = ['read', 'write', 'mount', 'umount2', 'openat'];
    expect(names.map((name) => answer(program, name))).toEqual([ALLOW, ALLOW, errno(1), errno(22), errno(38)]);
    expect(runFilter(program, { number: 100_000, architecture, args: [] })).toBe(errno(38));
  });

  it.each(Object.entries(SECCOMP_ACTIONS))('has the action %s', async (action, number) => {
    const refused = await compiled({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['mount'], action: action as SeccompAction, errnoRet: 7 }],
    });
    const withNumber = action === 'SCMP_ACT_ERRNO' || action === 'SCMP_ACT_TRACE' ? number + 7 : number;
    expect(answer(refused, 'mount')).toBe(withNumber);
    const byDefault = await compiled({ defaultAction: action as SeccompAction, defaultErrnoRet: 9 });
    expect(answer(byDefault, 'mount')).toBe(withNumber === number ? number : number + 9);
  });

  const LARGE = 2 ** 40 + 5;
  const holds: Readonly<Record<SeccompOperator, (value: bigint, one: bigint, two: bigint) => boolean>> = {
    SCMP_CMP_NE: (value, one) => value !== one,
    SCMP_CMP_LT: (value, one) => value < one,
    SCMP_CMP_LE: (value, one) => value <= one,
    SCMP_CMP_EQ: (value, one) => value === one,
    SCMP_CMP_GE: (value, one) => value >= one,
    SCMP_CMP_GT: (value, one) => value > one,
    SCMP_CMP_MASKED_EQ: (value, one, two) => (value & one) === two,
  };
  it.each(Object.keys(holds) as SeccompOperator[])('compares all 64 bits of an argument by %s', async (op) => {
    for (const [value, valueTwo] of [
      [9, 1],
      [LARGE, 2 ** 40],
      [2 ** 53 - 1, 2 ** 32],
      [0, 0],
    ] as const) {
      for (const index of [0, 3, 5]) {
        const program = await compiled({
          ...ENOSYS,
          syscalls: [{ names: ['mount'], action: 'SCMP_ACT_ALLOW', args: [{ index, value, valueTwo, op }] }],
        });
        const near = [BigInt(value), BigInt(valueTwo), 0n, 1n, 2n ** 40n, 2n ** 32n, 2n ** 64n - 1n];
        for (const given of near.flatMap((one) => [one - 1n, one, one + 1n])) {
          if (given < 0n || given >= 2n ** 64n) continue;
          const args = Array.from({ length: 6 }, (_, at) => (at === index ? given : 0n));
          const expected = holds[op](given, BigInt(value), BigInt(valueTwo)) ? ALLOW : errno(38);
          expect(answer(program, 'mount', ...args), `${given} ${op} ${value}, ${valueTwo}`).toBe(expected);
        }
      }
    }
  });

  it('wants all of what a rule says of several arguments, and one of what it says of one', async () => {
    const with2 = (...args: OciArgumentRule[]) =>
      compiled({ ...ENOSYS, syscalls: [{ names: ['mount'], action: 'SCMP_ACT_ALLOW', args }] });
    const both = await with2({ index: 0, value: 1, op: 'SCMP_CMP_EQ' }, { index: 2, value: 2, op: 'SCMP_CMP_EQ' });
    expect([answer(both, 'mount', 1n, 0n, 2n), answer(both, 'mount', 1n, 0n, 3n)]).toEqual([ALLOW, errno(38)]);
    const either = await with2({ index: 0, value: 1, op: 'SCMP_CMP_EQ' }, { index: 0, value: 2, op: 'SCMP_CMP_EQ' });
    expect([1n, 2n, 3n].map((value) => answer(either, 'mount', value))).toEqual([ALLOW, ALLOW, errno(38)]);
  });

  it('passes over names that the library does not know, and what belongs to other architectures', async () => {
    const program = await compiled({
      ...ENOSYS,
      syscalls: [{ names: ['no_such_call', 'read', 's390_runtime_instr', ''], action: 'SCMP_ACT_ALLOW' }],
    });
    expect(answer(program, 'read')).toBe(ALLOW);
  });

  it('ends what makes calls of an architecture that it is not for', async () => {
    const filter: OciSeccomp = { ...ENOSYS, syscalls: [{ names: ['getpid'], action: 'SCMP_ACT_ALLOW' }] };
    const getpid = { number: resolveSyscall('getpid'), args: [] };
    const other = AUDIT_ARCH[process.arch === 'arm64' ? 'x64' : 'arm64'];
    expect(runFilter(await compiled(filter), { ...getpid, architecture: other })).toBe(SECCOMP_ACTIONS.SCMP_ACT_KILL);
    if (process.arch !== 'x64') return;
    const all = await compiled({ ...filter, architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'] });
    expect(runFilter(all, { number: 20, args: [], architecture: AUDIT_ARCH.ia32 })).toBe(ALLOW);
    expect(runFilter(all, { number: X32 + getpid.number, args: [], architecture })).toBe(ALLOW);
    expect(runFilter(all, { number: getpid.number, args: [], architecture: AUDIT_ARCH.ia32 })).toBe(errno(38));
  });

  it('is not made of an architecture or a number that the library refuses', async () => {
    await expect(compileSeccomp({ ...ENOSYS, architectures: ['SCMP_ARCH_VAX'] })).rejects.toMatchObject({
      code: 'EINVAL',
      syscall: 'seccomp_arch_resolve_name',
      path: 'SCMP_ARCH_VAX',
    });
    const args: OciArgumentRule[] = [{ index: 6, value: 0, op: 'SCMP_CMP_EQ' }];
    await expect(
      compileSeccomp({ ...ENOSYS, syscalls: [{ names: ['mount'], action: 'SCMP_ACT_ALLOW', args }] }),
    ).rejects.toMatchObject({ code: 'EINVAL', syscall: 'seccomp_rule_add_array', path: 'mount' });
  });

  it('is made once of the same, also for those who ask at the same time, and leaves no descriptor open', async () => {
    const filter: OciSeccomp = { ...ENOSYS, syscalls: [{ names: ['getppid'], action: 'SCMP_ACT_ALLOW' }] };
    const before = readdirSync('/proc/self/fd').length;
    const [one, two] = await Promise.all([compileSeccomp(filter), compileSeccomp(structuredClone(filter))]);
    expect(one).toBe(two);
    for (let at = 0; at < 100; at++)
      await compileSeccomp({ ...ENOSYS, syscalls: [{ names: ['getppid'], action: 'SCMP_ACT_ERRNO', errnoRet: at }] });
    // It has been used less recently than many others.
    expect(await compileSeccomp(filter)).not.toBe(one);
    expect(readdirSync('/proc/self/fd').length).toBe(before);
  });
});
