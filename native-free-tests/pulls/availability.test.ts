import { describe, expect, it } from 'vitest';
import type { PullOutcome, PullRecord } from '#src/metadata/pulls/pull-records.js';
import { availabilityOf, pullUnderWay } from '#src/pulls/availability.js';

const key = { source: 'docker://registry.example/app:v1', platform: 'linux/amd64', terms: 't' };
const digest = (letter: string) => `sha256:${letter.repeat(64)}`;
const running: PullRecord = {
  ...key,
  pull: 'p',
  process: `${'a'.repeat(32)}.41`,
  since: 1000,
  image: undefined,
  layers: [],
};
const failed: PullOutcome = {
  ...key,
  pull: 'o',
  finishedAt: 50_000,
  result: { kind: 'failed', failure: { code: 'ERR_REGISTRY_UNREACHABLE', message: 'nobody there', hint: null } },
};
const stored: PullOutcome = { ...failed, result: { kind: 'stored', image: digest('a'), names: [] } };
const nothing = { image: undefined, running: [], last: undefined };

describe('the availability of an image', () => {
  it('is missing when nothing is known of it, or it was stored once and is gone', () => {
    expect(availabilityOf(nothing, 60_000, 10_000)).toEqual({ state: 'missing' });
    expect(availabilityOf({ ...nothing, last: stored }, 60_000, 10_000)).toEqual({ state: 'missing' });
  });

  it('is ready when it is stored, whatever else goes on', () => {
    const image = { id: digest('a') };
    const ready = { state: 'ready', image: image.id };
    expect(availabilityOf({ image, running: [running], last: failed }, 60_000, 10_000)).toEqual(ready);
  });

  it('is pulling while a living process pulls it, also after a failure', () => {
    const found = availabilityOf({ ...nothing, running: [running], last: failed }, 60_000, 10_000);
    expect(found).toMatchObject({ state: 'pulling', pull: { pid: 41, since: 1000, phase: 'resolving' } });
  });

  it('says why the last pull failed, and when it may be tried again', () => {
    expect(availabilityOf({ ...nothing, last: failed }, 55_000, 10_000)).toEqual({
      state: 'failed',
      code: 'ERR_REGISTRY_UNREACHABLE',
      reason: 'nobody there',
      hint: null,
      failedAt: 50_000,
      retryAt: 60_000,
    });
  });

  it('lets it be tried at once when the clock was set back behind the failure', () => {
    expect(availabilityOf({ ...nothing, last: failed }, 20_000, 10_000)).toMatchObject({ retryAt: 20_000 });
  });
});

describe('a pull under way', () => {
  const layer = (letter: string, phase: 'waiting' | 'unpacking' | 'stored' | 'done', bytes: number, total: number) => ({
    layer: digest(letter),
    phase,
    bytes,
    total,
  });

  it('sums up its layers, a stored one in full', () => {
    const layers = [layer('a', 'stored', 0, 100), layer('b', 'unpacking', 30, 200), layer('c', 'waiting', 0, 50)];
    expect(pullUnderWay({ ...running, image: digest('f'), layers })).toMatchObject({
      phase: 'fetching',
      bytes: 130,
      total: 350,
    });
  });

  it('is storing once all layers are there', () => {
    const layers = [layer('a', 'stored', 0, 100), layer('b', 'done', 200, 200)];
    expect(pullUnderWay({ ...running, layers })).toMatchObject({ phase: 'storing', bytes: 300, total: 300 });
  });

  it('has no total when the source does not say how large a layer is', () => {
    expect(pullUnderWay({ ...running, layers: [layer('a', 'unpacking', 5, -1)] })).toMatchObject({
      bytes: 5,
      total: -1,
    });
  });
});
