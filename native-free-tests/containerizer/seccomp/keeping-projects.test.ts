import { describe, expect, it } from 'vitest';
import { keepingProjects } from '#src/containerizer/seccomp/keeping-projects.js';
import type { OciArgumentRule, OciSeccomp } from '#src/system/seccomp/oci-seccomp.js';

const FORBIDDEN = [0x401c5820, 0x801c5820, 0x40086602, 0x80086602, 0x40046602];

function holds({ op, value, valueTwo }: OciArgumentRule, request: bigint): boolean {
  if (op !== 'SCMP_CMP_MASKED_EQ') throw new Error(op);
  return (request & BigInt(value)) === BigInt(valueTwo ?? 0);
}

/** What a filter does with a call of ioctl, by the rules of which one holds: they do not overlap. */
function actionOf({ syscalls = [], defaultAction }: OciSeccomp, request: bigint): string {
  const hit = syscalls.filter(
    ({ names, args }) => names.includes('ioctl') && (args?.some((one) => holds(one, request)) ?? true),
  );
  if (hit.length > 1) throw new Error(`${hit.length} rules hold for ${request}`);
  return hit[0]?.action ?? defaultAction;
}

const LIST: OciSeccomp = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrnoRet: 38,
  syscalls: [{ names: ['read', 'ioctl', 'write'], action: 'SCMP_ACT_ALLOW' }],
};

describe('a filter for files that stay with their project', () => {
  it.each([
    ['of what may be called', LIST],
    ['of what may not be called', { defaultAction: 'SCMP_ACT_ALLOW' } as const],
  ])('lets all calls of ioctl be but two, whatever stands in front of them: one %s', (_, filter) => {
    const kept = keepingProjects(filter);
    const refused: number[] = [];
    for (let request = 0; request < 2 ** 16; request++) {
      if (actionOf(kept, BigInt(request)) !== 'SCMP_ACT_ALLOW') refused.push(request);
    }
    expect(refused).toEqual([0x5820, 0x6602]);
    for (const request of FORBIDDEN) {
      for (const above of [0n, 1n << 32n, 0xffffffff00000000n])
        expect(actionOf(kept, above | BigInt(request))).toBe('SCMP_ACT_ERRNO');
    }
  });

  it.each([
    ['says nothing of it', LIST],
    ['lets all be that it does not name', { defaultAction: 'SCMP_ACT_ALLOW' } as const],
    [
      'lets it be',
      {
        ...LIST,
        syscalls: [
          { names: ['read', 'file_setattr'], action: 'SCMP_ACT_ALLOW' },
          { names: ['file_setattr'], action: 'SCMP_ACT_LOG' },
        ],
      } as const,
    ],
  ])('refuses the call that does the same without ioctl, where a filter %s', (_, filter) => {
    const { syscalls = [] } = keepingProjects(filter);
    expect(syscalls.filter(({ names }) => names.includes('file_setattr'))).toEqual([
      { names: ['file_setattr'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    ]);
    expect(syscalls.some(({ names }) => names.length === 0)).toBe(false);
    expect(syscalls.some(({ names }) => names.includes('read'))).toBe('syscalls' in filter);
  });

  it('leaves other calls, and rules that say themselves when, as they are', () => {
    const kept = keepingProjects(LIST);
    expect(kept.syscalls?.[0]).toEqual({ names: ['read', 'write'], action: 'SCMP_ACT_ALLOW' });
    const own = {
      names: ['ioctl'],
      action: 'SCMP_ACT_ALLOW',
      args: [{ index: 1, value: 0x5401, op: 'SCMP_CMP_EQ' }],
    } as const;
    expect(keepingProjects({ ...LIST, syscalls: [own] }).syscalls?.[0]).toEqual(own);
  });
});
