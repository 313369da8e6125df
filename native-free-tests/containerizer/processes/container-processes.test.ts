import { expect, it } from 'vitest';
import { readProcesses } from '#src/containerizer/processes/container-processes.js';
import { MadeTree } from '../cgroups/made-tree.js';

/** Fields 3 to 22: the state first, processor time at 14 and 15, the start at 22. */
const stat = (pid: number, name: string, state: string) =>
  `${pid} (${name}) ${state} 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 9000 0\n`;
const status = (uid: number, inside: string) => `Name:\tx\nUid:\t0\t${uid}\t0\t0\nNSpid:\t${inside}\n`;
const USERS = new Map([[1000, 'alice']]);

function machine() {
  return new MadeTree().write({
    '/proc/uptime': '100.50 7.00\n',
    '/proc/70/stat': stat(70, 'sh', 'S'),
    '/proc/70/status': status(1000, '70\t1'),
    '/proc/70/cmdline': 'sh\0-c\0two words\0\0',
    '/proc/60/stat': stat(60, 'a) b\nc', 'D'),
    '/proc/60/status': status(7, '60\t12'),
    '/proc/60/cmdline': 'never asked for',
    '/proc/80/stat': stat(80, 'gone', 'S'),
    '/proc/80/status': status(0, '80\t3'),
  });
}

it('processes are told in the order of their numbers inside, with what the kernel says of them', () => {
  const common = { cpuTime: 3e9, elapsed: 10_500 };
  expect(readProcesses(() => [60, 70, 99], USERS, machine().root)).toEqual([
    {
      ...common,
      pid: 70,
      pidInside: 1,
      uid: 1000,
      user: 'alice',
      state: 'S',
      name: 'sh',
      command: ['sh', '-c', 'two words'],
    },
    { ...common, pid: 60, pidInside: 12, uid: 7, user: undefined, state: 'D', name: 'a) b\nc', command: [] },
  ]);
});

it('a process that is in the container no more when all have been looked at is none of it: its number may be anybody’s', () => {
  const looks = [[70, 80], [70]];
  expect(readProcesses(() => looks.shift() ?? [], USERS, machine().root).map(({ pid }) => pid)).toEqual([70]);
});

it('of a command that never ends the beginning is told', () => {
  const tree = machine().write({ '/proc/70/cmdline': `sh\0${'x'.repeat(100_000)}` });
  const [{ command = [] } = {}] = readProcesses(() => [70], USERS, tree.root);
  expect(command[1]).toHaveLength(4096 - 3);
});
