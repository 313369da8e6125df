import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LaterStarts } from '#src/containerizer/health/later-starts.js';
import type { LaunchEvent, LaunchRecord } from '#src/index.js';

const NOON = 1_000_000_000;
const PLACE = JSON.stringify({ runtime: 'crun', cgroupsPath: '/job' });

/** Events as the records have them, each with the time at which it was recorded. */
class Records {
  readonly kept: LaunchEvent[] = [];
  readonly asked: object[] = [];

  record(kind: string, containerId = 'job'): void {
    this.kept.push({ sequence: this.kept.length + 1, at: Date.now(), kind, containerId } as LaunchEvent);
  }

  async events({ since = 0, after = 0 }: { since?: number; after?: number }): Promise<LaunchEvent[]> {
    this.asked.push({ since, after });
    return this.kept.filter(({ sequence, at }) => sequence > after && at >= since);
  }

  async get(containerId: string): Promise<LaunchRecord> {
    return { id: 'again', containerId, spec: JSON.stringify({ imageName: 'image' }), place: PLACE } as LaunchRecord;
  }
}

describe('that a container is started once more', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: NOON });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  async function seen(what: (records: Records) => Promise<void>): Promise<string[]> {
    const records = new Records();
    const started: string[] = [];
    const starts = new LaterStarts(records, ({ id }) => started.push(id));
    starts.know('job');
    await what(records);
    await vi.advanceTimersByTimeAsync(1000);
    await starts.close();
    return started;
  }

  it('is seen, of those that are known, and once', async () => {
    const started = await seen(async (records) => {
      records.record('start', 'other');
      records.record('start');
      await vi.advanceTimersByTimeAsync(3000);
    });
    expect(started).toEqual(['again']);
  });

  it.each([0, 5000])('is seen when the machine’s clock is set back, after %i ms', async (passed) => {
    const started = await seen(async (records) => {
      await vi.advanceTimersByTimeAsync(passed);
      vi.setSystemTime(NOON - 3_600_000);
      records.record('start');
    });
    expect(started).toEqual(['again']);
  });

  it('is seen when that is set back after others were', async () => {
    const started = await seen(async (records) => {
      records.record('exit');
      await vi.advanceTimersByTimeAsync(2000);
      vi.setSystemTime(NOON - 3_600_000);
      records.record('start');
    });
    expect(started).toEqual(['again']);
  });
});
