import { describe, expect, it } from 'vitest';
import { waitUntil } from '#src/containerizer/health/wait-until.js';
import type { Launch, LaunchCondition } from '#src/containerizer/index.js';
import { SteppedClock } from '../../helpers/fake-containers/fake-clock.js';

const as = (status: string) => ({ health: { status, failingStreak: 0, results: [] } });
const RUNNING = { launchId: 'first', state: 'running', ...as('starting') };
/** Of what nobody has checked for long. */
const OLD = { isOld: true };

/** What is seen is one look after the other, a tenth of a second between two. */
async function waitedForAny(
  conditions: readonly LaunchCondition[],
  ...looks: readonly (object | undefined)[]
): Promise<unknown> {
  const clock = new SteppedClock(0);
  const left = [...looks] as (Launch | undefined)[];
  const view = { look: async () => left.shift(), isCurrent: (launch: Launch) => !('isOld' in launch) };
  const waiting = waitUntil('job', conditions, view, undefined, clock).catch((error) => error);
  for (const _ of looks) await clock.step(100);
  return waiting;
}

/** Waits for `healthy`. */
const waitedFor = (...looks: readonly (object | undefined)[]) => waitedForAny(['healthy'], ...looks);

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

describe('whoever waits for the health of a container', () => {
  it('is not told what was found so long ago that it may be otherwise by now', async () => {
    const now = { ...RUNNING, ...as('healthy') };
    const reached = await waitedFor({ ...now, ...OLD }, { ...now, ...OLD }, now);
    expect(reached).toEqual({ condition: 'healthy', launch: now });
  });

  it.each([[['unhealthy']], [['exited', 'unhealthy']]] as const)(
    'is told that it was unhealthy, of what has been killed for that before the next look: %j',
    async (conditions) => {
      const killed = { ...RUNNING, ...as('unhealthy'), state: 'exited', exit: { signal: 9, reason: 'killed' } };
      expect(await waitedForAny(conditions, RUNNING, killed)).toMatchObject({ condition: 'unhealthy' });
    },
  );

  it('is not told so of what had ended before it was waited for, nor of another launch', async () => {
    const killed = { ...RUNNING, ...as('unhealthy'), state: 'exited', exit: { signal: 9, reason: 'killed' } };
    const error = { code: 'ERR_CONTAINER_NOT_RUNNING' };
    expect(await waitedForAny(['unhealthy'], killed)).toMatchObject(error);
    expect(await waitedForAny(['unhealthy'], RUNNING, { ...killed, launchId: 'second' })).toMatchObject(error);
  });
});
