import { describe, expect, it } from 'vitest';
import { volumeFilter } from '#src/cli/running/flags/volume-filter.js';

const volume = (name: string, containers: string[] = [], labels: Record<string, string> = {}) => ({
  ...{ name, containers, labels, owner: name === 'c' ? 'other' : 'default' },
  ...{ mountpoint: `/volumes/${name}`, createdAt: 0, state: 'ready' as const },
});
const ALL = [volume('ab', ['job']), volume('b', [], { team: 'blue' }), volume('c', [], { team: '', 'x=y': 'z' })];

describe('filters of volumes', () => {
  it.each<[string[], string]>([
    [[], 'ab b c'],
    [['dangling=true'], 'b c'],
    [['dangling=0'], 'ab'],
    [['name=b'], 'ab b'],
    [['name=b', 'dangling=true'], 'b'],
    [['label=team'], 'b c'],
    [['label=team=blue'], 'b'],
    [['label=team='], 'c'],
    [['label=toString'], ''],
    [['owner=other'], 'c'],
  ])('%j leave %j', (filters, names) => {
    expect(
      ALL.filter(volumeFilter(filters))
        .map(({ name }) => name)
        .join(' '),
    ).toBe(names);
  });

  it.each(['', 'dangling', 'dangling=maybe', 'driver=local', 'name=', 'label==x'])('%j is none', (text) => {
    expect(() => volumeFilter([text])).toThrow(`not a filter of volumes: ${JSON.stringify(text)}`);
  });
});
