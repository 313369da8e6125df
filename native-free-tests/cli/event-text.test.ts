import { describe, expect, it } from 'vitest';
import { eventFilter, eventLine } from '#src/cli/running/event-text.js';
import type { ContainerEvent } from '#src/containerizer/index.js';

const EVENT: ContainerEvent = {
  sequence: 7,
  at: Date.UTC(2026, 0, 31, 12, 0, 0, 5),
  kind: 'exit',
  containerId: 'job-1',
  launchId: 'a'.repeat(32),
  owner: 'agent',
  imageName: 'alpine:3',
  labels: { job: '17', empty: '' },
  details: { code: 3, reason: 'exited', oomKills: 0, cpuTime: 12 },
};

describe('the line of an event', () => {
  it('has when, what, of which container, and what there is to say of it', () => {
    expect(eventLine(EVENT)).toBe('2026-01-31T12:00:00.005Z exit job-1 (image=alpine:3, code=3, reason=exited)');
    const bare = { ...EVENT, imageName: undefined, details: {} };
    expect(eventLine(bare)).toBe('2026-01-31T12:00:00.005Z exit job-1');
    const odd = { ...bare, details: { oomKills: 2, processes: ['1 D dd'] } };
    expect(eventLine(odd)).toMatch(/ \(oomKills=2, processes=\["1 D dd"\]\)$/);
  });
});

describe('filters of events', () => {
  it.each<[readonly string[], boolean]>([
    [[], true],
    [['container=job-1'], true],
    [['container=job'], false],
    [[`container=${'a'.repeat(32)}`], true],
    [['event=start', 'event=exit'], true],
    [['event=exit', 'owner=other'], false],
    [['image=alpine:3'], true],
    [['image=alpine'], false],
    [['label=job'], true],
    [['label=job=17', 'label=empty'], true],
    [['label=job=17', 'label=toString'], false],
    [['label=job=1'], false],
  ])('%j: one value of a key fits, of labels and of keys all: %s', (filters, fits) => {
    expect(eventFilter(filters)(EVENT)).toBe(fits);
  });

  it.each(['exit', 'event=', '=exit', 'colour=red', 'constructor=x'])('that are none are refused: %s', (text) => {
    expect(() => eventFilter([text])).toThrow(expect.objectContaining({ name: 'UsageError' }));
  });
});
