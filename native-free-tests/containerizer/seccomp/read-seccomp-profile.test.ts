import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseSeccompProfile, readSeccompProfile } from '#src/containerizer/seccomp/read-seccomp-profile.js';

const ALLOW = { defaultAction: 'SCMP_ACT_ALLOW' };
const RULE = { names: ['mount'], action: 'SCMP_ACT_ERRNO' };
const ARGUMENT = { index: 0, value: 1, op: 'SCMP_CMP_EQ' };

const parse = (document: unknown) => parseSeccompProfile(JSON.stringify(document), 'p.json');
const withRule = (more: object) => ({ ...ALLOW, syscalls: [{ ...RULE, ...more }] });

describe('a seccomp profile', () => {
  it('may be the least there is', () => {
    expect(parse(ALLOW)).toEqual({
      defaultAction: 'SCMP_ACT_ALLOW',
      defaultErrno: undefined,
      architectures: [],
      archMap: [],
      flags: [],
      rules: [],
    });
  });

  it('may have all that the format has', () => {
    const profile = parse({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 1,
      archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      syscalls: [
        {
          names: ['ptrace', 'clone'],
          action: 'SCMP_ACT_TRACE',
          errnoRet: 7,
          args: [{ index: 5, value: 2114060288, valueTwo: 3, op: 'SCMP_CMP_MASKED_EQ' }, ARGUMENT],
          comment: 'x',
          includes: { caps: ['CAP_SYS_ADMIN'], arches: ['amd64'], minKernel: '4.8' },
          excludes: { caps: ['CAP_SYS_PTRACE'], arches: ['s390', 's390x'] },
        },
      ],
    });
    expect(profile).toEqual({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrno: 1,
      architectures: [],
      archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      rules: [
        {
          names: ['ptrace', 'clone'],
          action: 'SCMP_ACT_TRACE',
          errno: 7,
          args: [{ index: 5, value: 2114060288, valueTwo: 3, op: 'SCMP_CMP_MASKED_EQ' }, ARGUMENT],
          includes: { caps: ['CAP_SYS_ADMIN'], arches: ['amd64'], minKernel: { major: 4, minor: 8 } },
          excludes: { caps: ['CAP_SYS_PTRACE'], arches: ['s390', 's390x'], minKernel: undefined },
        },
      ],
    });
  });

  it('may have null for what it leaves out, as programs in Go write it', () => {
    const nothing = { args: null, includes: null, excludes: { caps: null }, comment: null, errnoRet: null };
    expect(parse({ ...withRule(nothing), architectures: null, archMap: null }).rules).toHaveLength(1);
  });

  it('may name one call, as old ones do', () => {
    expect(parse({ ...ALLOW, syscalls: [{ name: 'mount', action: 'SCMP_ACT_KILL' }] }).rules[0]?.names).toEqual([
      'mount',
    ]);
  });

  it.each([
    [{ errno: 'EPERM' }, 1],
    [{ errno: 'ENOSYS', errnoRet: 1 }, 38],
    [{ errno: '22' }, 22],
    [{ errno: '', errnoRet: 5 }, 5],
    [{ errnoRet: 0 }, 0],
    [{}, undefined],
  ])('that says %j answers with the error %s: a name goes before a number', (more, errno) => {
    expect(parse(withRule(more)).rules[0]?.errno).toBe(errno);
    const { errno: defaultErrno, errnoRet: defaultErrnoRet } = more as { errno?: string; errnoRet?: number };
    expect(parse({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrno, defaultErrnoRet }).defaultErrno).toBe(errno);
  });

  it.each([
    ['no object', [], 'the document: expected object, found array'],
    ['a list of conditions', withRule({ includes: [] }), 'syscalls[0].includes: expected object, found array'],
    ['no default action', {}, 'defaultAction: is missing'],
    [
      'an action that there is not',
      { defaultAction: 'SCMP_ACT_PERMIT' },
      'defaultAction: is no action that is supported here; there are SCMP_ACT_KILL, ',
    ],
    ['an action of the prototype', { defaultAction: 'toString' }, 'defaultAction: is no action'],
    [
      'an action that needs a listener',
      withRule({ action: 'SCMP_ACT_NOTIFY' }),
      'syscalls[0].action: is no action that is supported here',
    ],
    ['a field that there is not', { ...ALLOW, listenerPath: '/x' }, 'listenerPath: is unknown'],
    ['a misspelled condition', withRule({ include: {} }), 'syscalls[0].include: is unknown'],
    ['an unknown condition', withRule({ includes: { user: 'x' } }), 'syscalls[0].includes.user: is unknown'],
    ['a list where a text belongs', withRule({ action: [] }), 'syscalls[0].action: expected string, found array'],
    ['a rule of nothing', withRule({ names: [] }), 'syscalls[0]: has either `names` or, as in old ones, a `name`'],
    ['a rule of two kinds', withRule({ name: 'x' }), 'syscalls[0]: has either'],
    [
      'a name that is none',
      withRule({ names: ['mount', 'mount '] }),
      'syscalls[0].names[1]: is no name of a system call',
    ],
    [
      'a comparison that there is not',
      withRule({ args: [ARGUMENT, { ...ARGUMENT, op: '==' }] }),
      'syscalls[0].args[1].op: is no comparison; there are SCMP_CMP_NE, ',
    ],
    [
      'a seventh argument',
      withRule({ args: [{ ...ARGUMENT, index: 6 }] }),
      'syscalls[0].args[0].index: is no argument: they are 0 to 5',
    ],
    [
      'too many comparisons',
      withRule({ args: Array(7).fill(ARGUMENT) }),
      'syscalls[0]: has more `args` than a system call',
    ],
    [
      'a value below zero',
      withRule({ args: [{ ...ARGUMENT, value: -1 }] }),
      'syscalls[0].args[0].value: is no whole number',
    ],
    [
      'a value that JSON rounds',
      withRule({ args: [{ ...ARGUMENT, value: 2 ** 53 }] }),
      'syscalls[0].args[0].value: is no whole number from 0 to 2^53 - 1',
    ],
    ['no value', withRule({ args: [{ index: 0, op: 'SCMP_CMP_EQ' }] }), 'syscalls[0].args[0].value: is missing'],
    [
      'an error that there is not',
      withRule({ errno: 'EWHAT' }),
      'syscalls[0].errno: is no name of an error, such as EPERM',
    ],
    ['a number of no error', withRule({ errnoRet: 4096 }), 'syscalls[0].errnoRet: is no number of an error'],
    [
      'an error with an action that has none',
      withRule({ action: 'SCMP_ACT_ALLOW', errnoRet: 1 }),
      'syscalls[0]: has an error that its action does not answer with',
    ],
    [
      'a default error with an action that has none',
      { ...ALLOW, defaultErrnoRet: 1 },
      'the document: has a default error that its default action does not answer with',
    ],
    [
      'a capability that is none',
      withRule({ excludes: { caps: ['sys_admin'] } }),
      'syscalls[0].excludes.caps[0]: is no capability, such as CAP_SYS_ADMIN',
    ],
    [
      'an architecture that is none',
      withRule({ includes: { arches: ['amd46'] } }),
      'syscalls[0].includes.arches[0]: is no architecture, such as amd64',
    ],
    [
      'a kernel that is none',
      withRule({ includes: { minKernel: '4' } }),
      'syscalls[0].includes.minKernel: is no version of a kernel, such as 4.8',
    ],
    [
      'an architecture of a filter that is none',
      { ...ALLOW, architectures: ['amd64'] },
      'architectures[0]: is no architecture, such as SCMP_ARCH_X86_64',
    ],
    [
      'two ways to say for which architectures',
      { ...ALLOW, architectures: ['SCMP_ARCH_X86'], archMap: [{ architecture: 'SCMP_ARCH_X86' }] },
      'the document: has both `architectures` and an `archMap`',
    ],
    [
      'a flag that is none',
      { ...ALLOW, flags: ['SECCOMP_FILTER_FLAG_NEW_LISTENER'] },
      'flags[0]: is no flag that is supported here',
    ],
  ])('with %s is refused, and it is said where', (_, document, fault) => {
    expect(() => parse(document)).toThrow(
      expect.objectContaining({
        code: 'ERR_SECCOMP_PROFILE',
        message: expect.stringContaining(`the seccomp profile p.json cannot be used: ${fault}`),
        details: { path: 'p.json', problem: expect.stringContaining(fault) },
      }),
    );
  });

  it('with several faults tells how many', () => {
    expect(() => parse({ defaultAction: 'x', flags: ['y'], syscalls: 7 })).toThrow(/defaultAction: .*, and 2 more$/);
  });

  it('that is no JSON is refused', () => {
    expect(() => parseSeccompProfile('{"defaultAction": ', 'p.json')).toThrow(
      /p\.json cannot be used: it is no JSON: /,
    );
  });
});

describe('a file with a seccomp profile', () => {
  let place: string;
  beforeAll(() => {
    place = mkdtempSync(join(tmpdir(), 'provisioner-seccomp-'));
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  it('is read', async () => {
    const path = join(place, 'profile.json');
    writeFileSync(path, JSON.stringify(ALLOW));
    expect(await readSeccompProfile(path)).toEqual(parse(ALLOW));
  });

  it('is named when it is not there, or is no file', async () => {
    for (const [path, cause] of [
      [join(place, 'missing'), { code: 'ENOENT' }],
      [place, { name: 'NotRegularError' }],
      ['/dev/zero', { name: 'NotRegularError' }],
    ] as const)
      await expect(readSeccompProfile(path)).rejects.toMatchObject({
        code: 'ERR_SECCOMP_PROFILE',
        details: { path },
        cause,
      });
  });
});
