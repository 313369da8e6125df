import { expect, it } from 'vitest';
import { processStates } from '#src/containerizer/cgroups/process-states.js';
import { MadeTree } from './made-tree.js';

it('the states of processes are told, whatever they call themselves, and of those that are gone nothing', () => {
  const tree = new MadeTree().write({
    '/proc/1/stat': '1 (sleep) S 0 1 1 0 -1\n',
    '/proc/2/stat': '2 (a) R (b) D 0 2 2 0 -1\n',
    '/proc/3/stat': '3 (two\nlines) Z 0 3 3 0 -1\n',
    '/proc/4/stat': '',
    '/proc/6/stat': '6 (gr\u00fcn) S 0 6 6 0 -1\n',
  });
  expect(processStates([1, 2, 3, 4, 5, 6], tree.root)).toEqual([
    { pid: 1, state: 'S', command: 'sleep' },
    { pid: 2, state: 'D', command: 'a) R (b' },
    { pid: 3, state: 'Z', command: 'two\nlines' },
    { pid: 6, state: 'S', command: 'grün' },
  ]);
});
