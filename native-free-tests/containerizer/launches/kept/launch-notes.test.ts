import { expect, it } from 'vitest';
import { isHalfStarted } from '#src/containerizer/launches/kept/launch-notes.js';
import type { LaunchRecord } from '#src/index.js';

it.each<[LaunchRecord['state'], object | undefined, boolean]>([
  ['starting', undefined, true],
  ['starting', { command: ['sh'] }, true],
  // It was ended while a runtime was at work, which does not die.
  ['undead', { command: ['sh'] }, true],
  ['undead', { command: ['sh'], pid: 7 }, false],
  ['running', { pid: 7 }, false],
  ['created', { pid: 7 }, false],
  ['exited', {}, false],
])('a launch that is %s, and of which %j is known, is half started: %s', (state, place, expected) => {
  const record = { state, place: place && JSON.stringify(place) } as LaunchRecord;
  expect(isHalfStarted(record)).toBe(expected);
});
