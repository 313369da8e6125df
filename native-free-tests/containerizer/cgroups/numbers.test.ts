import { describe, expect, it } from 'vitest';
import { parseCpuList, printCpuList } from '#src/containerizer/cgroups/limits/cpu-list.js';
import { numberOf, parseLimit, parseNumber, sum } from '#src/containerizer/cgroups/numbers.js';

describe('a number of a cgroup', () => {
  it.each([
    ['0\n', 0],
    ['67108864\n', 67_108_864],
    ['max\n', undefined],
    ['-1\n', undefined],
    ['', undefined],
    ['12 13\n', undefined],
    [undefined, undefined],
  ])('%j is %s', (text, value) => {
    expect(parseNumber(text)).toBe(value);
  });

  it.each([
    ['9223372036854771712\n', undefined],
    ['9223372036854775807\n', undefined],
    ['18446744073709551615\n', undefined],
    ['max\n', undefined],
    ['-1\n', undefined],
    ['9007199254740991\n', Number.MAX_SAFE_INTEGER],
    ['67108864\n', 67_108_864],
    ['0\n', 0],
  ])('as a limit, %j is %s', (text, value) => {
    expect(parseLimit(text)).toBe(value);
  });

  it('that has a name is found by the whole of it', () => {
    const text = 'low 1\noom 2\noom_kill 3\noom_group_kill 4\nlast 5';
    expect(['low', 'oom', 'oom_kill', 'kill', 'last', 'la'].map((name) => numberOf(text, name))).toEqual([
      1,
      2,
      3,
      undefined,
      5,
      undefined,
    ]);
    expect(numberOf(undefined, 'low')).toBeUndefined();
  });

  it('that is not known adds nothing', () => {
    expect([sum(1, undefined), sum(undefined, 2), sum(1, 2), sum(undefined, undefined)]).toEqual([1, 2, 3, undefined]);
  });
});

describe('a list of processors', () => {
  it.each([
    ['0', [0]],
    ['0-2,7\n', [0, 1, 2, 7]],
    ['7,0-2,1', [0, 1, 2, 7]],
    ['', undefined],
    [',', undefined],
    ['0,', undefined],
    ['2-0', undefined],
    ['0-', undefined],
    ['-1', undefined],
    ['0 1', undefined],
    ['a', undefined],
    ['0-6:1/2', undefined],
    ['0-99999', undefined],
  ])('%j is %j', (text, processors) => {
    expect(parseCpuList(text)).toEqual(processors);
  });

  it('is printed as it is read', () => {
    for (const text of ['0', '0-2,7', '1,3,5', '0-1,3-4', ''])
      expect(printCpuList(parseCpuList(text) ?? [])).toBe(text);
  });
});
