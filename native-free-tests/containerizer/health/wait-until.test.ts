import { describe, expect, it } from 'vitest';
import { waitUntil } from '#src/containerizer/health/wait-until.js';
import type { Launch } from '#src/containerizer/index.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';

const RUNNING = { state: 'running', health: { status: 'starting', failingStreak: 0, results: [] } };

/** Waits for `healthy`; what is seen is one look after the other, a tenth of a second between two. */
async function waitedFor(...looks: readonly (object | undefined)[]): Promise<unknown> {
  const clock = new SteppedClock(0);
  const left = [...looks] as (Launch | undefined)[];
  const waiting = waitUntil('job', ['healthy'], async () => left.shift(), clock, undefined).catch((error) => error);
  for (const _ of looks) await clock.step(100);
  return waiting;
}

describe('whoever waits for a container that cannot become healthy any more is told what to look at', () => {
  it('which is its log when it has ended', async () => {
    const exited = { state: 'exited', exit: { code: 3 } };
    expect(await waitedFor(RUNNING, exited)).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      message: 'container job is exited (3), and was not healthy before',
      hint: expect.stringContaining('provisioner logs'),
    });
  });

  it('which is not its log when it was destroyed: that has gone with it', async () => {
    expect(await waitedFor(RUNNING, undefined)).toMatchObject({
      code: 'ERR_CONTAINER_NOT_RUNNING',
      message: 'container job is destroyed, and was not healthy before',
      hint: expect.stringMatching(/^`provisioner events`/),
    });
  });
});
