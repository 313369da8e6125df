import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DEFAULT_PROFILE } from '#src/containerizer/seccomp/default-profile.js';
import { ociSeccompOf } from '#src/containerizer/seccomp/oci-seccomp-of.js';
import {
  type PreparedSeccomp,
  prepareSeccomp,
  SECCOMP_ANNOTATION,
} from '#src/containerizer/seccomp/prepare-seccomp.js';
import { readSeccompProfile } from '#src/containerizer/seccomp/read-seccomp-profile.js';
import { resolveSyscall } from '#src/system/seccomp/libseccomp.js';
import { SECCOMP_ACTIONS } from '#src/system/seccomp/oci-seccomp.js';
import { AUDIT_ARCH, runFilter, X32 } from '../helpers/bpf.js';
import { runByCrun } from '../helpers/crun-container.js';
import { installedFilter } from '../helpers/installed-filter.js';
import { describeWith } from '../helpers/requirements.js';
import { temporaryDirectory } from '../helpers/test-store.js';

const { EPERM, EINVAL, ENOSYS } = constants.errno;
const CAPABILITIES = (
  'CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_NET_BIND_SERVICE CAP_SETFCAP CAP_SETGID CAP_SETPCAP ' +
  'CAP_SETUID CAP_SYS_CHROOT'
).split(' ');
const architecture = AUDIT_ARCH[process.arch as keyof typeof AUDIT_ARCH];
/** Each changes what the default profile allows. */
const MORE = ['CAP_SYS_TIME', 'CAP_SYS_MODULE', 'CAP_SYS_RAWIO', 'CAP_SYS_PTRACE'];
const DEBIANS = '/usr/share/containers/seccomp.json';

const annotated = ({ annotation }: PreparedSeccomp) => ({ [SECCOMP_ANNOTATION]: annotation ?? '' });

async function prepared(seccomp: string, capabilities: readonly string[] = CAPABILITIES): Promise<PreparedSeccomp> {
  return (await prepareSeccomp(seccomp, capabilities, temporaryDirectory())) ?? expect.fail('there is none');
}

/** Makes each call in a child process. @returns the numbers of their errors, 0 for none */
async function errorsOf(
  calls: readonly (readonly [name: string, ...args: number[]])[],
  parts: PreparedSeccomp,
  capabilities = CAPABILITIES,
): Promise<number[]> {
  const made = calls.map(([name, ...args]) => `[${[resolveSyscall(name), ...args].join(', ')}]`);
  const script = `
    for my $call (${made.join(', ')}) {
      my $child = fork() // die 'no fork';
      if ($child == 0) { $! = 0; my $result = syscall($call->[0], @$call[1 .. $#$call]); exit($result == -1 ? $! + 0 : 0); }
      waitpid($child, 0);
      print $? & 127 ? "killed " : ($? >> 8) . ' ';
    }`;
  const output = await runByCrun({ annotations: annotated(parts), capabilities, script });
  return output.trim().split(' ').map(Number);
}

/** Arguments that the rules of the profile tell apart, and some that they do not. */
const VALUES = [0n, 1n, 2n, 8n, 9n, 16n, 17n, 40n, 0x20000n, 0x20008n, 0x1000_0000n, 0xffff_ffffn, 2n ** 64n - 1n];

/** All that a filter can be asked, as far as its answers may differ. */
function* questions() {
  for (let number = 0; number <= 470; number++) {
    for (const first of VALUES) {
      for (const third of [0n, 9n, 2n ** 32n + 9n]) {
        const args = [first, 3n, third, 0n, 0n, 0n];
        yield { number, architecture, args };
        yield { number: X32 + number, architecture, args };
        for (const other of Object.values(AUDIT_ARCH)) if (first === 0n) yield { number, architecture: other, args };
      }
    }
  }
}

describeWith(['root', 'crun'], 'a container with a filter that was made beforehand', () => {
  let place: string;
  beforeAll(() => {
    place = mkdtempSync(join(tmpdir(), 'provisioner-seccomp-'));
  });
  afterAll(() => rmSync(place, { recursive: true, force: true }));

  it('runs with it', async () => {
    const script = `open my $status, '<', '/proc/self/status'; print grep /^(Seccomp|NoNewPrivs)/, <$status>;`;
    const with1 = await runByCrun({
      annotations: annotated(await prepared('default')),
      capabilities: CAPABILITIES,
      script,
    });
    expect(with1).toMatch(/^NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n$/);
    expect(await runByCrun({ capabilities: CAPABILITIES, script })).toMatch(/^Seccomp:\t0$/m);
  });

  it('has the very filter that crun makes of the same object, which answers alike to all that it can be asked', async () => {
    const parts = await prepared('default');
    const script = `print "ready\\n"; <STDIN>;`;
    const filters: Buffer[] = [];
    const look = (pid: number) => void filters.push(installedFilter(pid));
    await runByCrun({ annotations: annotated(parts), capabilities: CAPABILITIES, script }, look);
    await runByCrun({ seccomp: parts.oci, capabilities: CAPABILITIES, script }, look);
    const [ours, theirs] = filters as [Buffer, Buffer];
    expect(ours.toString('base64')).toBe(parts.annotation);
    const tally = new Map<number, number>();
    for (const question of questions()) {
      const answer = runFilter(ours, question);
      tally.set(answer, (tally.get(answer) ?? 0) + 1);
      if (answer !== runFilter(theirs, question)) expect.fail(`they differ: ${question.number}, ${question.args}`);
    }
    const { SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL } = SECCOMP_ACTIONS;
    const answers = [SCMP_ACT_ALLOW, SCMP_ACT_KILL, ...[EPERM, EINVAL, ENOSYS].map((errno) => SCMP_ACT_ERRNO + errno)];
    expect([...tally.keys()].toSorted()).toEqual(answers.toSorted());
  });

  it('prefers it to what the bundle says beside it', async () => {
    const parts = await prepared('default');
    const oci = { defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 99 } as const;
    const script = 'print "ready\\n"; <STDIN>;';
    let filter: Buffer | undefined;
    await runByCrun({ seccomp: oci, annotations: annotated(parts), capabilities: CAPABILITIES, script }, (pid) => {
      filter = installedFilter(pid);
    });
    expect(filter?.toString('base64')).toBe(parts.annotation);
  });

  it('is refused what the default profile refuses, with its errors, and allowed what it allows', async () => {
    const calls = [
      [['getpid'], 0],
      [['swapoff', 0], EPERM],
      [['kexec_load', 0, 0, 0, 0], EPERM],
      [['userfaultfd', 0], EPERM],
      [['bpf', 0, 0, 0], EPERM],
      [['acct', 0], EPERM],
      [['open_by_handle_at', -1, 0, 0], EPERM],
      [['init_module', 0, 0, 0], EPERM],
      [['settimeofday', 0, 0], EPERM],
      [['add_key', 0, 0, 0, 0, 0], ENOSYS],
      [['personality', 0xffffffff], 0],
      [['personality', 0x20008], 0],
      [['personality', 0x40000], ENOSYS],
      [['socket', 16, 3, 9], EINVAL],
      [['socket', 16, 3, 0], 0],
      [['socket', 2, 1, 0], 0],
      [['socket', 1, 1, 9], constants.errno.EPROTONOSUPPORT],
    ] as const;
    const expected = calls.map(([[name], error]) => [name, error]);
    const errors = await errorsOf(
      calls.map(([call]) => call),
      await prepared('default'),
    );
    expect(calls.map(([[name]], index) => [name, errors[index]])).toEqual(expected);
  });

  it('may do with a capability what it is refused without', async () => {
    const calls = [
      ['acct', 1],
      ['bpf', 0, 0, 0],
      ['socket', 16, 3, 9],
    ] as const;
    const more = [...CAPABILITIES, 'CAP_SYS_PACCT', 'CAP_SYS_ADMIN', 'CAP_AUDIT_WRITE'];
    const [acct, bpf, audit] = await errorsOf(calls, await prepared('default', more), more);
    // What the kernel itself has to say to calls that make no sense.
    expect([acct, bpf]).toEqual([constants.errno.EFAULT, EINVAL]);
    expect(audit).not.toBe(EINVAL);
  });

  it('may have a profile of its own, with rules about arguments: new namespaces are refused, new processes are not', async () => {
    const path = join(place, 'own.json');
    const syscalls = [
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS },
      { names: ['unshare'], action: 'SCMP_ACT_ERRNO', errnoRet: EPERM, excludes: { caps: ['CAP_SYS_ADMIN'] } },
      {
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: 13,
        args: [{ index: 0, value: 0x10000000, valueTwo: 0x10000000, op: 'SCMP_CMP_MASKED_EQ' }],
        excludes: { caps: ['CAP_SYS_ADMIN'] },
        includes: { minKernel: '4.8' },
      },
      { names: ['umask'], action: 'SCMP_ACT_ERRNO', errno: 'EBUSY', includes: { minKernel: '99.0' } },
    ];
    writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }));
    const CLONE_NEWUSER = 0x10000000;
    const calls = [
      ['clone', CLONE_NEWUSER | 17, 0, 0, 0, 0],
      ['clone3', 0, 0],
      ['unshare', CLONE_NEWUSER],
      ['umask', 0],
    ] as const;
    expect(await errorsOf(calls, await prepared(path))).toEqual([13, ENOSYS, EPERM, 0]);
  });

  it('has no filter when it asks for none', async () => {
    expect(await prepareSeccomp('unconfined', CAPABILITIES, temporaryDirectory())).toBeUndefined();
  });

  it('is not run with a profile of which no filter can be made', async () => {
    const path = join(place, 'vax.json');
    writeFileSync(path, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_VAX'] }));
    await expect(prepareSeccomp(path, CAPABILITIES, temporaryDirectory())).rejects.toMatchObject({
      code: 'ERR_SECCOMP_PROFILE',
      message: expect.stringContaining('SCMP_ARCH_VAX'),
      details: { path },
    });
  });

  it('is made without a stop of the event loop, and once for the same capabilities', async () => {
    await prepared('default');
    const figures = [];
    for (let round = 0; round < 5; round++) {
      const capabilities = ['CAP_SYS_PACCT', ...MORE.slice(0, round)];
      const begun = performance.now();
      let last = begun;
      let longest = 0;
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      });
      const first = await prepared('default', capabilities);
      const took = performance.now() - begun;
      clearInterval(timer);
      expect((await prepared('default', capabilities)).annotation).toBe(first.annotation);
      figures.push({ took, longest, again: performance.now() - begun - took });
    }
    if (process.env['PROVISIONER_TEST_FIGURES'] === '1') console.table(figures);
    // At best, since the machine may have other work.
    expect(Math.min(...figures.map(({ longest, took }) => longest / took))).toBeLessThan(1 / 4);
    expect(Math.min(...figures.map(({ again }) => again))).toBeLessThan(2);
  });
});

describeWith(['crun'], 'the default profile', () => {
  it('says what that of the system says, where that is of the same version', async () => {
    // Comes with podman, as crun does.
    expect(existsSync(DEBIANS)).toBe(true);
    const theirs = await readSeccompProfile(DEBIANS);
    // 0.50.1, of Debian 12: later ones know more calls.
    const isSame = JSON.parse(readFileSync(DEBIANS, 'utf8')).syscalls[1].names.length === 374;
    const contexts = ['amd64', 'arm64', 's390x', 'riscv64', 'ppc64le'].flatMap((arch) =>
      [[], CAPABILITIES, ['CAP_SYS_ADMIN', 'CAP_AUDIT_WRITE', 'CAP_SYS_TIME', 'CAP_SYS_PTRACE']].map(
        (capabilities) => ({
          capabilities,
          architecture: arch,
          kernel: { major: 6, minor: 1 },
        }),
      ),
    );
    for (const context of contexts) {
      const [one, other] = [ociSeccompOf(DEFAULT_PROFILE, context), ociSeccompOf(theirs, context)];
      expect(one.defaultErrnoRet).toBe(other.defaultErrnoRet);
      if (isSame) expect(factsOf(one)).toEqual(factsOf(other));
    }
  });
});

/** Each call with what it is answered, in any order, once. */
function factsOf({ syscalls = [], architectures, defaultAction }: PreparedSeccomp['oci']): unknown {
  const facts = syscalls.flatMap(({ names, ...rule }) => names.map((name) => JSON.stringify({ name, ...rule })));
  return { architectures, defaultAction, facts: [...new Set(facts)].toSorted() };
}
