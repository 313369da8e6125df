import { describe, expect, it } from 'vitest';
import { eventNote } from '#src/containerizer/events/container-event.js';

describe('an event as it is recorded', () => {
  it('has its details as JSON, and none where there are none', () => {
    expect(eventNote('pause')).toEqual({ kind: 'pause' });
    expect(eventNote('kill', { signal: 9 })).toEqual({ kind: 'kill', details: '{"signal":9}' });
  });

  it('has long texts and lists cut, within others too', () => {
    const details = { message: 'x'.repeat(10_000), processes: Array.from({ length: 5000 }, (_, at) => String(at)) };
    const cut = JSON.parse(eventNote('undead', { ...details, within: { ...details, processes: [] } }).details ?? '');
    expect(cut.message).toBe(`${'x'.repeat(500)}…`);
    expect(cut.processes).toHaveLength(32);
    expect(cut.within.message).toHaveLength(501);
  });

  it('is recorded without details that are too long for a record', () => {
    const labels = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`label-${at}`, 'value']));
    expect(eventNote('create', { image: 'app', labels })).toEqual({ kind: 'create' });
  });
});
