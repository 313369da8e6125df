import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { LayerProgress } from '#src/events.js';
import type { PullLayer } from '#src/metadata/pulls/pull-records.js';
import { PullTracker } from '#src/pulls/pull-tracker.js';
import { Speedometer } from '#src/pulls/speedometer.js';

const layers = [
  { diffId: 'a', size: 1000 },
  { diffId: 'b', size: 500 },
];

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] }));
afterEach(() => void vi.useRealTimers());

function track(save?: (layers: readonly PullLayer[]) => Promise<void>) {
  const events: LayerProgress[] = [];
  const tracker = new PullTracker({ pullId: 'p', emit: (progress) => events.push(progress), save });
  return { tracker, events };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('the tracker of a pull', () => {
  it('reports at once what happens to a layer', () => {
    const { tracker, events } = track();
    tracker.begin(layers);
    tracker.update('a', 'unpacking', 10);
    expect(events).toEqual([
      { pullId: 'p', layer: 'a', phase: 'unpacking', bytes: 10, total: 1000, bytesPerSecond: 0 },
    ]);
  });

  it('reports a layer that waits or stalls once a second, until it has come to its end', () => {
    const { tracker, events } = track();
    tracker.begin(layers);
    tracker.update('a', 'unpacking', 10);
    vi.advanceTimersByTime(3000);
    const of = (layer: string) => events.filter((event) => event.layer === layer);
    expect(of('a').length).toBeGreaterThanOrEqual(3);
    expect(of('b').map(({ phase }) => phase)).toEqual(['waiting', 'waiting', 'waiting']);
    tracker.update('a', 'done', 1000);
    const told = of('a').length;
    vi.advanceTimersByTime(3000);
    expect(of('a')).toHaveLength(told);
  });

  it('reports a layer again within little more than a second, whenever something last happened to it', () => {
    for (const at of [10, 240, 600, 960]) {
      const { tracker, events } = track();
      tracker.begin(layers);
      vi.advanceTimersByTime(at);
      tracker.update('a', 'unpacking', 10);
      vi.advanceTimersByTime(1250);
      expect(events.filter(({ layer }) => layer === 'a').length).toBeGreaterThanOrEqual(2);
    }
  });

  it('is silent once it is closed', async () => {
    const { tracker, events } = track();
    tracker.begin(layers);
    await tracker.close();
    tracker.update('a', 'unpacking', 10);
    vi.advanceTimersByTime(5000);
    expect(events).toEqual([]);
  });

  it('lets others see the layers at once, and then once a second at most, when something has happened', async () => {
    const saved: (readonly PullLayer[])[] = [];
    const { tracker } = track(async (now) => void saved.push(now));
    tracker.begin(layers);
    await settled();
    expect(saved).toEqual([
      [
        { layer: 'a', phase: 'waiting', bytes: 0, total: 1000 },
        { layer: 'b', phase: 'waiting', bytes: 0, total: 500 },
      ],
    ]);
    for (let bytes = 1; bytes <= 100; bytes++) tracker.update('a', 'unpacking', bytes);
    vi.advanceTimersByTime(1000);
    await settled();
    expect(saved).toHaveLength(2);
    expect(saved[1]?.[0]).toMatchObject({ phase: 'unpacking', bytes: 100 });
    vi.advanceTimersByTime(1000);
    await settled();
    expect(saved).toHaveLength(2);
  });

  it('goes on when others cannot be shown anything', async () => {
    const { tracker, events } = track(async () => {
      throw new Error('the disk is full');
    });
    tracker.begin(layers);
    vi.advanceTimersByTime(2000);
    tracker.update('a', 'done', 1000);
    await tracker.close();
    expect(events.at(-1)).toMatchObject({ layer: 'a', phase: 'done' });
  });
});

describe('a speedometer', () => {
  it('tells the speed over the last seconds, and none when nothing has come for so long', () => {
    const speed = new Speedometer();
    for (let at = 0; at <= 10_000; at += 100) speed.add(at, at * 2);
    expect(speed.bytesPerSecond(10_000)).toBe(2000);
    expect(speed.bytesPerSecond(12_500)).toBeLessThan(1500);
    expect(speed.bytesPerSecond(16_000)).toBe(0);
  });

  it('begins anew with a layer that begins anew', () => {
    const speed = new Speedometer();
    speed.add(0, 5000);
    speed.add(1000, 0);
    speed.add(2000, 100);
    expect(speed.bytesPerSecond(2000)).toBe(100);
  });
});
