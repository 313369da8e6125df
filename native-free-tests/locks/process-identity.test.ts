import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { isAlive, newIdentity } from '#src/locks/process-identity.js';

test('this process is alive', () => {
  expect(isAlive(newIdentity())).toBe(true);
});

test('a process that was killed is not alive', async () => {
  const child = spawn(process.execPath, [
    '-e',
    `
    import('${new URL('../../dist/locks/process-identity.js', import.meta.url)}').then((m) => console.log(m.newIdentity()));
    setInterval(() => {}, 1000);
  `,
  ]);
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const identity = line.toString().trim();
  expect(isAlive(identity)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(isAlive(identity)).toBe(false);
});

test('two provisioners of one process are told apart', () => {
  expect(newIdentity()).not.toBe(newIdentity());
});

test('another process that has got the pid of a dead one is not taken for it', () => {
  const [pid, start, boot] = newIdentity().split(':');
  expect(isAlive(`${pid}:${Number(start) + 1}:${boot}`)).toBe(process.platform !== 'linux');
});

test('a process of before a reboot is not alive, whoever has its pid and start time now', () => {
  const [pid, start] = newIdentity().split(':');
  expect(isAlive(`${pid}:${start}:another-boot`)).toBe(false);
});

test.each(['', 'x', '0::', '-1::'])('the broken record %j names no living process', (identity) => {
  expect(isAlive(identity)).toBe(false);
});
