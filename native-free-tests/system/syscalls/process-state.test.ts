import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { isKilled } from '#src/system/syscalls/process-state.js';

test('a process that nobody has killed, or that is not there, has not been killed', async () => {
  expect(isKilled(process.pid)).toBe(false);
  expect(isKilled(undefined)).toBe(false);
  const child = spawn('true');
  await once(child, 'close');
  expect(isKilled(child.pid)).toBe(false);
});
