import { expect, it } from 'vitest';
import { IdleProcessors, PROCESSOR_CLOCK } from '#src/workers/idle-processors.js';

/** Two processors, of which all threads want so many milliseconds in the next 50. */
function processors() {
  let [now, wanted] = [0, 0];
  const idle = new IdleProcessors(2, { now: () => now, wanted: () => wanted });
  idle.begin();
  const jobs = (atWork: number, milliseconds: number) => {
    now += 50;
    wanted += milliseconds;
    return idle.jobs(atWork);
  };
  return { idle, jobs };
}

it('jobs that want all of the processors are as many as there are of these', () => {
  const { jobs } = processors();
  expect([jobs(2, 100), jobs(2, 100), jobs(2, 180)]).toEqual([2, 2, 2]);
});

it('jobs that want a part of a processor each may be as many as there are such parts, when two looks say so', () => {
  const { jobs } = processors();
  expect([jobs(2, 50), jobs(2, 50), jobs(2, 50)]).toEqual([2, 4, 4]);
  expect([jobs(4, 0), jobs(4, 0)]).toEqual([4, Number.POSITIVE_INFINITY]);
});

it('a moment in which nothing is wanted, and what was seen before it was begun, count for nothing', () => {
  const { idle, jobs } = processors();
  expect([jobs(2, 100), jobs(2, 5), jobs(2, 100), jobs(2, 5)]).toEqual([2, 2, 2, 2]);
  idle.begin();
  expect(jobs(2, 5)).toBe(2);
});

it('threads that end between two looks, and no jobs at all, make no nonsense of it', () => {
  const { jobs } = processors();
  expect([jobs(2, -500), jobs(2, 100), jobs(0, 0), jobs(0, 0)]).toEqual([2, 2, 2, 2]);
});

it('a thread that works wants about one processor', () => {
  const [since, before] = [PROCESSOR_CLOCK.now(), PROCESSOR_CLOCK.wanted()];
  while (PROCESSOR_CLOCK.now() < since + 200);
  expect((PROCESSOR_CLOCK.wanted() - before) / (PROCESSOR_CLOCK.now() - since)).toBeGreaterThan(0.7);
});
