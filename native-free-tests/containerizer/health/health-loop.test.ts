import { describe, expect, it } from 'vitest';
import type { KeptHealth } from '#src/containerizer/health/health-file.js';
import { type CheckOutcome, checkAgainAndAgain } from '#src/containerizer/health/health-loop.js';
import { type HealthSpec, healthSettings } from '#src/containerizer/health/health-settings.js';
import type { Health } from '#src/containerizer/health/health-state.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';

const BEGAN = 1_000_000;

/** A container that is checked, with its time in the test's hand. */
class Checked {
  readonly clock = new SteppedClock(BEGAN);
  readonly over = new AbortController();
  /** Milliseconds since the start at which checks began. */
  readonly checks: number[] = [];
  readonly kept: KeptHealth[] = [];
  /** Statuses that were told, and what was kept by then. */
  readonly told: [string, string | undefined][] = [];
  acts = 0;
  isHalted = false;
  outcome: (check: number) => Promise<CheckOutcome | undefined> | CheckOutcome | undefined = () => EXITED(0);
  readonly ended: Promise<void>;

  constructor(spec: HealthSpec, kept?: KeptHealth) {
    const settings = healthSettings({ command: ['check'], ...spec }, undefined);
    if (settings === undefined) throw new Error('nothing is checked');
    this.ended = checkAgainAndAgain({
      ...{ settings, kept, clock: this.clock, startedAt: BEGAN, signal: this.over.signal },
      isHalted: () => this.isHalted,
      check: async () => {
        this.checks.push(this.clock.now() - BEGAN);
        return this.outcome(this.checks.length);
      },
      keep: (health) => this.kept.push(health),
      tell: async ({ status }: Health) => void this.told.push([status, this.kept.at(-1)?.status]),
      act: async () => void this.acts++,
    });
  }

  get last(): KeptHealth | undefined {
    return this.kept.at(-1);
  }
}

const EXITED = (code: number): CheckOutcome => ({ code, reason: 'exited', output: '' });

describe('whoever checks a container', () => {
  it('checks an interval after the start, and after each check', async () => {
    const checked = new Checked({ interval: 1000 });
    await checked.clock.step(999);
    expect(checked.checks).toEqual([]);
    await checked.clock.step(2500);
    expect(checked.checks).toEqual([1000, 2000, 3000]);
  });

  it('begins an interval when a check has ended, not when it began', async () => {
    const checked = new Checked({ interval: 1000 });
    checked.outcome = () => new Promise((resolve) => checked.clock.after(300, () => resolve(EXITED(0))));
    await checked.clock.step(4000);
    expect(checked.checks).toEqual([1000, 2300, 3600]);
  });

  it('checks at the pace of the start until it is healthy, and then at its own', async () => {
    const checked = new Checked({ interval: 10_000, startPeriod: 60_000, startInterval: 100 });
    checked.outcome = (check) => EXITED(check < 3 ? 1 : 0);
    await checked.clock.step(20_000);
    expect(checked.checks).toEqual([100, 200, 300, 10_300]);
  });

  it('keeps that a check begins before it does, and how it came out after it', async () => {
    const checked = new Checked({ interval: 1000 });
    checked.outcome = () => {
      expect(checked.last).toMatchObject({ status: 'starting', checking: expect.stringMatching(/^[0-9a-f]{16}$/) });
      return EXITED(0);
    };
    await checked.clock.step(1000);
    expect(checked.last).toEqual({
      status: 'healthy',
      failingStreak: 0,
      results: [{ startedAt: BEGAN + 1000, finishedAt: BEGAN + 1000, code: 0, reason: 'exited', output: '' }],
    });
  });

  it('tells changes alone, and before they are kept', async () => {
    const checked = new Checked({ interval: 1000, retries: 2 });
    checked.outcome = (check) => EXITED(check === 3 || check === 4 || check === 5 ? 1 : 0);
    await checked.clock.step(7000);
    expect(checked.told).toEqual([
      ['healthy', 'starting'],
      ['unhealthy', 'healthy'],
      ['healthy', 'unhealthy'],
    ]);
  });

  it('acts when it is unhealthy, and not before', async () => {
    const checked = new Checked({ interval: 1000, retries: 2 });
    checked.outcome = () => EXITED(1);
    await checked.clock.step(1500);
    expect(checked.acts).toBe(0);
    await checked.clock.step(1000);
    expect(checked.acts).toBe(1);
  });

  it('acts in the place of one who has died before he did', async () => {
    const checked = new Checked({ interval: 1000 }, { status: 'unhealthy', failingStreak: 3, results: [] });
    await checked.clock.step(1);
    expect(checked.acts).toBe(1);
  });

  it('goes on from what was kept, and with what is left of the interval', async () => {
    const result = { startedAt: BEGAN - 700, finishedAt: BEGAN - 600, code: 1, reason: 'exited', output: '' } as const;
    const checked = new Checked(
      { interval: 1000, retries: 2 },
      { status: 'starting', failingStreak: 1, results: [result] },
    );
    checked.outcome = () => EXITED(1);
    await checked.clock.step(400);
    expect(checked.checks).toEqual([400]);
    expect(checked.last).toMatchObject({ status: 'unhealthy', failingStreak: 2 });
  });

  it('checks nothing while it stands still, and an interval after it goes on', async () => {
    const checked = new Checked({ interval: 1000 });
    checked.isHalted = true;
    await checked.clock.step(5000);
    expect(checked.checks).toEqual([]);
    checked.isHalted = false;
    await checked.clock.step(1000);
    expect(checked.checks).toEqual([]);
    await checked.clock.step(200);
    expect(checked.checks).toHaveLength(1);
  });

  it('counts a check for nothing that was interrupted, and checks again an interval later', async () => {
    const checked = new Checked({ interval: 1000, retries: 1 });
    checked.outcome = (check) => (check === 1 ? undefined : EXITED(1));
    await checked.clock.step(1000);
    expect(checked.last).toEqual({ status: 'starting', failingStreak: 0, results: [] });
    await checked.clock.step(1000);
    expect(checked.last).toMatchObject({ status: 'unhealthy', failingStreak: 1 });
  });

  it('tells times as the machine’s clock has them then, and measures by none that is set', async () => {
    const checked = new Checked({ interval: 1000 });
    await checked.clock.step(1500);
    checked.clock.setBy = 3_600_000;
    checked.outcome = () => new Promise((resolve) => checked.clock.after(300, () => resolve(EXITED(0))));
    await checked.clock.step(900);
    expect(checked.checks).toEqual([1000, 2000]);
    expect(checked.last?.results.at(-1)).toMatchObject({
      startedAt: BEGAN + 2000 + 3_600_000,
      finishedAt: BEGAN + 2300 + 3_600_000,
    });
  });

  it('ends with the program, between two checks and in the middle of one, which then says nothing', async () => {
    const between = new Checked({ interval: 1000 });
    await between.clock.step(1500);
    between.over.abort();
    await between.ended;

    const amid = new Checked({ interval: 1000 });
    amid.outcome = () => {
      amid.over.abort();
      return EXITED(1);
    };
    await amid.clock.step(1000);
    await amid.ended;
    expect(amid.last).toMatchObject({ failingStreak: 0, results: [], checking: expect.any(String) });
  });
});
