import { describe, expect, it } from 'vitest';
import { healthSettings } from '#src/containerizer/health/health-settings.js';
import {
  afterCheck,
  type Health,
  type HealthResult,
  pauseOf,
  UNKNOWN_HEALTH,
} from '#src/containerizer/health/health-state.js';

const result = (code: number | undefined): HealthResult => ({
  startedAt: 0,
  finishedAt: 1,
  code,
  reason: code === undefined ? 'time-limit' : 'exited',
  output: '',
});
const FAILED = result(1);
const SUCCEEDED = result(0);
const SETTINGS = { startPeriod: 1000, retries: 3 };

/** What checks make of a container one after the other; each a time since the start, and how it came out. */
const madeOf = (...checks: readonly (readonly [number, HealthResult])[]): Health =>
  checks.reduce<Health>((health, [at, outcome]) => afterCheck(SETTINGS, health, outcome, at), UNKNOWN_HEALTH);

describe('the health of a container', () => {
  it('is healthy with the first success, in the start period too', () => {
    expect(madeOf([1, SUCCEEDED])).toMatchObject({ status: 'healthy', failingStreak: 0 });
  });

  it('is unhealthy with so many failures in a row, and not before', () => {
    expect(madeOf([2000, FAILED], [2001, FAILED])).toMatchObject({ status: 'starting', failingStreak: 2 });
    expect(madeOf([2000, FAILED], [2001, FAILED], [2002, FAILED])).toMatchObject({
      status: 'unhealthy',
      failingStreak: 3,
    });
  });

  it('begins to count anew with a success', () => {
    const health = madeOf([2000, SUCCEEDED], [2001, FAILED], [2002, FAILED], [2003, SUCCEEDED], [2004, FAILED]);
    expect(health).toMatchObject({ status: 'healthy', failingStreak: 1 });
  });

  it('comes back from unhealthy with one success', () => {
    const health = madeOf([2000, FAILED], [2001, FAILED], [2002, FAILED], [2003, SUCCEEDED]);
    expect(health).toMatchObject({ status: 'healthy', failingStreak: 0 });
  });

  it('goes on counting when it is unhealthy', () => {
    const health = madeOf([2000, FAILED], [2001, FAILED], [2002, FAILED], [2003, FAILED]);
    expect(health).toMatchObject({ status: 'unhealthy', failingStreak: 4 });
  });

  it('does not count failures of the start period, and tells them', () => {
    const health = madeOf([1, FAILED], [2, FAILED], [999, FAILED], [1000, FAILED]);
    expect(health).toMatchObject({ status: 'starting', failingStreak: 1 });
    expect(health.results).toHaveLength(4);
  });

  it('counts failures of the start period once it has been healthy', () => {
    expect(madeOf([1, SUCCEEDED], [2, FAILED], [3, FAILED], [4, FAILED])).toMatchObject({ status: 'unhealthy' });
  });

  it('counts a check without a code as failed', () => {
    expect(madeOf([2000, result(undefined)])).toMatchObject({ failingStreak: 1 });
  });

  it('is what it was after a check for which this machine had no room, and tells it', () => {
    const notRun: HealthResult = { ...FAILED, code: undefined, reason: 'not-run' };
    const health = madeOf([2000, SUCCEEDED], [2001, FAILED], [2002, notRun], [2003, notRun], [2004, notRun]);
    expect(health).toMatchObject({ status: 'healthy', failingStreak: 1 });
    expect(health.results).toHaveLength(5);
  });

  it('keeps the last five results, the newest last', () => {
    const codes = [1, 2, 3, 4, 5, 6, 7];
    const health = madeOf(...codes.map((code) => [2000 + code, result(code)] as const));
    expect(health.results.map(({ code }) => code)).toEqual([3, 4, 5, 6, 7]);
  });
});

describe('the pause between two checks', () => {
  const settings = { interval: 30_000, startPeriod: 1000, startInterval: 100 };
  const healthy: Health = { ...UNKNOWN_HEALTH, status: 'healthy' };

  it.each([
    ['that of the start, in the start period', UNKNOWN_HEALTH, 999, 100],
    ['no longer than until an interval after the start period', UNKNOWN_HEALTH, 10, 30_990, 60_000],
    ['the interval when that is over', UNKNOWN_HEALTH, 1000, 30_000],
    ['the interval once it has been healthy', healthy, 10, 30_000],
  ])('is %s', (_, health, sinceStart, expected, startInterval = 100) => {
    expect(pauseOf({ ...settings, startInterval }, health, sinceStart)).toBe(expected);
  });

  it('is the interval without a start period', () => {
    expect(pauseOf({ ...settings, startPeriod: 0 }, UNKNOWN_HEALTH, 0)).toBe(30_000);
  });
});

describe('what a container is held to', () => {
  const image = { command: ['/check'], interval: 1000, retries: 5 };

  it('is nothing where nobody says a command', () => {
    expect(healthSettings(undefined, undefined)).toBeUndefined();
    expect(healthSettings({}, undefined)).toBeUndefined();
  });

  it('is what the image says, and else as with Docker', () => {
    expect(healthSettings(undefined, image)).toEqual({
      command: ['/check'],
      interval: 1000,
      timeout: 30_000,
      startPeriod: 0,
      startInterval: 1000,
      retries: 5,
      onFailure: 'none',
    });
  });

  it.each([
    [undefined, 5000],
    [60_000, 5000],
    [200, 200],
  ])('begins with checks that are no farther apart than later ones, nor five seconds: %s ms', (interval, expected) => {
    expect(healthSettings({ command: ['/check'], interval }, undefined)?.startInterval).toBe(expected);
    expect(healthSettings({ command: ['/check'], interval, startInterval: 7000 }, undefined)?.startInterval).toBe(7000);
  });

  it('is the image’s command with what the caller says of it', () => {
    const settings = healthSettings({ retries: 1, timeout: undefined, onFailure: 'kill' }, image);
    expect(settings).toMatchObject({
      command: ['/check'],
      interval: 1000,
      retries: 1,
      timeout: 30_000,
      onFailure: 'kill',
    });
  });

  it('is nothing where the caller wants no check', () => {
    expect(healthSettings(false, image)).toBeUndefined();
  });

  it.each([[{ interval: 1 }], [{ command: [] }], [{ command: [''] }]])('is refused without a command: %j', (asked) => {
    expect(() => healthSettings(asked, undefined)).toThrow(expect.objectContaining({ code: 'ERR_BAD_OPTION' }));
  });
});
